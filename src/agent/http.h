// SPDX-License-Identifier: MIT
/* HTTP on a stolen port: each request goes to the session whose filter it matches, or else where it was meant to go, on one and the same
 * client connection. What isn't HTTP, or isn't any more, becomes a plain relayed connection. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "http/filter.h"
#include "net/addr.h"
#include "net/loop.h"
#include "relay/egress.h"
#include "tunnel/subscription.h"

struct http_port;
struct http_taker;
struct tls_codec;
struct tls_delivery;

/* A session's side. */
struct http_taker_ops {
	/* Where a connection of @client's to @destination goes: the egress, and what to dial there. NULL: nowhere. */
	struct egress *(*deliver)(void *arg, const struct endpoint *client, const struct endpoint *destination, struct endpoint *ret_local,
				  struct endpoint *ret_remote);
	void (*count)(void *arg, enum counter what, uint64_t n);
};

/* What a session wants beside its filter; http/options.h. */
struct http_settings {
	size_t body_max;
	unsigned int body_ms;
	bool inject_headers, override_cache_control;
	const struct tls_delivery *delivery; /* the session's, as long as its taker is there */
};

/* The filters of one port of the target's, in the order in which they are asked. NULL without memory. */
struct http_port *http_port_new(struct loop *loop);
/* Connections that it has go on until they end; takers must be gone. */
void http_port_free(struct http_port *p);
/* A filter joins, behind those that are there; owned from here on. One that isn't set takes what no other wants, HTTP or not.
 * NULL without memory; @filter is freed then. */
struct http_taker *http_port_add(struct http_port *p, struct http_filter *filter, const struct http_settings *settings,
				 const struct http_taker_ops *ops, void *arg);
/* It gets no request any more; what it has got already it keeps. */
void http_taker_remove(struct http_taker *t);
/* Is there any with a filter, or one that wants answers to be changed? Else connections need no HTTP. */
bool http_port_needs_http(const struct http_port *p);
/* Somebody uses the port still. */
void http_port_ref(struct http_port *p);
void http_port_unref(struct http_port *p);

/* What an accepted connection is, and how the target's own program is to be reached: as egress_ops.dial, in the client's name. */
struct http_peers {
	struct endpoint client, destination;
	bool keeps_probes; /* the kubelet's requests are the app's, whatever the filters say */
	bool home_refused; /* who takes what no filter wants has refused the connection: all that is the app's */
	bool probing;	   /* and this is most likely one: a program is connected when it proves to be none */
	struct span sni, alpn; /* of a connection that was decrypted, as in struct tls_hello */
	int (*dial_app)(void *app, const struct endpoint *client, const struct endpoint *destination, dial_done_fn done, void *arg,
			struct dial **ret_dial);
	/* The same to a session's program by way of @e; @alpn: what to speak with it, else what the client speaks. NULL: plainly. */
	int (*dial_program)(void *app, struct egress *e, const struct endpoint *local, const struct endpoint *remote,
			    const struct tls_delivery *delivery, struct span alpn, dial_done_fn done, void *arg, struct dial **ret_dial);
	/* Nothing will be dialled any more. May be NULL. */
	void (*release)(void *app);
	void *app;
};
/* Dials where all goes that no filter wants, as egress_ops.dial. */
int http_dial_home(struct http_port *p, const struct http_peers *peers, dial_done_fn done, void *arg, struct dial **ret_dial);
/* Is that a session's program? */
bool http_port_takes_rest(const struct http_port *p);
/* Has whoever was dialled so refused the connection, and is it the app's then? */
bool http_refusal_passes(int error);
/* Takes the client's connection over (non-blocking, SO_LINGER 0), decrypted with @tls unless that is NULL, and connects to the app at once. */
void http_serve(struct http_port *p, int fd, struct tls_codec *tls, const struct http_peers *peers);
/* Resets every connection of every port. */
void http_reset_all(void);
/* Connections that are served, also those that are plain relayed ones by now. */
size_t http_count(void);
