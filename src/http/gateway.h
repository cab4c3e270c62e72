// SPDX-License-Identifier: MIT
/* HTTP/2 for a server that speaks HTTP/1 alone: the server's end of an h2_link (h2.h), whose requests become exchanges, one on a connection of
 * HTTP/1 at a time. Bytes in, bytes out; the connections are the caller's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gateway;
struct exchange;

struct gateway_events {
	/* A request wants a connection. */
	void (*on_exchange)(void *arg, struct exchange *x);
	/* The client has given it up; it is freed behind this. */
	void (*on_cancel)(void *arg, struct exchange *x);
};

/* NULL without memory. */
struct gateway *gateway_new(const struct gateway_events *events, void *arg);
/* With its exchanges, without a word. */
void gateway_free(struct gateway *g);
/* As h2_receive() and h2_pull(). */
bool gateway_receive(struct gateway *g, const uint8_t *data, size_t len);
size_t gateway_pull(struct gateway *g, const uint8_t **ret_data);

/* The caller's own. */
void exchange_set_owner(struct exchange *x, void *owner);
void *exchange_owner(const struct exchange *x);
/* What is to be sent to the server now; and that so much of it was. */
size_t exchange_request(const struct exchange *x, const uint8_t **ret_data);
void exchange_sent(struct exchange *x, size_t len);
/* A WebSocket: the connection is its own for good. */
bool exchange_is_websocket(const struct exchange *x);
/* … whose client has ended, and all of it was sent: the server is to hear that. */
bool exchange_wants_end(const struct exchange *x);
/* Is there room for more of the answer? */
bool exchange_has_room(const struct exchange *x);
/* Bytes of the server's. False: they are no answer, which the client has been told. */
bool exchange_receive(struct exchange *x, const uint8_t *data, size_t len);
/* The server has ended. */
void exchange_end(struct exchange *x);
/* There will be no answer: 502 with @why, or a reset when it had begun. */
void exchange_fail(struct exchange *x, const char *why);
/* All of the answer is there. It goes on by itself; the caller lets go of it. *ret_keeps: the connection is good for another one. */
bool exchange_is_done(const struct exchange *x, bool *ret_keeps);
void exchange_let_go(struct exchange *x);
