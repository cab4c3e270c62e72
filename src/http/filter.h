// SPDX-License-Identifier: MIT
/* A filter: the object feature.network.incoming.http_filter, compiled. docs/configuration.md says what its keys mean. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "http/request.h"

struct http_filter;

/* Compiles JSON text, with all regular expressions, JSONPaths and jq programs in it. NULL with @err: where in the object, what is wrong, and
 * the position in a pattern. `true`, {} and {"ports": …} are filters that match everything. */
struct http_filter *http_filter_parse(const char *text, struct error *err);
/* Tells all that is wrong with it, and not the first alone: in every condition, however deep, one thing. */
void http_filter_check(const char *text, void (*each)(void *arg, const struct error *e), void *arg);
/* That of one port of the target's; with NULL for @text, or one that isn't for this port, it isn't set. */
struct http_filter *http_filter_parse_for(const char *text, uint16_t port, struct error *err);
void http_filter_free(struct http_filter *f);

/* False: it matches everything, on any port. */
bool http_filter_is_set(const struct http_filter *f);
/* Does it say anything about requests on that port of the target's? On others everything is the session's. */
bool http_filter_on_port(const struct http_filter *f, uint16_t port);

/* Can it match a connection of which there is no request to see (TLS), by its server name or its client? A request without a method stands
 * for such a connection; HTTP_NEEDS_BODY then means that nobody knows. */
bool http_filter_of_connection(const struct http_filter *f);

enum http_verdict { HTTP_NO, HTTP_YES, HTTP_NEEDS_BODY, HTTP_NEEDS_ANSWERS };
/* The last two only where the rest doesn't decide it: HTTP_NEEDS_BODY while body_state is HTTP_BODY_AHEAD, HTTP_NEEDS_ANSWERS while some of the
 * request's answers are pending. Takes little more than REGEX_BUDGET_US of processor time, whatever the patterns and the
 * request are; a request without answers waits for those of jq programs, each up to JQ_LIMIT_MS of its processor time. */
enum http_verdict http_filter_match(struct http_filter *f, const struct http_request *request);

/* Evaluations that were given up, and counted as no match: a regular expression took too long, a jq program took too long or too much
 * memory or failed. Since the filter was compiled. */
struct http_filter_trouble {
	uint64_t regex, jq;
};
struct http_filter_trouble http_filter_trouble(const struct http_filter *f);
