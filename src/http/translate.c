// SPDX-License-Identifier: MIT
/* What belongs to one connection stays there: Connection and what it names, and the like (RFC 9113 §8.2.2). nghttp2 has seen to it that no
 * name and no value has a line's end in it. */
#include "http/translate.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/base64.h"

static const char *const of_connection[] = { "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "http2-settings",
					     "sec-websocket-accept" };

static bool is_of_connection(struct span name)
{
	for (size_t i = 0; i < sizeof(of_connection) / sizeof(of_connection[0]); i++)
		if (span_is(name, of_connection[i]))
			return true;
	return false;
}

static bool add(struct h2_queue *out, struct span s)
{
	return h2_queue_add(out, (const uint8_t *)s.at, s.len);
}

static bool add_text(struct h2_queue *out, const char *text)
{
	return add(out, span_of(text));
}

static bool add_field(struct h2_queue *out, struct span name, struct span value)
{
	return add(out, name) && add_text(out, ": ") && add(out, value) && add_text(out, "\r\n");
}

/* Cookies come in pieces, and HTTP/1 has one field for all. */
static bool add_cookies(const nghttp2_nv *nv, size_t n, struct h2_queue *out)
{
	bool begun = false, good = true;

	for (size_t i = 0; good && i < n; i++) {
		struct span name = { (const char *)nv[i].name, nv[i].namelen };

		if (!span_is(name, "cookie"))
			continue;
		good = add_text(out, begun ? "; " : "cookie: ") && add(out, (struct span){ (const char *)nv[i].value, nv[i].valuelen });
		begun = true;
	}
	return good && (!begun || add_text(out, "\r\n"));
}

static bool add_fields(const nghttp2_nv *nv, size_t n, bool has_host, struct h2_queue *out)
{
	for (size_t i = 0; i < n; i++) {
		struct span name = { (const char *)nv[i].name, nv[i].namelen }, value = { (const char *)nv[i].value, nv[i].valuelen };

		if (*name.at == ':' || is_of_connection(name) || span_is(name, "cookie") || (has_host && span_is(name, "host")))
			continue;
		if (!add_field(out, name, value))
			return false;
	}
	return true;
}

static bool needs_length(struct span method)
{
	return span_equal(method, span_of("POST")) || span_equal(method, span_of("PUT")) || span_equal(method, span_of("PATCH"));
}

bool translate_is_websocket(const struct h2_block *b)
{
	return span_equal(h2_block_known(b, H2_METHOD), span_of("CONNECT")) && span_is(h2_block_value(b, ":protocol"), "websocket");
}

/* What HTTP/1 has and HTTP/2 hasn't: the key is 16 bytes in base64 (RFC 6455 §4.1), which nobody needs to know. */
static bool add_upgrade(const struct h2_block *b, struct h2_queue *out)
{
	uint8_t random[16];
	char key[BASE64_ROOM(sizeof(random))];

	if (!add_text(out, "connection: Upgrade\r\nupgrade: websocket\r\n"))
		return false;
	if (h2_block_value(b, "sec-websocket-key").at)
		return true;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return false;
	base64_encode(random, sizeof(random), key);
	return add_field(out, span_of("sec-websocket-key"), span_of(key));
}

bool translate_request(const struct h2_block *b, bool no_body, struct h2_queue *out, enum translate_body *ret_body)
{
	struct span method = h2_block_known(b, H2_METHOD), path = h2_block_known(b, H2_PATH), authority = h2_block_known(b, H2_AUTHORITY);
	bool length = h2_block_value(b, "content-length").at, websocket = translate_is_websocket(b);
	const nghttp2_nv *nv = h2_block_nv(b);

	if (!method.len || !path.len || (span_equal(method, span_of("CONNECT")) && !websocket))
		return false;
	if (!add(out, websocket ? span_of("GET") : method) || !add_text(out, " ") || !add(out, path) || !add_text(out, " HTTP/1.1\r\n"))
		return false;
	if (authority.len && !add_field(out, span_of("host"), authority))
		return false;
	if (!add_fields(nv, b->n, authority.len > 0, out) || !add_cookies(nv, b->n, out))
		return false;
	if (websocket) {
		*ret_body = TRANSLATE_AS_IS;
		return add_upgrade(b, out) && add_text(out, "\r\n");
	}
	*ret_body = no_body ? TRANSLATE_EMPTY : length ? TRANSLATE_AS_IS : TRANSLATE_CHUNKED;
	if (*ret_body == TRANSLATE_CHUNKED)
		return add_text(out, "transfer-encoding: chunked\r\n\r\n");
	return add_text(out, no_body && !length && needs_length(method) ? "content-length: 0\r\n\r\n" : "\r\n");
}

bool translate_trailer(const struct h2_block *b, struct h2_queue *out)
{
	return add_fields(h2_block_nv(b), b->n, false, out) && add_text(out, "\r\n");
}

/* The next line without its end; false behind the last. */
static bool next_line(const uint8_t **at, const uint8_t *end, struct span *ret)
{
	const uint8_t *lf = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;

	if (!lf)
		return false;
	*ret = (struct span){ (const char *)*at, (size_t)(lf - *at) };
	if (ret->len && ret->at[ret->len - 1] == '\r')
		ret->len--;
	*at = lf + 1;
	return true;
}

static bool split_line(struct span line, struct span *ret_name, struct span *ret_value)
{
	*ret_value = line;
	if (!line.len || !span_split(ret_value, ':', ret_name))
		return false;
	*ret_value = span_trim(*ret_value);
	return ret_value->at != NULL;
}

/* Does a Connection field name it? */
static bool is_named(const uint8_t *head, const uint8_t *end, struct span name)
{
	struct span line, field, value;

	while (next_line(&head, end, &line))
		if (split_line(line, &field, &value) && span_is(field, "connection") && span_lists(value, name))
			return true;
	return false;
}

static bool add_lower(struct h2_block *b, struct span name, struct span value)
{
	char text[256];

	if (name.len >= sizeof(text))
		return true; /* nobody would know it */
	for (size_t i = 0; i < name.len; i++)
		text[i] = (char)(name.at[i] >= 'A' && name.at[i] <= 'Z' ? name.at[i] | 32 : name.at[i]);
	return h2_block_add(b, (struct span){ text, name.len }, value, false);
}

bool translate_answer(const uint8_t *head, size_t len, unsigned int status, struct h2_block *ret)
{
	const uint8_t *at = head, *end = head + len;
	struct span line = { NULL, 0 }, name, value;
	char number[16];

	snprintf(number, sizeof(number), "%u", status);
	if (status && !h2_block_add(ret, span_of(":status"), span_of(number), false))
		return false;
	while (status && !line.len)
		if (!next_line(&at, end, &line)) /* the status line, behind empty ones */
			return false;
	while (next_line(&at, end, &line)) {
		if (!split_line(line, &name, &value) || is_of_connection(name) || is_named(head, end, name))
			continue;
		if (!add_lower(ret, name, value))
			return false;
	}
	return true;
}
