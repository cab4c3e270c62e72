// SPDX-License-Identifier: MIT
/* What launcher (the process that becomes the program) and session say to each other, over a SOCK_SEQPACKET pair:
 *
 *   session → launcher   READY, with the twin's namespaces, the target's description and a pidfd of the session; or FAILED, with the error
 *   launcher → session   ANCHOR, with the seccomp listener, a pidfd of the launcher and the guard's socket
 *   session → launcher   GO
 *
 * The end of the launcher's side before ANCHOR ends the session; after it means that the program is running. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum handshake_kind { HANDSHAKE_READY = 1, HANDSHAKE_FAILED, HANDSHAKE_ANCHOR, HANDSHAKE_GO };

struct handshake {
	enum handshake_kind kind;
	bool has_user_ns;
	struct error error;
};

/* Descriptors of READY, in this order; user_ns last and only when there is one. */
enum { READY_NET_NS, READY_UTS_NS, READY_INFO, READY_SESSION, READY_USER_NS, READY_FDS };
enum { ANCHOR_LISTENER, ANCHOR_PIDFD, ANCHOR_GUARD, ANCHOR_FDS };
