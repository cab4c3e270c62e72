// SPDX-License-Identifier: MIT
/* The twin's sockets that take what comes from anyone, as its kernel listed them last. */
#pragma once

#include "base/table.h"
#include "net/sock_diag.h"
#include "tunnel/info.h"
#include "twin/notifier.h"

enum { SERVICES_MAX = 8192 /* sockets; those beyond are not seen */, FULL_MAX = 64 /* that have no room */ };

struct services {
	struct diag_socket sockets[SERVICES_MAX];
	size_t n;
	uint64_t full[FULL_MAX]; /* cookies of the list's listeners that have no room for a connection */
	size_t n_full;

	struct sock_diag *diag;
	struct table reported;
	uint16_t chosen_from, chosen_to; /* the ports that the twin's kernel chooses from */
};

/* @diag asks the twin's kernel, and outlives it; @info is of the twin's target. Returns 0 or -ENOMEM. */
int services_init(struct services *s, struct sock_diag *diag, const struct target_info *info);
void services_fini(struct services *s);
/* The keeper has seen a bind(2) of this UDP socket to a port. It counts until a list hasn't got it. */
void services_report(struct services *s, uint64_t cookie);
/* Lists them anew. A listener is shown as full from the second list on that found it so: a moment means nothing. False when the kernel's list
 * wasn't complete, and so this one isn't. */
bool services_list(struct services *s);
/* The one that a call of the program's made; NULL when it isn't listed. */
const struct diag_socket *services_find(const struct services *s, const struct notify_event *e);
/* As if it had been in the last list. NULL when that is full. */
const struct diag_socket *services_add(struct services *s, const struct diag_socket *one);
