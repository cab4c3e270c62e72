// SPDX-License-Identifier: MIT
/* What is ours: a connection that we accepted is transparent, and the target's side of one that we pass on has an end of ours. */
#include "agent/flush.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "agent/passes.h"
#include "base/log.h"
#include "net/sock_diag.h"

struct found {
	const struct passes *passes;
	struct diag_socket *all;
	size_t n, room;
};

static void note(void *arg, const struct diag_socket *s)
{
	struct found *f = arg;

	if (s->transparent || passes_has(f->passes, &s->remote, &s->local))
		return;
	if (f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 64;
		struct diag_socket *more = realloc(f->all, room * sizeof(*more));

		if (!more)
			return;
		f->all = more;
		f->room = room;
	}
	f->all[f->n++] = *s;
}

unsigned int flush_connections(struct sock_diag *d, const struct passes *passes, uint16_t port)
{
	const uint32_t states = 1 << TCP_ESTABLISHED | 1 << TCP_SYN_RECV | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_CLOSE_WAIT;
	struct found f = { .passes = passes };
	unsigned int n = 0;
	int r = sock_diag_list(d, IPPROTO_TCP, port, states, note, &f);

	for (size_t i = 0; i < f.n; i++) {
		int error = sock_diag_destroy(d, &f.all[i]);

		if (error == 0)
			n++;
		else if (error != -ENOENT)
			r = error;
	}
	if (r < 0)
		log_warn("steal: connections of port %u could not all be reset (CONFIG_INET_DIAG_DESTROY): %s", port, strerror(-r));
	free(f.all);
	return n;
}
