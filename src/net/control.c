// SPDX-License-Identifier: MIT
/* msg_controllen is what is filled, so the next one's place is at its end. */
#include "net/control.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

void control_put(struct msghdr *msg, int level, int type, const void *value, size_t size)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)msg->msg_control + msg->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), value, size);
	msg->msg_controllen += CMSG_SPACE(size);
}

void control_put_source(struct msghdr *msg, bool v4, const struct ip *from)
{
	struct in_pktinfo four = { .ipi_ifindex = 0 };
	struct in6_pktinfo six = { .ipi6_ifindex = 0 };

	if (v4) {
		memcpy(&four.ipi_spec_dst, from->b + 12, sizeof(four.ipi_spec_dst));
		control_put(msg, IPPROTO_IP, IP_PKTINFO, &four, sizeof(four));
	} else {
		memcpy(&six.ipi6_addr, from->b, sizeof(six.ipi6_addr));
		control_put(msg, IPPROTO_IPV6, IPV6_PKTINFO, &six, sizeof(six));
	}
}

void control_put_marks(struct msghdr *msg, bool v4, struct packet_marks marks)
{
	int ttl = marks.ttl, tos = marks.tos, level = v4 ? IPPROTO_IP : IPPROTO_IPV6;

	if (ttl)
		control_put(msg, level, v4 ? IP_TTL : IPV6_HOPLIMIT, &ttl, sizeof(ttl));
	if (tos)
		control_put(msg, level, v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof(tos));
}
