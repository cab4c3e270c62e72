// SPDX-License-Identifier: MIT
/* Sending UDP by raw sockets.
 *
 * A UDP socket can't have a port that another one is bound to, unless both allow it; the target's program owes us no such favour. A raw one
 * has no port at all: the UDP header is ours, the IP header with any source address (IP_TRANSPARENT, IP_PKTINFO) the kernel's, and so is
 * fragmentation. It is bound to an address that nobody sends to, or it would be given a copy of every datagram of the target's. */
#include "agent/raw_udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/layout.h"
#include "base/fd.h"
#include "net/bytes.h"
#include "net/control.h"

enum { V4, V6, CHECKSUM_AT = 6 };

static int set_options(int fd, bool v4, uint32_t mark)
{
	static const int on = 1, checksum_at = CHECKSUM_AT;
	int v4_cut = IP_PMTUDISC_DONT, v6_cut = IPV6_PMTUDISC_DONT;

	if (setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &on, sizeof(on)) < 0)
		return -1;
	if (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return -1;
	if (v4)
		return setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4_cut, sizeof(v4_cut));
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6_cut, sizeof(v6_cut)) < 0)
		return -1;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, &checksum_at, sizeof(checksum_at));
}

int raw_udp_open(struct raw_udp *r, uint32_t mark, struct error *err)
{
	for (int v = V4; v <= V6; v++) {
		struct endpoint nowhere = { .port = 0 };
		struct sockaddr_storage sa;
		socklen_t len;

		r->fds[v] = socket(v == V4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
		if (r->fds[v] < 0 && v == V6 && errno == EAFNOSUPPORT)
			return 0;
		ip_parse(v == V4 ? AGENT_ADDRESS4 : AGENT_ADDRESS6, &nowhere.ip);
		len = endpoint_to_sockaddr(&nowhere, &sa);
		if (r->fds[v] < 0 || set_options(r->fds[v], v == V4, mark) < 0 || bind(r->fds[v], (struct sockaddr *)&sa, len) < 0)
			return error_set(err, errno, "make a raw socket for UDP (IPv%c)", v == V4 ? '4' : '6');
	}
	return 0;
}

void raw_udp_close(struct raw_udp *r)
{
	fd_closep(&r->fds[V4]);
	fd_closep(&r->fds[V6]);
}

struct control {
	_Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int))];
};

/* RFC 768; a sum of 0 is sent as its complement. Over IPv6 the kernel does it. */
static uint16_t checksum(const struct endpoint *from, const struct endpoint *to, const uint8_t header[8], const void *data, size_t len)
{
	unsigned int ip_len;
	const uint8_t *a = ip_bytes(&from->ip, &ip_len), *b = ip_bytes(&to->ip, &ip_len);
	uint64_t sum = packet_sum_add(packet_sum_add(0, a, ip_len), b, ip_len) + IPPROTO_UDP + len + 8;
	uint16_t folded = packet_sum_fold(packet_sum_add(packet_sum_add(sum, header, 8), data, len));

	return folded ? folded : 0xffff;
}

int raw_udp_send(const struct raw_udp *r, const struct endpoint *from, const struct endpoint *to, struct packet_marks marks, const void *data,
		 size_t len)
{
	bool v4 = ip_is_v4(&to->ip);
	uint8_t header[8] = { 0 };
	struct iovec iov[2] = { { header, sizeof(header) }, { (void *)data, len } };
	struct control control = { 0 };
	struct endpoint there = { .ip = to->ip };
	struct sockaddr_storage sa;
	struct msghdr msg = { .msg_name = &sa, .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.bytes };

	if (len > UINT16_MAX - sizeof(header) || r->fds[v4 ? V4 : V6] < 0)
		return EMSGSIZE;
	put16(header, from->port);
	put16(header + 2, to->port);
	put16(header + 4, (uint16_t)(len + sizeof(header)));
	if (v4)
		put16(header + CHECKSUM_AT, checksum(from, to, header, data, len));
	msg.msg_namelen = endpoint_to_sockaddr(&there, &sa);
	control_put_source(&msg, ip_is_v4(&from->ip), &from->ip);
	control_put_marks(&msg, v4, marks);
	if (sendmsg(r->fds[v4 ? V4 : V6], &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
		return 0;
	return errno;
}
