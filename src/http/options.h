// SPDX-License-Identifier: MIT
/* What a session says of HTTP on the target's ports beside its filter: limits, what answers are marked with, and TLS. Travels as JSON text in
 * SUBSCRIBE; docs/protocol.md says what is in it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
	HTTP_BODY_MAX = 65535, /* defaults: of a request that is kept for a filter on its body */
	HTTP_BODY_MS = 1000,
	HTTP_BODY_MOST = 16 << 20,
	TLS_NAMES = 8,	/* of ALPN */
	TLS_ROOTS = 32, /* files */
	TLS_PORTS = 64,
};

/* Files in the target, or PEM text itself ("-----BEGIN …"). */
struct tls_identity {
	const char *cert, *key; /* NULL: none */
};

/* Whom to believe. @wanted: the peer is looked at at all. */
struct tls_trust {
	bool wanted, anybody, nobody_too; /* nobody_too: a client may come without a certificate */
	const char *roots[TLS_ROOTS];
	size_t n_roots;
};

/* One port on which the agent decrypts. The names in the text are those of MirrordTlsStealConfig's spec.ports. */
struct tls_port_options {
	uint16_t port;
	struct tls_identity server, client; /* what it shows to clients, and to the app */
	struct tls_trust clients, app;
	const char *alpn[TLS_NAMES];
	size_t n_alpn;
	bool has_alpn; /* false: what the app chooses */
};

/* How the session's program gets what was decrypted. */
struct tls_delivery_options {
	bool plain;
	const char *roots, *cert; /* PEM texts; NULL: none */
	const char *server_name;
};

/* Strings are the JSON's, which goes with http_options_fini(). */
struct http_options {
	size_t body_max;
	unsigned int body_ms;
	bool inject_headers, override_cache_control;
	struct tls_port_options *tls;
	size_t n_tls;
	struct tls_delivery_options delivery;
	json_t *json;
};

/* NULL is the defaults. 0, or -1 with @err: where in the object, and what is wrong. */
int http_options_parse(const char *text, struct http_options *ret, struct error *err);
/* Tells all that is wrong with it, and not the first alone. @text is JSON. */
void http_options_check(const char *text, void (*each)(void *arg, const struct error *e), void *arg);
void http_options_fini(struct http_options *o);
