// SPDX-License-Identifier: MIT
/* The bytes that a client of HTTP/2 sends, from words: "h1:GET:/path:a." a head on stream 1 ("." ends the stream), of which the letters say: a, it
 * is alice's; c, in three frames; p, with padding; w, with a priority; t, the table of compressed fields changes its size. "d1:data" and
 * "d1:data." data, with an empty frame before it and padding behind it. "t1:value" a trailer. "r1" a reset, "i" a PING. */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/sniff.h"

struct h2_script {
	uint8_t bytes[1 << 16];
	size_t len;
	nghttp2_hd_deflater *deflater;
	size_t data_at, data_len; /* where the last data stands */
};

static inline void script_frame(struct h2_script *s, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len)
{
	const uint8_t head[9] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, (uint8_t)(id >> 8), (uint8_t)id };

	if (s->len + len + sizeof(head) > sizeof(s->bytes))
		abort();
	memcpy(s->bytes + s->len, head, sizeof(head));
	if (len)
		memcpy(s->bytes + s->len + sizeof(head), payload, len);
	s->len += len + sizeof(head);
}

static inline nghttp2_nv script_field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}

static inline void script_head(struct h2_script *s, uint32_t id, const char *method, const char *path, const char *letters, bool end)
{
	const nghttp2_nv fields[] = { script_field(":method", method), script_field(":path", path), script_field(":scheme", "http"),
				      script_field(":authority", "shop"), script_field("x-user", strchr(letters, 'a') ? "alice" : "bob") };
	uint8_t block[2000] = { 3, 0, 0, 0, 0, 7 }, flags = end ? NGHTTP2_FLAG_END_STREAM : 0;
	bool padded = strchr(letters, 'p'), weighed = strchr(letters, 'w'), cut = strchr(letters, 'c');
	size_t at = (padded ? 1u : 0u) + (weighed ? 5u : 0u), len;

	if (!padded && weighed)
		memmove(block, block + 1, 5);
	if (strchr(letters, 't'))
		nghttp2_hd_deflate_change_table_size(s->deflater, id % 4 == 1 ? 0 : 1000);
	len = at + (size_t)nghttp2_hd_deflate_hd(s->deflater, block + at, 1000, fields, 5);
	flags |= (padded ? NGHTTP2_FLAG_PADDED : 0) | (weighed ? NGHTTP2_FLAG_PRIORITY : 0) | (cut ? 0 : NGHTTP2_FLAG_END_HEADERS);
	if (!cut) {
		script_frame(s, NGHTTP2_HEADERS, flags, id, block, len + (padded ? 3 : 0));
		return;
	}
	memmove(block + at + 1 + 10, block + at + 1, len - at - 1); /* room for padding behind the first byte */
	script_frame(s, NGHTTP2_HEADERS, flags, id, block, at + 1 + (padded ? 3 : 0));
	script_frame(s, NGHTTP2_CONTINUATION, 0, id, block + at + 11, 2);
	script_frame(s, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, id, block + at + 13, len - at - 3);
}

static inline void script_data(struct h2_script *s, uint32_t id, const char *data, bool end)
{
	uint8_t payload[1000] = { 2 };
	size_t len = strlen(data);

	memcpy(payload + 1, data, len);
	script_frame(s, NGHTTP2_DATA, 0, id, NULL, 0);
	script_frame(s, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED | (end ? NGHTTP2_FLAG_END_STREAM : 0), id, payload, len + 3);
	s->data_at = s->len - len - 2;
	s->data_len = len;
}

static inline void script_word(struct h2_script *s, char *word)
{
	bool end = word[strlen(word) - 1] == '.', data = *word == 'd';
	char *save = NULL, *what, *a, *b, *c;
	uint32_t id = (uint32_t)atoi(word + 1);
	nghttp2_nv trailer;
	uint8_t block[200];

	if (end)
		word[strlen(word) - 1] = '\0';
	what = strtok_r(word, ":", &save);
	a = strtok_r(NULL, data ? "" : ":", &save);
	b = strtok_r(NULL, ":", &save);
	c = strtok_r(NULL, ":", &save);
	trailer = script_field("x-trailer", a ? a : "");
	if (*what == 'h')
		script_head(s, id, a, b, c ? c : "", end);
	else if (*what == 'd')
		script_data(s, id, a ? a : "", end);
	else if (*what == 't')
		script_frame(s, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, block,
			     (size_t)nghttp2_hd_deflate_hd(s->deflater, block, sizeof(block), &trailer, 1));
	else if (*what == 'r')
		script_frame(s, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x8", 4);
	else
		script_frame(s, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static inline void script_begin(struct h2_script *s)
{
	s->len = 0;
	if (nghttp2_hd_deflate_new(&s->deflater, 4096) != 0)
		abort();
	memcpy(s->bytes, SNIFF_HTTP2_PREFACE, SNIFF_PREFACE);
	s->len = SNIFF_PREFACE;
	script_frame(s, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static inline void script_add(struct h2_script *s, const char *words)
{
	char text[4000], *save = NULL;

	snprintf(text, sizeof(text), "%s", words);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
		script_word(s, word);
}

static inline void script_end(struct h2_script *s)
{
	nghttp2_hd_deflate_del(s->deflater);
}
