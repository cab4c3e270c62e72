// SPDX-License-Identifier: MIT
/* What a session has told us to decrypt with: certificates, keys, and whom to believe, ready for use. */
#pragma once

#include "agent/openssl.h"
#include "http/options.h"
#include "http/request.h"

/* One entry of feature.network.incoming.steal_tls. */
struct tls_key {
	SSL_CTX *server, *app; /* towards clients, towards the target's program */
	X509 *cert;	       /* that clients are shown */
	unsigned char alpn[TLS_NAMES * 256];
	size_t alpn_len;
	bool has_alpn; /* these alone are spoken; else what the app chooses */
};

/* The entries for one port. */
struct tls_keys {
	struct tls_key keys[TLS_PORTS];
	size_t n;
	unsigned int refs;
};

/* Those for @port, 0 for any port. @root: the target's root directory (-1: out of reach), for paths. *ret NULL when there are none. Returns 0, or
 * -1 with @err: which entry, which file, and what is wrong. */
int tls_keys_new(const struct http_options *o, uint16_t port, int root, struct tls_keys **ret, struct error *err);
struct tls_keys *tls_keys_ref(struct tls_keys *k);
void tls_keys_unref(struct tls_keys *k);
/* The entry whose certificate is for @name, else the first one. */
const struct tls_key *tls_keys_for(const struct tls_keys *k, struct span name);

/* How a session's program is to have what was decrypted. */
struct tls_delivery {
	SSL_CTX *program; /* NULL: in the clear */
	char server_name[256];
	bool any_name; /* it must show a certificate that is for no name that could be asked for */
};
int tls_delivery_init(struct tls_delivery *d, const struct tls_delivery_options *o, struct error *err);
void tls_delivery_fini(struct tls_delivery *d);
