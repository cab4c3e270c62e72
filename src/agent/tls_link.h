// SPDX-License-Identifier: MIT
/* A TLS connection on one side, the same bytes in the clear on the other, for whoever moves or reads those. */
#pragma once

#include "agent/openssl.h"
#include "base/list.h"
#include "net/loop.h"

struct tls_link;

/* Of an owner who may have more of them. @node: in a list of the owner's; removed when the link ends. */
struct tls_link *tls_link_of(struct list *node);

/* @fd's handshake is done by @ssl; both, and the stream socket @plain, are owned, all non-blocking. What @plain's other end closes before it
 * has read the peer's end is an end, too; see tls_link_relays(). Listed in @owner. -1: no memory, all is closed. */
int tls_link_start(struct loop *loop, SSL *ssl, int fd, int plain, struct list *owner);
/* From now on such a close is a reset (egress_ops.take). */
void tls_link_relays(struct tls_link *l);
void tls_link_reset_all(void);
size_t tls_link_count(void);
