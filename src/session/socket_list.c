// SPDX-License-Identifier: MIT
/* Dumps of sock_diag(7). */
#include "session/socket_list.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct dump {
	int diag, protocol;
	void (*each)(void *arg, const struct listed_socket *s);
	void *arg;
};

static int request(int diag, int family, int protocol, uint32_t states)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} r = { .header = { .nlmsg_len = sizeof(r),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = {
		    .sdiag_family = (uint8_t)family, .sdiag_protocol = (uint8_t)protocol, .idiag_states = states } };

	return send(diag, &r, sizeof(r), 0) == (ssize_t)sizeof(r) ? 0 : -1;
}

static bool is_v6only(const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	unsigned int left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));

	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == INET_DIAG_SKV6ONLY)
			return *(const uint8_t *)RTA_DATA(a) != 0;
	return false;
}

static void give(const struct dump *d, const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct listed_socket s = { .protocol = d->protocol,
				   .local.port = ntohs(m->id.idiag_sport),
				   .cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0],
				   .v6only = is_v6only(h) };

	s.local.ip = m->idiag_family == AF_INET ? ip_from_v4(m->id.idiag_src) : ip_from_v6(m->id.idiag_src);
	d->each(d->arg, &s);
}

/* Returns 0, or -1 when it is not complete. */
static int list(const struct dump *d, int family, uint32_t states)
{
	_Alignas(struct nlmsghdr) char answer[32768];

	if (request(d->diag, family, d->protocol, states) < 0)
		return -1;
	for (;;) {
		ssize_t len = recv(d->diag, answer, sizeof(answer), 0);
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
			give(d, h);
		}
	}
}

/* A kernel without IPv6 refuses its half. */
bool socket_list(int diag, int protocol, uint32_t states, void (*each)(void *arg, const struct listed_socket *s),
		 void *arg)
{
	const struct dump d = { .diag = diag, .protocol = protocol, .each = each, .arg = arg };

	if (list(&d, AF_INET, states) < 0)
		return false;
	return list(&d, AF_INET6, states) == 0 || access("/proc/sys/net/ipv6", F_OK) < 0;
}
