// SPDX-License-Identifier: MIT
/* The session's sockets in relay namespace and twin. */
#include "twin/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "twin/layout.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

enum { RECEIVE_QUEUE = 8 << 20, BACKLOG = 65535 };

/* Passes what v0's ingress rule drops: everything but TCP packets other than a first SYN. Offsets count from the Ethernet header. */
static struct sock_filter packet_in_filter[] = {
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),			   /* 0: type */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 8),	   /* 1: not IPv4: to 10 */
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14 + 9),		   /* 2: protocol */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 13),   /* 3: not TCP: pass */
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 14 + 6),		   /* 4: fragment offset */
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 11, 0),	   /* 5: not the first: pass */
	BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),		   /* 6: header length */
	BPF_STMT(BPF_LD | BPF_B | BPF_IND, 14 + 13),		   /* 7: flags */
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x17),		   /* 8: FIN, SYN, RST, ACK */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 7, 6),	   /* 9: SYN alone: pass; else drop */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 5),	   /* 10: not IPv6: drop */
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14 + 6),		   /* 11: next header */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 4),	   /* 12: not TCP: pass */
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14 + 40 + 13),	   /* 13: flags */
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x17),		   /* 14 */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 1, 0),	   /* 15: SYN alone: pass; else drop */
	BPF_STMT(BPF_RET | BPF_K, 0),				   /* 16: drop */
	BPF_STMT(BPF_RET | BPF_K, 0xffffffff),			   /* 17: pass */
};

/* The larger queue needs privilege in the first user namespace; the smaller one is as large as sysctl net.core.rmem_max lets it be. */
static void enlarge_queue(int fd)
{
	int size = RECEIVE_QUEUE;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static int open_packet_in(uint32_t link, struct error *err)
{
	const struct sock_fprog filter = { .len = sizeof(packet_in_filter) / sizeof(packet_in_filter[0]), .filter = packet_in_filter };
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)link };
	_cleanup_fd_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno, "open a packet socket on %s", RELAY_LINK);
	enlarge_queue(fd);
	return fd_steal(&fd);
}

static int open_packet_out(struct error *err)
{
	_cleanup_fd_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) < 0)
		return error_set(err, errno, "open a packet socket to send");
	return fd_steal(&fd);
}

/* On the wildcard address: tproxy to a port without an address takes no other. Accepted sockets inherit the options. */
static int open_listener(int family, struct error *err)
{
	struct sockaddr_storage any = { .ss_family = (sa_family_t)family };
	_cleanup_fd_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, v6 = family == AF_INET6;

	((struct sockaddr_in *)&any)->sin_port = htons(TPROXY_PORT); /* the port stands at the same place in sockaddr_in6 */
	if (fd < 0 || setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &one, sizeof(one)) < 0 ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    fd_reset_on_close(fd, true) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&any, v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) < 0 || listen(fd, BACKLOG) < 0)
		return error_set(err, errno, "open the transparent listener (IPv%d)", v6 ? 6 : 4);
	/* Nothing is lost between here and the twin, and where bbr is the default it would pace. Every namespace may have reno. */
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
	return fd_steal(&fd);
}

int relay_sockets_open(struct twin *t, bool ipv6, struct error *err)
{
	t->packet_in = open_packet_in(t->relay_index, err);
	if (t->packet_in < 0)
		return -1;
	t->packet_out = open_packet_out(err);
	if (t->packet_out < 0)
		return -1;
	t->listeners[0] = open_listener(AF_INET, err);
	if (t->listeners[0] < 0)
		return -1;
	if (!ipv6)
		return 0;
	t->listeners[1] = open_listener(AF_INET6, err);
	return t->listeners[1] < 0 ? -1 : 0;
}

int twin_sockets_open(struct twin *t, struct error *err)
{
	int *fds[] = { &t->diag, &t->agent_diag };

	for (size_t i = 0; i < 2; i++) {
		*fds[i] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
		if (*fds[i] < 0)
			return error_set(err, errno, "open a sock_diag socket");
	}
	return 0;
}
