// SPDX-License-Identifier: MIT
/* What launcher (the process that becomes the program) and session say to each other, over a SOCK_SEQPACKET pair:
 *
 *   session → launcher   READY, with the twin's namespaces and the target's description; or FAILED, with the error
 *   launcher → session   ANCHOR, with the seccomp listener and a pidfd of the launcher
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
enum { READY_NET_NS, READY_UTS_NS, READY_INFO, READY_USER_NS, READY_FDS };
enum { ANCHOR_LISTENER, ANCHOR_PIDFD, ANCHOR_FDS };
