// SPDX-License-Identifier: MIT
/* A TLS connection on one side, the same bytes in the clear on the other, for whoever moves those (relay/pump.h). */
#pragma once

#include "agent/tls_codec.h"
#include "net/loop.h"

struct tls_link;

/* Owns both. Returns the end of a socket pair behind which the connection is, as egress_ops.take does, or -errno. *ret_link is there until its
 * events, which come later, have ended it. */
int tls_link_start(struct loop *loop, struct tls_codec *codec, int fd, struct tls_link **ret_link);
/* Somebody moves the bytes of each to the other: where one ends without TLS's own end, so does the other. */
void tls_link_join(struct tls_link *a, struct tls_link *b);
void tls_link_reset_all(void);
size_t tls_link_count(void);
