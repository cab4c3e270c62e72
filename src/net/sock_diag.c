// SPDX-License-Identifier: MIT
/* sock_diag: a request by the addresses of one socket, or a dump. The kernel answers in our own calls, so nothing is waited for. */
#include "net/sock_diag.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 32768 };

struct sock_diag {
	int fd;
	bool owned;
	_Alignas(struct nlmsghdr) char answer[ANSWER_MAX];
};

struct diag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

struct sock_diag *sock_diag_open(struct error *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct sock_diag *d = fd < 0 ? NULL : sock_diag_over(fd, err);

	if (fd < 0)
		error_set(err, errno, "ask for sockets (CONFIG_INET_DIAG)");
	if (d)
		d->owned = true;
	else if (fd >= 0)
		close(fd);
	return d;
}

struct sock_diag *sock_diag_over(int fd, struct error *err)
{
	struct sock_diag *d = calloc(1, sizeof(*d));

	if (d)
		d->fd = fd;
	else
		error_set(err, ENOMEM, "ask for sockets");
	return d;
}

void sock_diag_close(struct sock_diag *d)
{
	if (!d)
		return;
	if (d->owned)
		close(d->fd);
	free(d);
}

static void put_ip(__be32 ret[4], const struct ip *ip)
{
	unsigned int len;
	const uint8_t *bytes = ip_bytes(ip, &len);

	memcpy(ret, bytes, len);
}

static struct diag_request request_for(uint16_t type, const struct endpoint *from, const struct endpoint *to)
{
	struct diag_request r = { .header = { .nlmsg_len = sizeof(r), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST },
				  .body = { .sdiag_family = (uint8_t)ip_family(&from->ip), .sdiag_protocol = IPPROTO_TCP } };

	r.body.idiag_states = ~0U;
	r.body.id.idiag_sport = htons(from->port);
	r.body.id.idiag_dport = htons(to->port);
	put_ip(r.body.id.idiag_src, &from->ip);
	put_ip(r.body.id.idiag_dst, &to->ip);
	r.body.id.idiag_cookie[0] = r.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return r;
}

static struct ip get_ip(int family, const __be32 from[4])
{
	return family == AF_INET ? ip_from_v4(from) : ip_from_v6(from);
}

static void read_options(const struct nlmsghdr *h, struct diag_socket *ret)
{
	struct inet_diag_sockopt o = { 0 };
	const struct nlattr *attr;

	mnl_attr_for_each(attr, h, sizeof(struct inet_diag_msg)) {
		if (mnl_attr_get_type(attr) == INET_DIAG_SOCKOPT && mnl_attr_get_payload_len(attr) >= sizeof(o))
			memcpy(&o, mnl_attr_get_payload(attr), sizeof(o));
		else if (mnl_attr_get_type(attr) == INET_DIAG_SKV6ONLY && mnl_attr_get_payload_len(attr) >= sizeof(uint8_t))
			ret->v6only = mnl_attr_get_u8(attr);
	}
	ret->transparent = o.transparent;
	ret->no_port = o.bind_address_no_port;
}

static struct diag_socket read_socket(const struct nlmsghdr *h, uint8_t protocol)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct diag_socket s = { .protocol = protocol, .state = m->idiag_state };

	s.local = (struct endpoint){ get_ip(m->idiag_family, m->id.idiag_src), ntohs(m->id.idiag_sport) };
	s.remote = (struct endpoint){ get_ip(m->idiag_family, m->id.idiag_dst), ntohs(m->id.idiag_dport) };
	s.cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
	if (protocol == IPPROTO_TCP && s.state == TCP_LISTEN) {
		s.waiting = m->idiag_rqueue;
		s.backlog = m->idiag_wqueue;
		s.full = s.waiting > s.backlog;
	}
	read_options(h, &s);
	return s;
}

static ssize_t receive(struct sock_diag *d)
{
	ssize_t n;

	do
		n = recv(d->fd, d->answer, sizeof(d->answer), 0);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The errno of an error message, negative; 0 is an acknowledgement. */
static int message_error(const struct nlmsghdr *h)
{
	return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
}

static int find(struct sock_diag *d, const struct diag_request *r, struct diag_socket *ret)
{
	const struct nlmsghdr *h = (const void *)d->answer;
	struct diag_socket s;
	ssize_t n;

	if (send(d->fd, r, sizeof(*r), 0) < 0 || (n = receive(d)) < 0)
		return -errno;
	if (!NLMSG_OK(h, (size_t)n))
		return -EIO;
	if (h->nlmsg_type == NLMSG_ERROR)
		return message_error(h) == -ENOENT ? 0 : message_error(h);
	s = read_socket(h, r->body.sdiag_protocol);
	if (ret)
		*ret = s;
	return s.state;
}

int sock_diag_find(struct sock_diag *d, const struct endpoint *local, const struct endpoint *remote, struct diag_socket *ret)
{
	const struct diag_request r = request_for(SOCK_DIAG_BY_FAMILY, local, remote);

	return find(d, &r, ret);
}

/* Here the kernel wants the packet's source first. */
int sock_diag_find_udp(struct sock_diag *d, const struct endpoint *local, const struct endpoint *remote, struct diag_socket *ret)
{
	struct diag_request r = request_for(SOCK_DIAG_BY_FAMILY, remote, local);

	r.body.sdiag_protocol = IPPROTO_UDP;
	return find(d, &r, ret);
}

/* Reads the answers to a dump; @port 0 is any. Returns 0 or -errno. */
static int read_dump(struct sock_diag *d, uint8_t protocol, uint16_t port, void (*each)(void *arg, const struct diag_socket *s), void *arg)
{
	for (;;) {
		ssize_t n = receive(d);
		size_t left = n < 0 ? 0 : (size_t)n;

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		for (const struct nlmsghdr *h = (const void *)d->answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			struct diag_socket s;

			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return message_error(h);
			s = read_socket(h, protocol);
			if (!port || s.local.port == port)
				each(arg, &s);
		}
	}
}

int sock_diag_list(struct sock_diag *d, uint8_t protocol, uint16_t port, uint32_t states,
		   void (*each)(void *arg, const struct diag_socket *s), void *arg)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (int i = 0; i < 2; i++) {
		const struct endpoint any = { .ip = families[i] == AF_INET ? IP_ANY4 : IP_ANY6, .port = port };
		struct diag_request r = request_for(SOCK_DIAG_BY_FAMILY, &any, &(struct endpoint){ .ip = any.ip });
		int rc;

		r.header.nlmsg_flags |= NLM_F_DUMP;
		r.body.sdiag_protocol = protocol;
		r.body.idiag_states = states;
		rc = send(d->fd, &r, sizeof(r), 0) < 0 ? -errno : read_dump(d, protocol, port, each, arg);
		if (rc < 0 && !(families[i] == AF_INET6 && rc == -ENOENT)) /* a kernel without IPv6 */
			return rc;
	}
	return 0;
}

int sock_diag_list_services(struct sock_diag *d, uint8_t protocol, void (*each)(void *arg, const struct diag_socket *s), void *arg)
{
	return sock_diag_list(d, protocol, 0, protocol == IPPROTO_TCP ? 1 << TCP_LISTEN : 1 << TCP_CLOSE, each, arg);
}

int sock_diag_destroy(struct sock_diag *d, const struct diag_socket *s)
{
	struct diag_request r = request_for(SOCK_DESTROY, &s->local, &s->remote);
	const struct nlmsghdr *h = (const void *)d->answer;
	ssize_t n;

	r.header.nlmsg_flags |= NLM_F_ACK;
	r.body.id.idiag_cookie[0] = (uint32_t)s->cookie;
	r.body.id.idiag_cookie[1] = (uint32_t)(s->cookie >> 32);
	if (send(d->fd, &r, sizeof(r), 0) < 0 || (n = receive(d)) < 0)
		return -errno;
	return NLMSG_OK(h, (size_t)n) && h->nlmsg_type == NLMSG_ERROR ? message_error(h) : -EIO;
}
