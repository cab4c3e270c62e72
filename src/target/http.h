// SPDX-License-Identifier: MIT
/* HTTP over a unix socket: one GET, answered or not. Internal to the target library. */
#pragma once

#include <stddef.h>

#include "base/error.h"

enum { HTTP_CONNECT_MS = 3000, HTTP_TOTAL_MS = 10000, HTTP_ANSWER_MAX = 8 << 20 };

struct http_answer {
	long status;
	char *body; /* NUL-terminated */
	size_t len;
};

void http_answer_fini(struct http_answer *a);
/* Asks the server at @socket for @path ("/containers/json") and waits @timeout_ms at most. Any status is an answer.
 * Returns 0; or the errno of connect(), without @err; or -1 with @err: no libcurl, no answer in time, none that is
 * HTTP, longer than HTTP_ANSWER_MAX. */
int http_get(const char *socket, const char *path, long timeout_ms, struct http_answer *ret, struct error *err);
