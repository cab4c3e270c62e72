// SPDX-License-Identifier: MIT
/* Heads of HTTP/2 as HTTP/1 and back (RFC 9113 §8.3). Internal to http. */
#pragma once

#include "http/h2_internal.h"

enum translate_body { TRANSLATE_EMPTY, TRANSLATE_AS_IS, TRANSLATE_CHUNKED };

/* Does it ask for a WebSocket (RFC 8441)? */
bool translate_is_websocket(const struct h2_block *b);
/* The head of a request as HTTP/1.1, put behind @out. @no_body: the request ends with its head. *ret_body: how a body is to follow.
 * False: it can't be put so (CONNECT for anything but a WebSocket), or there is no memory. */
bool translate_request(const struct h2_block *b, bool no_body, struct h2_queue *out, enum translate_body *ret_body);
/* What stands behind the last chunk: the trailer. */
bool translate_trailer(const struct h2_block *b, struct h2_queue *out);
/* The head of an answer, whole, as h1_parse_response() has accepted it; or the lines of a trailer, with @status 0. False without memory. */
bool translate_answer(const uint8_t *head, size_t len, unsigned int status, struct h2_block *ret);
