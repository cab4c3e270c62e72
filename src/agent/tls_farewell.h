// SPDX-License-Identifier: MIT
/* The end of a TLS connection that nobody needs any more: the peer is told all that it was to be told, and no reset overtakes that. */
#pragma once

#include "agent/tls_codec.h"
#include "net/loop.h"

/* Sends what is in @out, then TLS's own end and the socket's; what the peer says meanwhile is dropped. Over when the peer has ended, too, or after
 * two seconds. Owns all. */
void tls_farewell(struct loop *loop, struct tls_codec *codec, int fd, struct backlog *out);
void tls_farewell_reset_all(void);
size_t tls_farewell_count(void);
