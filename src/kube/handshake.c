// SPDX-License-Identifier: MIT
/* WebSocket's opening handshake. A refusal is an HTTP answer with a body, which says why; a server may send that in chunks. */
#include "kube/handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kube/sha1.h"

void handshake_key(const uint8_t random[16], char ret_key[HANDSHAKE_KEY], char ret_accept[BASE64_ROOM(20)])
{
	char joined[HANDSHAKE_KEY + 36];
	uint8_t sum[SHA1_LEN];

	base64_encode(random, 16, ret_key);
	snprintf(joined, sizeof(joined), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", ret_key);
	sha1(joined, strlen(joined), sum);
	base64_encode(sum, sizeof(sum), ret_accept);
}

/* Copies the value of header @name from the head, without the white space around it. Returns 0, or -1 when it isn't there or too long. */
static int find_header(const char *head, size_t len, const char *name, char *out, size_t room)
{
	const char *end = head + len, *line = head;
	size_t name_len = strlen(name);

	while ((line = memmem(line, (size_t)(end - line), "\r\n", 2))) {
		const char *value = (line += 2) + name_len, *stop;

		if ((size_t)(end - line) <= name_len || strncasecmp(line, name, name_len) != 0 || *value != ':')
			continue;
		stop = memmem(value, (size_t)(end - value), "\r\n", 2);
		value++;
		while (stop && value < stop && (*value == ' ' || *value == '\t'))
			value++;
		while (stop && stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		if (!stop || (size_t)(stop - value) >= room)
			return -1;
		memcpy(out, value, (size_t)(stop - value));
		out[stop - value] = '\0';
		return 0;
	}
	return -1;
}

/* Puts the chunks together at the front of @data. Returns the bytes that they took, 0 when there are more to come, -1 for no chunks. */
static ssize_t join_chunks(char *data, size_t len, size_t *ret_len)
{
	size_t at = 0, joined = 0, place = 0;
	char *copy = malloc(len + 1);

	/* A second look at the same bytes must find the same, so they are moved only when all are there. */
	while (copy) {
		const char *eol = memmem(data + at, len - at, "\r\n", 2);
		size_t size = 0;
		const char *c = data + at;

		for (; eol && c < eol && strchr("0123456789abcdefABCDEF", *c) && size < HANDSHAKE_ANSWER_MAX; c++)
			size = size * 16 + (size_t)(*c <= '9' ? *c - '0' : (*c | 32) - 'a' + 10);
		if (eol && (c == data + at || (c < eol && *c != ';') || size >= HANDSHAKE_ANSWER_MAX)) {
			free(copy);
			return -1;
		}
		place = eol ? (size_t)(eol - data) + 2 : len;
		if (!eol || len - place < size + 2) {
			free(copy);
			return 0;
		}
		memcpy(copy + joined, data + place, size);
		joined += size;
		at = place + size + 2;
		if (size == 0)
			break;
	}
	if (!copy)
		return -1;
	memcpy(data, copy, joined);
	free(copy);
	*ret_len = joined;
	return (ssize_t)at;
}

ssize_t handshake_parse(char *data, size_t len, struct handshake_answer *ret)
{
	static const char begin[] = "HTTP/1.1 ";
	char *end = memmem(data, len, "\r\n\r\n", 4), value[64];
	struct handshake_answer a = { 0 };
	size_t head;
	ssize_t n;

	if (memcmp(data, begin, len < sizeof(begin) - 1 ? len : sizeof(begin) - 1) != 0)
		return -1;
	if (!end)
		return len >= HANDSHAKE_ANSWER_MAX ? -1 : 0;
	head = (size_t)(end - data) + 4;
	for (const char *digit = data + sizeof(begin) - 1; digit < data + sizeof(begin) + 2; digit++) {
		if (*digit < '0' || *digit > '9') /* there are four more bytes: the end of the head */
			return -1;
		a.status = 10 * a.status + *digit - '0';
	}
	if (a.status < 100)
		return -1;
	find_header(data, head, "Sec-WebSocket-Accept", a.accept, sizeof(a.accept));
	find_header(data, head, "Sec-WebSocket-Protocol", a.protocol, sizeof(a.protocol));
	a.body = head;
	if (a.status != 101 && find_header(data, head, "Transfer-Encoding", value, sizeof(value)) == 0 && strcasecmp(value, "chunked") == 0) {
		n = join_chunks(data + head, len - head, &a.body_len);
		if (n <= 0)
			return n == 0 && len >= HANDSHAKE_ANSWER_MAX ? -1 : n;
		head += (size_t)n;
	} else if (a.status != 101 && find_header(data, head, "Content-Length", value, sizeof(value)) == 0) {
		a.body_len = strtoul(value, NULL, 10);
		if (a.body_len > HANDSHAKE_ANSWER_MAX)
			return -1;
		if (len - head < a.body_len)
			return 0;
		head += a.body_len;
	}
	*ret = a;
	return (ssize_t)head;
}
