// SPDX-License-Identifier: MIT
#include "http/h1_wait.h"

#include <stdlib.h>

struct h1_wait h1_wait_begin(const struct h1_message *request)
{
	return (struct h1_wait){ .body = h1_body_of(request), .chunked = request->framing == H1_CHUNKED };
}

bool h1_wait_more(struct h1_wait *w, const uint8_t *body, size_t len, size_t most)
{
	ssize_t n = h1_body_take(&w->body, body + w->seen, len - w->seen);

	w->broken |= n < 0;
	w->seen += n > 0 ? (size_t)n : 0;
	w->too_long |= w->seen > most || (!w->chunked && w->body.left > most - w->seen);
	return w->broken || w->too_long || w->body.done;
}

void h1_wait_show(const struct h1_wait *w, const uint8_t *body, struct http_request *r, char **ret_made)
{
	bool there = w->body.done && !w->too_long && !w->broken;
	char *plain = there && w->chunked ? malloc(w->seen + 1) : NULL;

	*ret_made = plain;
	r->body_state = there && (plain || !w->chunked) ? HTTP_BODY_WHOLE : HTTP_BODY_UNKNOWN;
	if (plain)
		r->body = (struct span){ plain, h1_unchunk(body, w->seen, plain) };
	else if (there)
		r->body = (struct span){ (const char *)body, w->seen };
}
