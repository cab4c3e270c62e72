// SPDX-License-Identifier: MIT
/* One entry by its original direction. What is tracked has two directions: the one that the first packet had, and the one that answers have
 * before they are changed back, which begins at the socket that really answers. */
#include "net/conntrack.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum { MESSAGE_MAX = 4096 };

struct conntrack {
	int fd;
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_MAX];
};

struct conntrack *conntrack_open(void)
{
	struct conntrack *c = calloc(1, sizeof(*c));

	if (c && (c->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER)) >= 0)
		return c;
	free(c);
	return NULL;
}

void conntrack_close(struct conntrack *c)
{
	if (!c)
		return;
	close(c->fd);
	free(c);
}

/* Whether this network namespace has entries at all. */
static bool is_tracking(void)
{
	_cleanup_fd_ int fd = open("/proc/sys/net/netfilter/nf_conntrack_count", O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && atol(text) > 0;
}

static void put_address(struct nlmsghdr *h, int type, const struct ip *ip)
{
	unsigned int len;
	const uint8_t *bytes = ip_bytes(ip, &len);

	mnl_attr_put(h, (uint16_t)type, len, bytes);
}

static void build(struct conntrack *c, const struct endpoint *client, const struct endpoint *server)
{
	bool v4 = ip_is_v4(&client->ip);
	struct nlmsghdr *h = mnl_nlmsg_put_header(c->buffer);
	struct nfgenmsg *nf = mnl_nlmsg_put_extra_header(h, sizeof(*nf));
	struct nlattr *tuple, *part;

	h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	h->nlmsg_flags = NLM_F_REQUEST;
	nf->nfgen_family = v4 ? AF_INET : AF_INET6;
	nf->version = NFNETLINK_V0;
	tuple = mnl_attr_nest_start(h, CTA_TUPLE_ORIG);
	part = mnl_attr_nest_start(h, CTA_TUPLE_IP);
	put_address(h, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, &client->ip);
	put_address(h, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, &server->ip);
	mnl_attr_nest_end(h, part);
	part = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(h, CTA_PROTO_NUM, IPPROTO_TCP);
	mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, htons(client->port));
	mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, htons(server->port));
	mnl_attr_nest_end(h, part);
	mnl_attr_nest_end(h, tuple);
}

/* The member @type of the attributes in @in; NULL when there is none. */
static const struct nlattr *member(const struct nlattr *in, int type)
{
	const struct nlattr *attr;

	if (in)
		mnl_attr_for_each_nested(attr, in)
			if (mnl_attr_get_type(attr) == type)
				return attr;
	return NULL;
}

static uint16_t read_port(const struct nlmsghdr *h)
{
	const struct nlattr *attr, *reply = NULL, *port;

	mnl_attr_for_each(attr, h, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == CTA_TUPLE_REPLY)
			reply = attr;
	port = member(member(reply, CTA_TUPLE_PROTO), CTA_PROTO_SRC_PORT);
	return port && mnl_attr_get_payload_len(port) == sizeof(uint16_t) ? ntohs(mnl_attr_get_u16(port)) : 0;
}

uint16_t conntrack_answering_port(struct conntrack *c, const struct endpoint *client, const struct endpoint *server)
{
	const struct nlmsghdr *h = (const void *)c->buffer;
	ssize_t n;

	if (ip_is_v4(&client->ip) != ip_is_v4(&server->ip) || !is_tracking())
		return 0;
	build(c, client, server);
	if (send(c->fd, c->buffer, h->nlmsg_len, 0) < 0)
		return 0;
	do
		n = recv(c->fd, c->buffer, sizeof(c->buffer), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 || !mnl_nlmsg_ok(h, (int)n) || h->nlmsg_type == NLMSG_ERROR)
		return 0;
	return read_port(h);
}
