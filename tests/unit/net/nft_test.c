// SPDX-License-Identifier: MIT
/* What the kernel has is tried in a target's network namespace, too: none of its packets may meet a rule of that. */
#include "net/nft.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "relay/isolate.h"
#include "tap.h"

enum { MESSAGES_MAX = 1 << 20 };

/* What was told of the rules so far. */
struct seen {
	bool hung; /* the last chain stands where packets pass */
	int tables, rules, met;
};

static bool has_hook(const struct nlmsghdr *h)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, h, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_HOOK)
			return true;
	return false;
}

static int take(const struct nlmsghdr *h, void *arg)
{
	struct seen *s = arg;

	if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
		return MNL_CB_OK;
	switch (h->nlmsg_type & 0xff) {
	case NFT_MSG_NEWTABLE:
		s->tables++;
		break;
	case NFT_MSG_NEWCHAIN:
		s->hung = has_hook(h);
		break;
	case NFT_MSG_NEWRULE:
		s->rules++;
		s->met += s->hung;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

int main(void)
{
	int group = NFNLGRP_NFTABLES, room = MESSAGES_MAX;
	static char message[1 << 16];
	struct error err = { 0 };
	struct seen seen = { 0 };
	struct mnl_socket *sock;
	ssize_t n;

	if (!isolate()) {
		printf("1..0 # SKIP no network namespace is to be had\n");
		return 0;
	}
	sock = mnl_socket_open(NETLINK_NETFILTER);
	if (!sock || mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
	    setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) < 0)
		abort();
	nft_name_missing_piece(&err, "");
	while ((n = recv(mnl_socket_get_fd(sock), message, sizeof(message), MSG_DONTWAIT)) > 0)
		if (mnl_cb_run(message, (size_t)n, 0, 0, take, &seen) < 0)
			abort();
	printf("# %d tables, %d rules%s%s\n", seen.tables, seen.rules, *err.hint ? "; " : "", err.hint);
	tap_ok(seen.tables > 0, "it tries");
	tap_int(seen.met, 0, "no packet meets a rule that is tried");
	mnl_socket_close(sock);
	return tap_done();
}
