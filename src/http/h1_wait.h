// SPDX-License-Identifier: MIT
/* A request that waits for its body, since a filter wants to see that before it is known whose the request is. Each byte is followed once,
 * however the bytes come. */
#pragma once

#include "http/h1.h"

struct h1_wait {
	struct h1_body body;
	size_t seen;
	bool chunked, too_long, broken;
};

struct h1_wait h1_wait_begin(const struct h1_message *request);
/* @body is what has come of it, from its start, and perhaps of what follows. True: it is all there, or will be no body of @most bytes or less. */
bool h1_wait_more(struct h1_wait *w, const uint8_t *body, size_t len, size_t most);
/* Shows it to the filter, with body_state HTTP_BODY_WHOLE or HTTP_BODY_UNKNOWN. *ret_made is to be freed when that has been asked. */
void h1_wait_show(const struct h1_wait *w, const uint8_t *body, struct http_request *r, char **ret_made);
