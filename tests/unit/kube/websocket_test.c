// SPDX-License-Identifier: MIT
/* WebSocket's frames: the examples of RFC 6455 §5.7 as a server sends them, streams cut at every place, and what a server must not send. */
#include "kube/websocket.h"

#include <stdlib.h>

#include "guard.h"
#include "tap.h"

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

/* What a stream says: "b[Hel|lo]" is a binary message in two pieces, "p[x]" a ping. Pieces are joined, so that cuts don't show. */
static void describe(const struct websocket_piece *p, char *out)
{
	static const char letters[] = {
		[WEBSOCKET_TEXT] = 't', [WEBSOCKET_BINARY] = 'b', [WEBSOCKET_CLOSE] = 'c', [WEBSOCKET_PING] = 'p', [WEBSOCKET_PONG] = 'o'
	};
	char *at = out + strlen(out);

	if (p->first) {
		*at++ = letters[p->opcode];
		*at++ = '[';
	}
	memcpy(at, p->data, p->len);
	at += p->len;
	if (p->last)
		*at++ = ']';
	*at = '\0';
}

/* Feeds @len bytes, at most @step at a time beyond what is left over. Returns 0 or the error. */
static ssize_t feed(const uint8_t *data, size_t len, size_t step, char *out)
{
	struct websocket_decoder d = { 0 };
	size_t at = 0, end = 0;

	out[0] = '\0';
	while (end < len || at < end) {
		struct websocket_piece p;
		bool has;
		ssize_t n = websocket_decode(&d, guard_copy(data + at, end - at), end - at, &p, &has);

		if (n < 0)
			return n;
		if (has)
			describe(&p, out);
		at += (size_t)n;
		if (n == 0 && !has) {
			if (end == len)
				break;
			end = end + step < len ? end + step : len;
		}
	}
	return 0;
}

static const struct {
	const char *name;
	const uint8_t *data;
	size_t len;
	const char *says;
} streams[] = {
	{ "a text", BYTES("\x81\x05Hello"), "t[Hello]" },
	{ "a text in two frames", BYTES("\x01\x03Hel\x80\x02lo"), "t[Hello]" },
	{ "a ping", BYTES("\x89\x05Hello"), "p[Hello]" },
	{ "a ping between frames", BYTES("\x02\x03Hel\x89\x01x\x80\x02lo"), NULL },
	{ "an empty message", BYTES("\x82\x00"), "b[]" },
	{ "an empty message in two frames", BYTES("\x02\x00\x80\x00"), "b[]" },
	{ "empty frames inside of a message",
	  BYTES("\x02\x01"
		"a\x00\x00\x00\x00\x80\x01"
		"b"),
	  "b[ab]" },
	{ "two messages",
	  BYTES("\x82\x01"
		"a\x82\x02"
		"bc"),
	  "b[a]b[bc]" },
	{ "the end",
	  BYTES("\x88\x02"
		"by"),
	  "c[by]" },
	{ "the end without a reason", BYTES("\x88\x00"), "c[]" },
	{ "a pong", BYTES("\x8a\x00"), "o[]" },
};

static void test_streams(void)
{
	char said[200];

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		const char *says = streams[i].says;

		for (size_t step = 1; step <= streams[i].len; step++) {
			tap_int(feed(streams[i].data, streams[i].len, step, said), 0, "%s, %zu at a time", streams[i].name, step);
			if (says)
				tap_str(said, says, "%s, %zu at a time: what it says", streams[i].name, step);
			else
				tap_ok(strncmp(said, "b[", 2) == 0 && strstr(said, "p[x]") && said[strlen(said) - 1] == ']', "%s: %s",
				       streams[i].name, said);
		}
	}
}

static const struct {
	const char *name;
	const uint8_t *data;
	size_t len;
	enum websocket_error error;
} refused[] = {
	{ "a reserved bit", BYTES("\xc2\x00"), WEBSOCKET_RESERVED },
	{ "an unknown opcode", BYTES("\x83\x00"), WEBSOCKET_RESERVED },
	{ "an unknown control opcode", BYTES("\x8b\x00"), WEBSOCKET_RESERVED },
	{ "a masked frame",
	  BYTES("\x82\x81"
		"abcdx"),
	  WEBSOCKET_MASKED },
	{ "125 bytes as 16 bits", BYTES("\x82\x7e\x00\x7d"), WEBSOCKET_LENGTH },
	{ "65535 bytes as 64 bits", BYTES("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), WEBSOCKET_LENGTH },
	{ "more than 63 bits", BYTES("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), WEBSOCKET_LENGTH },
	{ "a ping in pieces", BYTES("\x09\x00"), WEBSOCKET_CONTROL },
	{ "a ping of 126 bytes", BYTES("\x89\x7e\x00\x7e"), WEBSOCKET_CONTROL },
	{ "a continuation of nothing", BYTES("\x80\x00"), WEBSOCKET_ORDER },
	{ "a message inside of one",
	  BYTES("\x02\x01"
		"a\x82\x01"
		"b"),
	  WEBSOCKET_ORDER },
};

static void test_refused(void)
{
	char said[200];

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		for (size_t step = 1; step <= refused[i].len; step++)
			tap_int(feed(refused[i].data, refused[i].len, step, said), refused[i].error, "%s, %zu at a time", refused[i].name,
				step);
		tap_ok(strcmp(websocket_strerror(refused[i].error), "unknown") != 0, "%s: has a text", refused[i].name);
	}
}

/* A server's view of what we send: header, then the payload unmasked. */
static void test_encode(void)
{
	static const struct {
		size_t len;
		const char *header;
		size_t header_len;
	} rows[] = { { 0, "\x82\x80", 2 },
		     { 125, "\x82\xfd", 2 },
		     { 126, "\x82\xfe\x00\x7e", 4 },
		     { 65535, "\x82\xfe\xff\xff", 4 },
		     { 65536, "\x82\xff\0\0\0\0\0\1\0\0", 10 } };
	const uint8_t mask[4] = { 1, 2, 3, 0xff };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t header[WEBSOCKET_HEADER_MAX];
		size_t n = websocket_encode_header(WEBSOCKET_BINARY, rows[i].len, mask, header);

		tap_int((int)n, (int)rows[i].header_len + 4, "header of %zu bytes", rows[i].len);
		tap_ok(memcmp(header, rows[i].header, rows[i].header_len) == 0, "header of %zu bytes: its bytes", rows[i].len);
		tap_ok(memcmp(header + n - 4, mask, 4) == 0, "header of %zu bytes: its mask", rows[i].len);
	}
}

static void test_mask(void)
{
	const uint8_t mask[4] = { 0x11, 0x22, 0x44, 0x88 };
	bool good = true;

	for (size_t len = 0; len < 40; len++) {
		for (size_t offset = 0; offset < 5; offset++) {
			uint8_t data[40];

			memset(data, 0, sizeof(data));
			websocket_mask(data, len, mask, offset);
			for (size_t i = 0; i < sizeof(data); i++)
				good &= data[i] == (i < len ? mask[(offset + i) % 4] : 0);
		}
	}
	tap_ok(good, "every byte has its mask, and none behind the end");
}

int main(void)
{
	test_streams();
	test_refused();
	test_encode();
	test_mask();
	return tap_done();
}
