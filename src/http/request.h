// SPDX-License-Identifier: MIT
/* A request as a filter sees it, of HTTP/1 and HTTP/2 alike. Everything points into memory of the caller's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "net/addr.h"

/* Bytes of somebody else's; not NUL-terminated. */
struct span {
	const char *at;
	size_t len;
};

static inline struct span span_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

/* Without regard to ASCII case. */
bool span_is(struct span s, const char *word);
/* Byte for byte. */
bool span_equal(struct span a, struct span b);
/* Without spaces and tabs around it. */
struct span span_trim(struct span s);
/* What stands before the first @separator in @rest, which then is what stands behind it: {NULL} after the last. False: there was none. */
bool span_split(struct span *rest, char separator, struct span *ret);
/* Is @word, without regard to ASCII case, a member of @list, which has commas between its own (RFC 9110 §5.6.1)? */
bool span_lists(struct span list, struct span word);

/* One header field as the line "name: value": the name in lower case, no white space around the value. */
struct http_field {
	const char *line;
	uint32_t name_len, len;
};

static inline struct span http_field_name(const struct http_field *f)
{
	return (struct span){ f->line, f->name_len };
}

static inline struct span http_field_value(const struct http_field *f)
{
	return (struct span){ f->line + f->name_len + 2, f->len - f->name_len - 2 };
}

enum http_body {
	HTTP_BODY_AHEAD,   /* not there yet */
	HTTP_BODY_WHOLE,   /* all of it, perhaps nothing */
	HTTP_BODY_UNKNOWN, /* too long, too slow, cut off: a filter on it doesn't match */
};

struct http_request {
	struct span method;
	struct span target;    /* path and query; empty for a request without a path (CONNECT) */
	struct span authority; /* of the target, else of the Host field; empty without both */
	/* In order. Of HTTP/2 the pseudo-headers come first, under their own names (":path"), and a "host" line with :authority
	 * follows when the client sent none. */
	const struct http_field *fields;
	size_t n_fields;
	enum http_body body_state;
	struct span body;
	struct ip client;
	struct span sni, alpn; /* as in struct tls_hello; empty without TLS */
	struct jq_answers *answers; /* of jq programs, which are asked and not waited for (jq_program.h); NULL: they are waited for */
	bool asks_nobody;	    /* nor are they asked: a condition that would is HTTP_NEEDS_ANSWERS */
};

enum {
	HTTP_HEAD_MAX = 64 << 10,	      /* a header block; more is refused */
	HTTP_FIELDS_MAX = HTTP_HEAD_MAX / 4 /* no field is shorter */
};
