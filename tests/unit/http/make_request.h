// SPDX-License-Identifier: MIT
/* A request for a filter out of plain text: "METHOD target", then lines "name: value" as a filter gets them. */
#pragma once

#include <stdlib.h>

#include "http/request.h"

enum { MADE_FIELDS = 64 };

struct made_request {
	struct http_request request;
	struct http_field fields[MADE_FIELDS];
};

static inline void make_request(struct made_request *m, const char *text)
{
	struct span rest = span_of(text), line;

	*m = (struct made_request){ .request = { .fields = m->fields, .body_state = HTTP_BODY_AHEAD } };
	span_split(&rest, '\n', &line);
	span_split(&line, ' ', &m->request.method);
	m->request.target = line;
	while (span_split(&rest, '\n', &line)) {
		const char *colon = memchr(line.at + 1, ':', line.len - 1);
		struct http_field *f = &m->fields[m->request.n_fields++];

		if (!colon || m->request.n_fields > MADE_FIELDS)
			abort();
		*f = (struct http_field){ line.at, (uint32_t)(colon - line.at), (uint32_t)line.len };
		if (span_is(http_field_name(f), "host") || span_is(http_field_name(f), ":authority"))
			m->request.authority = http_field_value(f);
	}
}
