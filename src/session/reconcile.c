// SPDX-License-Identifier: MIT
/* Reconciling with the twin.
 *
 * A UDP socket that is closed says nothing on the wire, and neither does a TCP socket that gives up connecting. In the target their
 * ports would be free at once; here the egress still has a socket for each. So once a second, while there are any (ten times a second
 * while a connection is being made, or there are very many UDP sockets: a resolver that opens one a question), the twin's kernel is asked
 * which UDP ports are bound and which TCP ports are connecting. An offer (tcp.c) that nobody takes has a socket in another state, or none. */
#include "session/reconcile.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "net/sock_diag.h"

enum { MANY = 1024, PORTS = 65536, WORD = 64 };
enum { TAKES_OFFERS = ~(1 << TCP_LISTEN | 1 << TCP_CLOSE | 1 << TCP_TIME_WAIT) };
#define PERIOD LOOP_SECOND
#define PERIOD_SHORT (100 * (uint64_t)LOOP_MS)

struct reconciler {
	struct loop *loop;
	struct sock_diag *diag;
	struct tcp *tcp;
	struct datagrams *datagrams;
	struct timer timer;
	uint64_t ports[PORTS / WORD];
};

static void note_port(void *arg, const struct diag_socket *s)
{
	struct reconciler *r = arg;

	r->ports[s->local.port / WORD] |= 1ULL << s->local.port % WORD;
}

/* IPv4 and IPv6 together: a port that either has is taken as alive. */
static bool list_ports(struct reconciler *r, uint8_t protocol, uint32_t states)
{
	memset(r->ports, 0, sizeof(r->ports));
	return sock_diag_list(r->diag, protocol, 0, states, note_port, r) == 0;
}

static bool port_listed(const struct reconciler *r, uint16_t port)
{
	return r->ports[port / WORD] >> port % WORD & 1;
}

static bool udp_alive(void *arg, const struct endpoint *local)
{
	return port_listed(arg, local->port);
}

static bool tcp_alive(void *arg, const struct endpoint *local, const struct endpoint *remote)
{
	return port_listed(arg, local->port);
}

static void on_due(struct timer *t)
{
	struct reconciler *r = container_of(t, struct reconciler, timer);
	size_t n = datagrams_count(r->datagrams);

	if (tcp_pending(r->tcp) && list_ports(r, IPPROTO_TCP, 1U << TCP_SYN_SENT))
		tcp_reconcile(r->tcp, tcp_alive, r);
	if (tcp_has_stale_offer(r->tcp) && list_ports(r, IPPROTO_TCP, (uint32_t)TAKES_OFFERS))
		tcp_reconcile_offers(r->tcp, tcp_alive, r);
	if (n && list_ports(r, IPPROTO_UDP, ~0U))
		datagrams_reconcile(r->datagrams, udp_alive, r, PERIOD_SHORT / 2);
	loop_arm(r->loop, t, loop_now(r->loop) + (tcp_pending(r->tcp) || n > MANY ? PERIOD_SHORT : PERIOD));
}

void reconciler_poke(struct reconciler *r)
{
	uint64_t soon = loop_now(r->loop) + PERIOD_SHORT;

	if (r->timer.due > soon)
		loop_arm(r->loop, &r->timer, soon);
}

struct reconciler *reconciler_new(struct loop *loop, struct sock_diag *diag, struct tcp *tcp, struct datagrams *datagrams, struct error *err)
{
	struct reconciler *r = calloc(1, sizeof(*r));

	if (!r) {
		error_set(err, ENOMEM, "make the reconciler");
		return NULL;
	}
	*r = (struct reconciler){ .loop = loop, .diag = diag, .tcp = tcp, .datagrams = datagrams, .timer.on_due = on_due };
	loop_arm(loop, &r->timer, loop_now(loop) + PERIOD);
	return r;
}
