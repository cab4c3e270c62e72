// SPDX-License-Identifier: MIT
/* A dial that becomes TLS when it is connected: done when the handshake is. It can be taken, by tls_dial_take(), or abandoned. */
#pragma once

#include "agent/openssl.h"
#include "agent/tls_codec.h"
#include "http/request.h"
#include "net/loop.h"
#include "relay/egress.h"

struct tls_dial;

/* What is asked for. @alpn is a list as on the wire, or empty. */
struct tls_wish {
	SSL_CTX *context;
	const char *server_name; /* "": none */
	bool any_name;		 /* its certificate may be for another */
	struct span alpn;
};

/* NULL without memory. */
struct tls_dial *tls_dial_new(struct loop *loop, const struct tls_wish *wish, dial_done_fn done, void *arg);
/* For the dial of the connection itself: its dial_done_fn, whose argument is the tls_dial, and where it is kept. */
void tls_dial_on_connected(void *arg, int error);
struct dial **tls_dial_inner(struct tls_dial *d);
/* With what that dial has returned; this is then the result of the whole, as egress_ops.dial has it. It never is 0. */
int tls_dial_begin(struct tls_dial *d, int result, struct dial **ret_dial);
bool tls_dial_is(const struct dial *d);
/* Of one that is done: the socket, or -errno, and what decrypts it. The dial is gone. */
int tls_dial_take(struct dial *d, struct tls_codec **ret);
/* Of one that is connected: the egress that it goes by. */
struct egress *tls_dial_egress(const struct dial *d);
/* Of one that is done: the protocol that the server chose, or empty. */
struct span tls_dial_alpn(const struct dial *d);
