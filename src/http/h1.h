// SPDX-License-Identifier: MIT
/* HTTP/1 messages (RFC 9112): where they begin and end. They are read, never written: what is forwarded are the bytes that came.
 *
 * H1_UNSAFE is a message on whose end two parsers could disagree. It is for the caller to stop dividing the stream there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "http/request.h"

enum { H1_UNSAFE = -1, H1_TOO_LONG = -2 };

/* How far a head was looked for; zero at its start. */
struct h1_scan {
	uint32_t line, seen;
	bool begun; /* behind empty lines in front of it */
};

/* Looks for the end of the head that begins at @data, given again with more bytes behind it each time. Returns its length with the
 * empty line, and with empty lines before it; 0 for more; or H1_UNSAFE, or H1_TOO_LONG beyond HTTP_HEAD_MAX bytes. */
ssize_t h1_find_head(struct h1_scan *scan, const uint8_t *data, size_t len);

enum h1_framing { H1_EMPTY, H1_LENGTH, H1_CHUNKED, H1_UNTIL_CLOSE };

/* A head. */
struct h1_message {
	enum h1_framing framing;
	uint64_t length;
	uint16_t status;  /* of a response */
	bool last;	  /* the connection ends behind it */
	bool upgrade;	  /* a request that asks for another protocol, or CONNECT */
	bool connect, head; /* these methods of a request */
	bool expects;	  /* 100-continue */
};

/* Where the parts of a request go, for filters. Large; one is enough for all. */
struct h1_view {
	struct http_request request; /* client, sni, alpn and body are the caller's */
	struct http_field fields[HTTP_FIELDS_MAX];
	char text[HTTP_HEAD_MAX];
};

/* @head is all of it, as h1_find_head() found it. Returns 0 or H1_UNSAFE. @view may be NULL. */
int h1_parse_request(const uint8_t *head, size_t len, struct h1_message *ret, struct h1_view *view);
/* @request is what it answers. */
int h1_parse_response(const uint8_t *head, size_t len, const struct h1_message *request, struct h1_message *ret);

/* A body on its way. */
struct h1_body {
	uint64_t left;
	uint8_t framing, state;
	bool done;
};

struct h1_body h1_body_of(const struct h1_message *m);
/* Returns how many of the bytes are the message's, all of them unless it is done; or H1_UNSAFE. */
ssize_t h1_body_take(struct h1_body *b, const uint8_t *data, size_t len);
enum h1_part { H1_FRAME, H1_DATA, H1_TRAILER };
/* The same for whoever wants the body itself: takes bytes of one kind, and says which. A trailer is its lines and the empty one. */
ssize_t h1_body_read(struct h1_body *b, const uint8_t *data, size_t len, enum h1_part *ret_part);
/* @len bytes of it are passed over unseen. False: they aren't all data, and nothing has changed. */
bool h1_body_skip(struct h1_body *b, uint64_t len);
/* The bytes inside a chunked body that h1_body_take() has found whole. @out has room for as many as @len. Returns how many. */
size_t h1_unchunk(const uint8_t *data, size_t len, char *out);
