// SPDX-License-Identifier: MIT
/* A stolen connection on a port for which there are keys: decrypted, and then served as HTTP, or whatever it is. */
#pragma once

#include "agent/http.h"
#include "agent/tls_keys.h"

/* As http_serve(), which gets what isn't TLS. @keys get a reference. */
void tls_serve(struct http_port *p, struct loop *loop, int fd, const struct http_peers *peers, struct tls_keys *keys);
/* A session goes: connections to its program that were made ahead are given up. */
void tls_forget(const struct http_port *p);
/* Resets every connection. */
void tls_reset_all(void);
/* Connections whose handshake isn't done, and ends of those that are. */
size_t tls_count(void);
