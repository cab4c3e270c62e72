// SPDX-License-Identifier: MIT
/* The bytes of a tunnel, as its hello or as frames: what is decoded lies within them, is the same when it is encoded again, and isn't
 * decoded from less. */
#include "tunnel/frame.h"
#include "tunnel/hello.h"

#include <string.h>

#include "fuzz.h"

static void check_hello(const uint8_t *data, size_t size)
{
	uint8_t again[HELLO_LEN], twice[HELLO_LEN];
	struct hello h, other;
	ssize_t n = hello_decode(data, size, &h);

	if (n <= 0) {
		fuzz_check(n != 0 || size < HELLO_MAX);
		return;
	}
	fuzz_check((size_t)n <= size && n >= HELLO_LEN && n <= HELLO_MAX && h.lowest && h.lowest <= h.highest);
	fuzz_check(hello_decode(data, (size_t)n - 1, &other) == 0);
	hello_encode(&h, again);
	fuzz_check(hello_decode(again, sizeof(again), &other) == HELLO_LEN);
	hello_encode(&other, twice);
	fuzz_check(memcmp(again, twice, sizeof(again)) == 0 && hello_version(&h, &other) == h.highest);
}

static void check_frame(const uint8_t *data, size_t n, const struct frame *f)
{
	static uint8_t again[FRAME_HEADER + FRAME_BODY_MAX];
	struct frame other;
	size_t len;

	fuzz_check(frame_length(data) == n && n <= FRAME_HEADER + FRAME_BODY_MAX);
	fuzz_check(!f->payload_len || (f->payload >= data + FRAME_HEADER && f->payload + f->payload_len == data + n));
	fuzz_check(frame_decode(data, n - 1, &other) == 0);
	if (!frame_name(f->type)) {
		fuzz_check(f->flags & FRAME_MAY_IGNORE);
		return;
	}
	len = frame_encode(f, again);
	if (f->payload_len)
		memcpy(again + len, f->payload, f->payload_len);
	len += f->payload_len;
	fuzz_check(len <= n && frame_decode(again, len, &other) == (ssize_t)len);
	fuzz_check(other.type == f->type && other.flags == f->flags && other.stream == f->stream && other.payload_len == f->payload_len);
	fuzz_check(f->type != FRAME_RESET || (f->error > 0 && other.error == f->error));
	if (len == n && f->type != FRAME_OPEN && f->type != FRAME_RESET) /* these have reserved bytes and unknown numbers */
		fuzz_check(memcmp(again, data, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame f;
	ssize_t n;

	check_hello(data, size);
	while ((n = frame_decode(data, size, &f)) > 0) {
		fuzz_check((size_t)n <= size);
		check_frame(data, (size_t)n, &f);
		data += n;
		size -= (size_t)n;
	}
	fuzz_check(n != 0 || size < FRAME_HEADER + FRAME_BODY_MAX);
	fuzz_check(n == 0 || *frame_strerror((int)n));
	return 0;
}
