// SPDX-License-Identifier: MIT
/* A TLS connection on one side, the same bytes in the clear on the other, for whoever moves those (relay/pump.h). */
#pragma once

#include "agent/tls_codec.h"
#include "net/loop.h"

/* Owns both. Returns the end of a socket pair behind which the connection is, as egress_ops.take does, or -errno. */
int tls_link_start(struct loop *loop, struct tls_codec *codec, int fd);
void tls_link_reset_all(void);
size_t tls_link_count(void);
