// SPDX-License-Identifier: MIT
/* Datagrams over one unconnected socket, with the TTL and TOS of their IP headers.
 *
 * ICMP errors. The kernel keeps them in the socket's error queue (IP_RECVERR), with the datagram they are about. Besides, it makes the
 * next send or receive, whatever datagram that is for, fail with their errno. That failure has done nothing but clear the
 * pending error, so the call is made again; an error that is the call's own (no route, not permitted, too long) is there the second time, too.
 *
 * Errors of the kernel's own in the queue (SO_EE_ORIGIN_LOCAL) repeat what a send has returned, and are passed over. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <linux/errqueue.h> /* wants a struct timespec */

#include "net/control.h"
#include "relay/port_internal.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
	DATAGRAM_MAX = 65536,	/* with the IP header that a raw IPv4 socket gives */
	CONTROL_MAX = 256,	/* TTL and TOS, or an error with its offender */
	TRIES = 4,		/* while pending errors of earlier datagrams come in between */
	DEFAULT_TTL = 64,
};

/* What a batch is received into; one of an egress's for all its ports. Pages that no datagram was long enough for are never touched. */
struct mailbox {
	struct mmsghdr messages[MAILBOX_BATCH];
	struct iovec iov[MAILBOX_BATCH];
	struct sockaddr_storage peers[MAILBOX_BATCH];
	_Alignas(struct cmsghdr) uint8_t control[MAILBOX_BATCH][CONTROL_MAX];
	uint8_t data[MAILBOX_BATCH][DATAGRAM_MAX];
};

struct mailbox *mailbox_new(void)
{
	return malloc(sizeof(struct mailbox));
}

void mailbox_free(struct mailbox *m)
{
	free(m);
}

/* Multicast has a default TTL of its own, 1. */
static bool is_multicast(const struct ip *ip)
{
	return ip_is_v4(ip) ? (ip->b[12] & 0xf0) == 0xe0 : ip->b[0] == 0xff;
}

/* The socket's own TTL isn't said again. */
static void put_marks(struct msghdr *msg, const struct endpoint *to, struct packet_marks marks)
{
	if (marks.ttl == DEFAULT_TTL && !is_multicast(&to->ip))
		marks.ttl = 0;
	control_put_marks(msg, ip_is_v4(&to->ip), marks);
}

/* @segment: 0, or the length of each datagram of a train. */
static int send_message(int fd, const struct endpoint *to, struct packet_marks marks, const struct iovec iov[2], uint16_t segment)
{
	_Alignas(struct cmsghdr) uint8_t control[3 * CMSG_SPACE(sizeof(int))] = { 0 };
	struct sockaddr_storage sa;
	struct msghdr msg = { .msg_name = &sa, .msg_iov = (struct iovec *)iov, .msg_iovlen = 2, .msg_control = control };
	int error = 0;

	msg.msg_namelen = endpoint_to_sockaddr(to, &sa);
	put_marks(&msg, to, marks);
	if (segment)
		control_put(&msg, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	for (int i = 0; i < TRIES; i++) {
		if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		error = errno;
		if (error == EAGAIN || error == ENOBUFS || error == ENOMEM)
			return 0;
	}
	return error;
}

int datagram_let_fragment(int fd, int family, bool may)
{
	int v4 = may ? IP_PMTUDISC_DONT : IP_PMTUDISC_PROBE, v6 = may ? IPV6_PMTUDISC_DONT : IPV6_PMTUDISC_PROBE;

	if (family == AF_INET)
		return setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
	return setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
}

uint32_t datagram_path_mtu(int fd, const struct endpoint *to)
{
	bool v4 = ip_is_v4(&to->ip);
	struct sockaddr_storage sa;
	socklen_t sa_len = endpoint_to_sockaddr(to, &sa), len = sizeof(int);
	int mtu;

	if (connect(fd, (struct sockaddr *)&sa, sa_len) < 0 ||
	    getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &len) < 0)
		return 0;
	return (uint32_t)mtu;
}

int datagram_send(int fd, const struct endpoint *to, struct packet_marks marks, const void *head, size_t head_len,
		  const void *data, size_t len)
{
	const struct iovec iov[2] = { { (void *)head, head_len }, { (void *)data, len } };

	return send_message(fd, to, marks, iov, 0);
}

int datagram_send_train(int fd, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len, size_t segment)
{
	const struct iovec iov[2] = { { NULL, 0 }, { (void *)data, len } };

	return send_message(fd, to, marks, iov, (uint16_t)segment);
}

/* One byte or an int, as the kernel likes (IP_TOS is a byte). */
static int get_int(const struct cmsghdr *c)
{
	int value = 0;

	if (c->cmsg_len >= CMSG_LEN(sizeof(int)))
		memcpy(&value, CMSG_DATA(c), sizeof(int));
	else if (c->cmsg_len >= CMSG_LEN(1))
		value = *CMSG_DATA(c);
	return value;
}

/* Reads the control messages: TTL and TOS, and the error when there is one. */
static const struct sock_extended_err *read_control(struct msghdr *msg, struct packet_marks *marks)
{
	const struct sock_extended_err *error = NULL;

	*marks = (struct packet_marks){ .ttl = DEFAULT_TTL };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		bool v4 = c->cmsg_level == IPPROTO_IP;

		if (!v4 && c->cmsg_level != IPPROTO_IPV6)
			continue;
		if (c->cmsg_type == (v4 ? IP_TTL : IPV6_HOPLIMIT))
			marks->ttl = (uint8_t)get_int(c);
		else if (c->cmsg_type == (v4 ? IP_TOS : IPV6_TCLASS))
			marks->tos = (uint8_t)get_int(c);
		else if (c->cmsg_type == (v4 ? IP_RECVERR : IPV6_RECVERR) && c->cmsg_len >= CMSG_LEN(sizeof(*error)))
			error = (const struct sock_extended_err *)(const void *)CMSG_DATA(c);
	}
	return error;
}

static void prepare(struct mailbox *m, size_t i)
{
	m->iov[i] = (struct iovec){ m->data[i], DATAGRAM_MAX };
	m->messages[i].msg_hdr = (struct msghdr){
		.msg_name = &m->peers[i],
		.msg_namelen = sizeof(m->peers[i]),
		.msg_iov = &m->iov[i],
		.msg_iovlen = 1,
		.msg_control = m->control[i],
		.msg_controllen = CONTROL_MAX,
	};
}

size_t datagram_receive(struct mailbox *m, int fd, struct arrival ret[MAILBOX_BATCH])
{
	size_t n = 0;
	int r;

	for (size_t i = 0; i < MAILBOX_BATCH; i++)
		prepare(m, i);
	r = recvmmsg(fd, m->messages, MAILBOX_BATCH, MSG_DONTWAIT, NULL); /* after a pending error the loop calls again */
	for (int i = 0; i < r; i++) {
		ret[n] = (struct arrival){ .data = m->data[i], .len = m->messages[i].msg_len };
		if (!endpoint_from_sockaddr(&m->peers[i], &ret[n].peer))
			continue;
		read_control(&m->messages[i].msg_hdr, &ret[n].marks);
		n++;
	}
	return n;
}

static bool is_icmp(const struct sock_extended_err *error)
{
	return error && (error->ee_origin == SO_EE_ORIGIN_ICMP || error->ee_origin == SO_EE_ORIGIN_ICMP6);
}

bool datagram_receive_error(struct mailbox *m, int fd, struct arrival *ret, struct icmp_error *ret_error)
{
	const struct sock_extended_err *error;
	struct sockaddr_storage offender = { 0 };
	struct endpoint from = { 0 };
	ssize_t n;

	do {
		prepare(m, 0);
		n = recvmsg(fd, &m->messages[0].msg_hdr, MSG_ERRQUEUE | MSG_DONTWAIT);
		if (n < 0)
			return false;
		error = read_control(&m->messages[0].msg_hdr, &ret->marks);
	} while (!is_icmp(error) || !endpoint_from_sockaddr(&m->peers[0], &ret->peer));
	ret->data = m->data[0];
	ret->len = (size_t)n;
	memcpy(&offender, SO_EE_OFFENDER(error),
	       error->ee_origin == SO_EE_ORIGIN_ICMP ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	endpoint_from_sockaddr(&offender, &from);
	*ret_error = (struct icmp_error){
		.offender = from.ip,
		.type = error->ee_type,
		.code = error->ee_code,
		.info = error->ee_info,
	};
	return true;
}
