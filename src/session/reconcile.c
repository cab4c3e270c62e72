// SPDX-License-Identifier: MIT
/* Reconciling with the twin.
 *
 * A UDP socket that is closed says nothing on the wire, and neither does a TCP socket that gives up connecting. In the target their
 * ports would be free at once; here the egress still has a socket for each. So once a second, while there are any (ten times a second
 * while a connection is being made, or there are very many UDP sockets: a resolver that opens one a question), the twin's kernel is asked
 * which UDP ports are bound and which TCP ports are connecting (sock_diag(7)). The answer is complete when the last recv() returns: the
 * kernel writes it in our own calls. */
#include "session/reconcile.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

enum { MANY = 1024, PORTS = 65536, WORD = 64 };
#define PERIOD LOOP_SECOND
#define PERIOD_SHORT (100 * (uint64_t)LOOP_MS)

struct reconciler {
	struct loop *loop;
	int diag;
	struct tcp *tcp;
	struct datagrams *datagrams;
	struct timer timer;
	uint64_t ports[PORTS / WORD];
};

static int request(int diag, int family, int protocol, uint32_t states)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} r = { .header = { .nlmsg_len = sizeof(r), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .sdiag_family = (uint8_t)family, .sdiag_protocol = (uint8_t)protocol, .idiag_states = states } };

	return send(diag, &r, sizeof(r), 0) == (ssize_t)sizeof(r) ? 0 : -1;
}

static void note_port(struct reconciler *r, const struct inet_diag_msg *m)
{
	uint16_t port = ntohs(m->id.idiag_sport);

	r->ports[port / WORD] |= 1ULL << port % WORD;
}

/* Adds the ports of one dump. Returns 0, or -1 when it is not complete. */
static int list(struct reconciler *r, int family, int protocol, uint32_t states)
{
	_Alignas(struct nlmsghdr) char answer[32768];

	if (request(r->diag, family, protocol, states) < 0)
		return -1;
	for (;;) {
		ssize_t len = recv(r->diag, answer, sizeof(answer), 0);
		size_t left = len < 0 ? 0 : (size_t)len;

		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0)
			return -1;
		for (const struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return -1;
			note_port(r, NLMSG_DATA(h));
		}
	}
}

/* IPv4 and IPv6 together: a port that either has is taken as alive. A kernel without IPv6 refuses its half. */
static bool list_both(struct reconciler *r, int protocol, uint32_t states)
{
	memset(r->ports, 0, sizeof(r->ports));
	if (list(r, AF_INET, protocol, states) < 0)
		return false;
	return list(r, AF_INET6, protocol, states) == 0 || access("/proc/sys/net/ipv6", F_OK) < 0;
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

	if (tcp_pending(r->tcp) && list_both(r, IPPROTO_TCP, 1U << TCP_SYN_SENT))
		tcp_reconcile(r->tcp, tcp_alive, r);
	if (n && list_both(r, IPPROTO_UDP, ~0U))
		datagrams_reconcile(r->datagrams, udp_alive, r, PERIOD_SHORT / 2);
	loop_arm(r->loop, t, loop_now(r->loop) + (tcp_pending(r->tcp) || n > MANY ? PERIOD_SHORT : PERIOD));
}

void reconciler_poke(struct reconciler *r)
{
	uint64_t soon = loop_now(r->loop) + PERIOD_SHORT;

	if (r->timer.due > soon)
		loop_arm(r->loop, &r->timer, soon);
}

struct reconciler *reconciler_new(struct loop *loop, int diag, struct tcp *tcp, struct datagrams *datagrams, struct error *err)
{
	struct reconciler *r = calloc(1, sizeof(*r));

	if (!r) {
		close(diag);
		error_set(err, ENOMEM, "make the reconciler");
		return NULL;
	}
	*r = (struct reconciler){ .loop = loop, .diag = diag, .tcp = tcp, .datagrams = datagrams, .timer.on_due = on_due };
	loop_arm(loop, &r->timer, loop_now(loop) + PERIOD);
	return r;
}

void reconciler_free(struct reconciler *r)
{
	if (!r)
		return;
	loop_disarm(r->loop, &r->timer);
	close(r->diag);
	free(r);
}
