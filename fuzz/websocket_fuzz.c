// SPDX-License-Identifier: MIT
/* What an API server answers to exec and sends afterwards: a handshake doesn't claim what isn't there, and frames say the same whether they
 * come whole or byte by byte, within the bytes that came. */
#include "kube/handshake.h"
#include "kube/websocket.h"

#include <string.h>

#include "fuzz.h"

/* A sum over what was said, in which pieces of a message don't show. */
struct said {
	uint64_t sum, bytes, messages;
	ssize_t error;
};

static void note(struct said *s, uint8_t byte)
{
	s->sum = (s->sum ^ byte) * 0x100000001b3;
}

static void hear(struct said *s, const struct websocket_piece *p)
{
	if (p->first)
		note(s, (uint8_t)(0x80 | p->opcode));
	for (size_t i = 0; i < p->len; i++)
		note(s, p->data[i]);
	if (p->last)
		note(s, 0xff);
	s->messages += p->last;
	s->bytes += p->len;
}

static struct said listen_to(const uint8_t *data, size_t size, size_t step)
{
	struct websocket_decoder d = { 0 };
	struct said s = { 0 };
	size_t at = 0, end = 0;

	for (;;) {
		struct websocket_piece p;
		bool has;
		ssize_t n = websocket_decode(&d, data + at, end - at, &p, &has);

		if (n < 0) {
			s.error = n;
			return s;
		}
		fuzz_check((size_t)n <= end - at);
		if (has) {
			bool control = p.opcode >= WEBSOCKET_CLOSE;

			fuzz_check(p.opcode != WEBSOCKET_CONTINUATION && (!control || (p.first && p.last && p.len <= WEBSOCKET_CONTROL_MAX)));
			fuzz_check(control || !p.len || (p.data >= data + at && p.data + p.len == data + at + n));
			hear(&s, &p);
		}
		at += (size_t)n;
		if (n || has)
			continue;
		if (end == size)
			return s;
		end = end + step < size ? end + step : size;
	}
}

static void check_handshake(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *again = malloc(size + 1);
	struct handshake_answer a, b;
	ssize_t n;

	if (!copy || !again)
		abort();
	memcpy(copy, data, size);
	memcpy(again, data, size);
	n = handshake_parse(copy, size, &a);
	fuzz_check(n >= -1 && n <= (ssize_t)size);
	if (n > 0) {
		fuzz_check(a.body + a.body_len <= (size_t)n && a.status >= 100 && a.status <= 999);
		fuzz_check(handshake_parse(again, (size_t)n, &b) == n && b.status == a.status && b.body_len == a.body_len);
	}
	free(copy);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct said whole = listen_to(data, size, size ? size : 1), bytes = listen_to(data, size, 1);

	fuzz_check(whole.error == bytes.error && whole.sum == bytes.sum && whole.bytes == bytes.bytes && whole.messages == bytes.messages);
	check_handshake(data, size);
	return 0;
}
