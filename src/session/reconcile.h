// SPDX-License-Identifier: MIT
/* What the program still has open: the twin's sockets, listed from time to time. */
#pragma once

#include "net/loop.h"
#include "net/sock_diag.h"
#include "session/datagram.h"
#include "session/tcp.h"

struct reconciler;

/* @diag asks the twin's kernel; it stays the caller's. Lists only while there is something that may have ended. NULL with @err. */
struct reconciler *reconciler_new(struct loop *loop, struct sock_diag *diag, struct tcp *tcp, struct datagrams *datagrams, struct error *err);
/* Something began that may end unseen. */
void reconciler_poke(struct reconciler *r);
