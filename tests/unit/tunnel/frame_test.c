// SPDX-License-Identifier: MIT
/* Frames and hellos: the bytes of docs/protocol.md, whole, cut at every place, against a guard page, and what is refused. */
#include "tunnel/frame.h"

#include <errno.h>

#include "net/bytes.h"
#include "tunnel/hello.h"

#include "guard.h"
#include "tap.h"

#define BYTES(text) text, sizeof(text) - 1

#define A4 "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1"
#define A6 "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2"
#define IP4 ((struct ip){ .b = { [10] = 0xff, 0xff, 10, 0, 0, 1 } })
#define IP6 ((struct ip){ .b = { 0xfd, [15] = 2 } })

static const struct {
	const char *name;
	struct frame frame;
	const char *payload;
	const char *bytes;
	size_t len;
} frames[] = {
	{ "open", { .type = FRAME_OPEN, .stream = 0x01020304,
		    .open = { 1, 0x10000, { IP4, 4000 }, { IP6, 0x1234 } } }, NULL,
	  BYTES("\0\0\0\x2c\1\2\3\4\0\1\0\0" "\0\1\0\0\0\1\0\0" A4 "\x0f\xa0" A6 "\x12\x34") },
	{ "open with a name", { .type = FRAME_OPEN, .stream = 1, .open = { 4, 1, { IP6, 0 }, { IP6, 0 } } }, "/run/db",
	  BYTES("\0\0\0\x33\0\0\0\1\0\1\0\0" "\0\4\0\0\0\0\0\1" A6 "\0\0" A6 "\0\0" "/run/db") },
	{ "opened", { .type = FRAME_OPENED, .stream = 1, .amount = 0xa0b0c0d0 }, NULL,
	  BYTES("\0\0\0\4\0\0\0\1\0\2\0\0\xa0\xb0\xc0\xd0") },
	{ "data", { .type = FRAME_DATA, .stream = 1, .flags = FRAME_DRY }, "hello", BYTES("\0\0\0\5\0\0\0\1\0\3\0\4hello") },
	{ "end", { .type = FRAME_END, .stream = 2 }, NULL, BYTES("\0\0\0\0\0\0\0\2\0\4\0\0") },
	{ "reset", { .type = FRAME_RESET, .stream = 2, .error = ECONNREFUSED }, NULL,
	  BYTES("\0\0\0\4\0\0\0\2\0\5\0\0\0\0\0\2") },
	{ "credit", { .type = FRAME_CREDIT, .stream = 2, .amount = 5 }, NULL, BYTES("\0\0\0\4\0\0\0\2\0\6\0\0\0\0\0\5") },
	{ "recall", { .type = FRAME_RECALL, .stream = 2, .amount = 5 }, NULL, BYTES("\0\0\0\4\0\0\0\2\0\7\0\0\0\0\0\5") },
	{ "return", { .type = FRAME_RETURN, .stream = 2, .amount = 5 }, NULL, BYTES("\0\0\0\4\0\0\0\2\0\x08\0\0\0\0\0\5") },
	{ "datagram", { .type = FRAME_DATAGRAM, .stream = 3, .datagram = { { IP4, 53 }, { 64, 0x2e, false } } }, "abc",
	  BYTES("\0\0\0\x17\0\0\0\3\0\x09\0\0" A4 "\0\x35\x40\x2e" "abc") },
	{ "whole datagram", { .type = FRAME_DATAGRAM, .flags = FRAME_WHOLE, .stream = 3, .datagram = { { IP4, 53 }, { 64, 0x2e, true } } }, "abc",
	  BYTES("\0\0\0\x17\0\0\0\3\0\x09\0\x08" A4 "\0\x35\x40\x2e" "abc") },
	{ "empty datagram", { .type = FRAME_DATAGRAM, .stream = 3, .datagram = { { IP6, 53 }, { 1, 0, false } } }, "",
	  BYTES("\0\0\0\x14\0\0\0\3\0\x09\0\0" A6 "\0\x35\1\0") },
	{ "datagram's error", { .type = FRAME_DATAGRAM_ERROR, .stream = 3,
				.datagram_error = { { IP4, 53 }, { IP6, 3, 4, 1400 } } }, "q",
	  BYTES("\0\0\0\x29\0\0\0\3\0\x0a\0\0" A4 "\0\x35\3\4\0\0\x05\x78" A6 "q") },
	{ "ping", { .type = FRAME_PING, .number = 0x0102030405060708 }, NULL,
	  BYTES("\0\0\0\x08\0\0\0\0\0\x0b\0\0\1\2\3\4\5\6\7\x08") },
	{ "pong", { .type = FRAME_PONG, .number = 1 }, NULL, BYTES("\0\0\0\x08\0\0\0\0\0\x0c\0\0\0\0\0\0\0\0\0\1") },
	{ "info", { .type = FRAME_INFO, .flags = FRAME_MORE, .topic = 0x0102 }, "x",
	  BYTES("\0\0\0\3\0\0\0\0\0\x0d\0\2\1\2x") },
	{ "ack", { .type = FRAME_ACK, .number = 1ull << 40 }, NULL,
	  BYTES("\0\0\0\x08\0\0\0\0\0\x0e\0\0\0\0\1\0\0\0\0\0") },
	{ "close", { .type = FRAME_CLOSE }, "bye", BYTES("\0\0\0\3\0\0\0\0\0\x0f\0\0" "bye") },
};
enum { FRAMES = sizeof(frames) / sizeof(frames[0]) };

/* Fields and payload are the same; payload pointers aside. */
static bool frame_equal(const struct frame *a, const struct frame *b)
{
	uint8_t x[FRAME_HEAD_MAX] = { 0 }, y[FRAME_HEAD_MAX] = { 0 };

	return frame_encode(a, x) == frame_encode(b, y) && !memcmp(x, y, sizeof(x)) && a->payload_len == b->payload_len &&
	       (!a->payload_len || !memcmp(a->payload, b->payload, a->payload_len));
}

static void test_frame(size_t i)
{
	struct frame want = frames[i].frame, got;
	uint8_t head[FRAME_HEAD_MAX];
	size_t len = frames[i].len, early = 0;

	want.payload = (const uint8_t *)frames[i].payload;
	want.payload_len = frames[i].payload ? strlen(frames[i].payload) : 0;
	tap_int(frame_encode(&want, head), len - want.payload_len, "%s: length of the head", frames[i].name);
	tap_ok(!memcmp(head, frames[i].bytes, len - want.payload_len), "%s: its bytes", frames[i].name);
	tap_int(frame_length(head), len, "%s: length of all", frames[i].name);
	tap_int(frame_decode(guard_copy(frames[i].bytes, len), len, &got), len, "%s: decoded", frames[i].name);
	tap_ok(got.type == want.type && got.stream == want.stream && got.flags == want.flags && frame_equal(&got, &want),
	       "%s: the same", frames[i].name);
	for (size_t cut = 0; cut < len; cut++)
		early += frame_decode(guard_copy(frames[i].bytes, cut), cut, &got) != 0;
	tap_int(early, 0, "%s: cut anywhere, more is needed", frames[i].name);
}

/* All frames in a row, given byte by byte and in two parts at every place. */
static void test_row(void)
{
	uint8_t row[4096];
	size_t len = 0, wrong = 0;

	for (size_t i = 0; i < FRAMES; i++) {
		memcpy(row + len, frames[i].bytes, frames[i].len);
		len += frames[i].len;
	}
	for (size_t step = 1; step <= len; step++) {
		size_t at = 0, n = 0;

		for (size_t have = step; at < len && n < FRAMES; have = have + step < len ? have + step : len) {
			struct frame f;
			ssize_t r;

			while ((r = frame_decode(guard_copy(row + at, have - at), have - at, &f)) > 0) {
				wrong += f.type != frames[n].frame.type || (size_t)r != frames[n].len;
				at += (size_t)r;
				n++;
			}
			wrong += r < 0;
			if (r < 0)
				break;
		}
		wrong += n != FRAMES;
	}
	tap_int(wrong, 0, "frames in a row, in steps of 1 to %zu bytes", len);
}

static const struct {
	const char *name;
	uint32_t body, stream;
	uint16_t type, flags;
	ssize_t want; /* of the header alone; 0: it is fine so far */
} headers[] = {
	{ "open without fields", 43, 1, FRAME_OPEN, 0, FRAME_SHORT },
	{ "open that grew", 256, 1, FRAME_OPEN, 0, 0 },
	{ "open that grew too much", 257, 1, FRAME_OPEN, 0, FRAME_LONG },
	{ "open on the tunnel", 44, 0, FRAME_OPEN, 0, FRAME_SCOPE },
	{ "data", 65536, 1, FRAME_DATA, 0, 0 },
	{ "no data", 0, 1, FRAME_DATA, 0, FRAME_SHORT },
	{ "too much data", 65537, 1, FRAME_DATA, 0, FRAME_LONG },
	{ "data on the tunnel", 1, 0, FRAME_DATA, 0, FRAME_SCOPE },
	{ "datagram", 65535 + 20, 1, FRAME_DATAGRAM, 0, 0 },
	{ "too long a datagram", 65536 + 20, 1, FRAME_DATAGRAM, 0, FRAME_LONG },
	{ "short datagram", 19, 1, FRAME_DATAGRAM, 0, FRAME_SHORT },
	{ "datagram's error", 65535 + 40, 1, FRAME_DATAGRAM_ERROR, 0, 0 },
	{ "ping on a stream", 8, 1, FRAME_PING, 0, FRAME_SCOPE },
	{ "short ping", 7, 0, FRAME_PING, 0, FRAME_SHORT },
	{ "info", 65538, 0, FRAME_INFO, 0, 0 },
	{ "too long an info", 65539, 0, FRAME_INFO, 0, FRAME_LONG },
	{ "long close", 1025, 0, FRAME_CLOSE, 0, FRAME_LONG },
	{ "unknown", 0, 0, 0, 0, FRAME_UNKNOWN },
	{ "unknown", 0, 0, 16, 0, FRAME_UNKNOWN },
	{ "unknown", 0, 0, 65535, FRAME_MORE, FRAME_UNKNOWN },
	{ "unknown that may be ignored", 65600, 77, 16, FRAME_MAY_IGNORE, 0 },
	{ "too long an unknown one", 65601, 77, 16, FRAME_MAY_IGNORE, FRAME_LONG },
	{ "4 GiB", 0xffffffff, 1, FRAME_DATA, 0, FRAME_LONG },
	{ "known that may be ignored", 65537, 1, FRAME_DATA, FRAME_MAY_IGNORE, FRAME_LONG },
};

static void test_headers(void)
{
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		static uint8_t whole[FRAME_HEADER + FRAME_BODY_MAX];
		struct frame f;

		put32(whole, headers[i].body);
		put32(whole + 4, headers[i].stream);
		put16(whole + 8, headers[i].type);
		put16(whole + 10, headers[i].flags);
		tap_int(frame_decode(guard_copy(whole, FRAME_HEADER), FRAME_HEADER, &f), headers[i].want == 0 && !headers[i].body ?
			FRAME_HEADER : headers[i].want, "header: %s", headers[i].name);
		if (headers[i].want < 0)
			continue;
		tap_int(frame_decode(guard_copy(whole, FRAME_HEADER + headers[i].body), FRAME_HEADER + headers[i].body, &f),
			FRAME_HEADER + headers[i].body, "whole: %s", headers[i].name);
		tap_ok(!f.payload_len || f.payload_len <= headers[i].body, "whole: %s: its payload lies in it", headers[i].name);
	}
	tap_str(frame_name(FRAME_DATAGRAM_ERROR), "DATAGRAM_ERROR", "a name");
	tap_ok(!frame_name(0) && !frame_name(16) && !frame_name(65535), "unknown types have none");
}

static void test_resets(void)
{
	static const int errnos[] = { ECONNRESET, ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EACCES, EPERM, EADDRNOTAVAIL,
				      EADDRINUSE, ENOBUFS, ENOMEM, EMFILE, ENFILE, ENETDOWN, EHOSTDOWN, EPROTO, EPIPE, EIO, EINVAL,
				      EAFNOSUPPORT, EPROTONOSUPPORT, ENOPROTOOPT, EOPNOTSUPP, EMSGSIZE, ECONNABORTED, ENETRESET,
				      ENONET, EAGAIN, ECANCELED, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EPROTOTYPE };
	size_t wrong = 0;

	for (uint32_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++)
		wrong += frame_reset_number(errnos[i]) != i + 1 || frame_reset_errno(i + 1) != errnos[i];
	tap_int(wrong, 0, "reasons of a reset have the numbers of the table");
	tap_int(frame_reset_number(EXDEV), 18, "an errno without a number is EIO");
	tap_int(frame_reset_number(0), 18, "none, too");
	tap_int(frame_reset_errno(0), ECONNRESET, "an unknown number is ECONNRESET");
	tap_int(frame_reset_errno(35), ECONNRESET, "an unknown number is ECONNRESET");
	tap_int(frame_reset_errno(0xffffffff), ECONNRESET, "an unknown number is ECONNRESET");
}

static const char HELLO[] = "\x89mrdt\r\n\x1a"
			    "\0\x40\0\1\0\2\1\0"
			    "\0\0\0\3\0\1\0\0"
			    "\0\x10\0\0\0\0\0\0"
			    "0123456789abcdef"
			    "\0\0\0\0\0\0\1\0"
			    "\0\0\0\0\0\0\0\0";

static void test_hello(void)
{
	struct hello h = { 1, 2, HELLO_SESSION, HELLO_CAN_RESUME | HELLO_RESUMES, 65536, 1 << 20, "0123456789abcde", 256 }, got;
	uint8_t out[HELLO_LEN], grown[HELLO_MAX + 1] = { 0 };
	size_t early = 0, late = 0;

	h.token[15] = 'f';
	hello_encode(&h, out);
	tap_ok(!memcmp(out, HELLO, HELLO_LEN), "hello: its bytes");
	for (size_t cut = 0; cut < HELLO_LEN; cut++)
		early += hello_decode(guard_copy(HELLO, cut), cut, &got) != 0;
	tap_int(early, 0, "hello: cut anywhere, more is needed");
	tap_int(hello_decode(guard_copy(HELLO, HELLO_LEN), HELLO_LEN, &got), HELLO_LEN, "hello: decoded");
	tap_ok(got.lowest == 1 && got.highest == 2 && got.role == h.role && got.flags == h.flags && got.streams == h.streams &&
	       got.tail == h.tail && got.position == 256 && !memcmp(got.token, h.token, 16), "hello: the same");
	for (size_t i = 0; i < HELLO_MAGIC; i++) {
		memcpy(grown, HELLO, HELLO_LEN);
		grown[i] ^= 1;
		late += hello_decode(guard_copy(grown, i), i, &got) != 0 || hello_decode(guard_copy(grown, i + 1), i + 1, &got) >= 0;
	}
	tap_int(late, 0, "hello: a wrong byte is seen at once");
	memcpy(grown, HELLO, HELLO_LEN);
	put16(grown + 8, HELLO_MAX);
	tap_int(hello_decode(guard_copy(grown, HELLO_MAX), HELLO_MAX, &got), HELLO_MAX, "hello: a longer one");
	put16(grown + 8, HELLO_MAX + 1);
	tap_int(hello_decode(guard_copy(grown, 10), 10, &got), HELLO_BAD_LENGTH, "hello: too long");
	put16(grown + 8, HELLO_LEN - 1);
	tap_int(hello_decode(guard_copy(grown, 10), 10, &got), HELLO_BAD_LENGTH, "hello: too short");
	memcpy(grown, HELLO, HELLO_LEN);
	put16(grown + 10, 3);
	tap_int(hello_decode(grown, HELLO_LEN, &got), HELLO_BAD_VERSIONS, "hello: versions the wrong way round");
	put16(grown + 10, 0);
	tap_int(hello_decode(grown, HELLO_LEN, &got), HELLO_BAD_VERSIONS, "hello: version 0");
}

static void test_versions(void)
{
	static const struct {
		uint16_t low, high, peer_low, peer_high, want;
	} rows[] = { { 1, 1, 1, 1, 1 }, { 1, 1, 1, 5, 1 }, { 1, 3, 2, 5, 3 }, { 1, 1, 2, 5, 0 }, { 4, 5, 1, 3, 0 }, { 2, 9, 3, 4, 4 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hello a = { .lowest = rows[i].low, .highest = rows[i].high };
		struct hello b = { .lowest = rows[i].peer_low, .highest = rows[i].peer_high };

		tap_int(hello_version(&a, &b), rows[i].want, "versions %u-%u and %u-%u", a.lowest, a.highest, b.lowest, b.highest);
		tap_int(hello_version(&b, &a), rows[i].want, "the other way round");
	}
}

int main(void)
{
	for (size_t i = 0; i < FRAMES; i++)
		test_frame(i);
	tap_int(FRAMES, 18, "each type is here, open twice, the datagram three times");
	test_row();
	test_headers();
	test_resets();
	test_hello();
	test_versions();
	return tap_done();
}
