// SPDX-License-Identifier: MIT
/* nftables rules from text. When the kernel refuses a ruleset, each of the expressions we use is tried by itself, so that the error
 * can name the piece that is missing. */
#include "net/nft.h"

#include <errno.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

static const struct {
	const char *module, *config, *rules;
} pieces[] = {
	{ "nf_tables", "CONFIG_NF_TABLES", "add table ip mirrord_probe" },
	{ "nf_tables", "CONFIG_NF_TABLES_INET", "add table inet mirrord_probe" },
	{ "nf_tables", "CONFIG_NF_TABLES_NETDEV",
	  "add table netdev mirrord_probe; add chain netdev mirrord_probe c { type filter hook ingress device \"lo\" priority 0; }" },
	{ "nft_fwd_netdev", "CONFIG_NFT_FWD_NETDEV",
	  "add table netdev mirrord_probe; add chain netdev mirrord_probe c { type filter hook ingress device \"lo\" priority 0; };"
	  "add rule netdev mirrord_probe c fwd to \"lo\"" },
	{ "nft_tproxy", "CONFIG_NFT_TPROXY",
	  "add table inet mirrord_probe; add chain inet mirrord_probe c { type filter hook prerouting priority -150; };"
	  "add rule inet mirrord_probe c meta l4proto tcp tproxy to :9" },
	{ "nft_socket", "CONFIG_NFT_SOCKET",
	  "add table ip mirrord_probe; add chain ip mirrord_probe c { type filter hook prerouting priority -150; };"
	  "add rule ip mirrord_probe c socket transparent 1" },
	{ "nft_dup_ipv4", "CONFIG_NFT_DUP_IPV4",
	  "add table ip mirrord_probe; add chain ip mirrord_probe c { type filter hook prerouting priority -150; };"
	  "add rule ip mirrord_probe c dup to 169.254.1.1 device \"lo\"" },
	{ "nft_dup_ipv6", "CONFIG_NFT_DUP_IPV6",
	  "add table ip6 mirrord_probe; add chain ip6 mirrord_probe c { type filter hook prerouting priority -150; };"
	  "add rule ip6 mirrord_probe c dup to fe80::1 device \"lo\"" },
};

static int run(const char *rules, char *ret_message, size_t room)
{
	_cleanup_fd_ int probe = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct nft_ctx *ctx;
	int rc;

	if (probe < 0) { /* the library would end the process */
		snprintf(ret_message, room, "open a netfilter socket: %s", strerror(errno));
		return -1;
	}
	ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!ctx) {
		snprintf(ret_message, room, "out of memory");
		return -1;
	}
	nft_ctx_buffer_output(ctx);
	nft_ctx_buffer_error(ctx);
	rc = nft_run_cmd_from_buffer(ctx, rules);
	if (rc)
		snprintf(ret_message, room, "%.*s", (int)strcspn(nft_ctx_get_error_buffer(ctx), "\n"),
			 nft_ctx_get_error_buffer(ctx));
	nft_ctx_free(ctx);
	return rc ? -1 : 0;
}

/* The tables of a probe that worked are taken away again with the namespace, or here. */
static void name_missing_piece(struct error *err)
{
	char message[256];

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		if (run(pieces[i].rules, message, sizeof(message)) < 0) {
			error_hint(err, "the kernel lacks %s (%s): load it with `sudo modprobe %s`, or use a kernel that has it "
					"(Linux 5.14 or later)",
				   pieces[i].module, pieces[i].config, pieces[i].module);
			return;
		}
		run("delete table ip mirrord_probe", message, sizeof(message));
		run("delete table ip6 mirrord_probe", message, sizeof(message));
		run("delete table inet mirrord_probe", message, sizeof(message));
		run("delete table netdev mirrord_probe", message, sizeof(message));
	}
}

int nft_apply(const char *rules, struct error *err)
{
	char message[512];

	if (run(rules, message, sizeof(message)) == 0)
		return 0;
	error_set(err, 0, "apply nftables rules: %s", message);
	name_missing_piece(err);
	return -1;
}
