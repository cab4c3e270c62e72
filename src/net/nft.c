// SPDX-License-Identifier: MIT
/* nftables rules from text. When the kernel refuses a ruleset, each of the expressions we use is tried by itself, so that the error
 * can name the piece that is missing. That may be in a target: no chain with a rule is hung where packets pass, since a rule is checked without. */
#include "net/nft.h"

#include <errno.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

#define ENOUGH "a kernel that has it (Linux 5.14 or later)"

/* @config is NULL for what no configuration brings, only a later kernel. */
static const struct {
	const char *module, *config, *rules;
} pieces[] = {
	{ "nf_tables", "CONFIG_NF_TABLES", "add table ip mirrord_probe" },
	{ "nf_tables", "CONFIG_NF_TABLES_INET", "add table inet mirrord_probe" },
	{ "nf_tables", "CONFIG_NF_TABLES_NETDEV",
	  "add table netdev mirrord_probe; add chain netdev mirrord_probe c { type filter hook ingress device \"lo\" priority 0; }" },
	{ "nft_fwd_netdev", "CONFIG_NFT_FWD_NETDEV",
	  "add table netdev mirrord_probe; add chain netdev mirrord_probe c; add rule netdev mirrord_probe c fwd to \"lo\"" },
	{ "nft_tproxy", "CONFIG_NFT_TPROXY",
	  "add table inet mirrord_probe; add chain inet mirrord_probe c; add rule inet mirrord_probe c meta l4proto tcp tproxy to :9" },
	{ "nft_socket", "CONFIG_NFT_SOCKET",
	  "add table ip mirrord_probe; add chain ip mirrord_probe c; add rule ip mirrord_probe c socket transparent 1" },
	{ "nft_dup_ipv4", "CONFIG_NFT_DUP_IPV4",
	  "add table ip mirrord_probe; add chain ip mirrord_probe c; add rule ip mirrord_probe c dup to 169.254.1.1 device \"lo\"" },
	{ "nft_dup_ipv6", "CONFIG_NFT_DUP_IPV6",
	  "add table ip6 mirrord_probe; add chain ip6 mirrord_probe c; add rule ip6 mirrord_probe c dup to fe80::1 device \"lo\"" },
	{ "nftables' tables that end with their owner, which came with Linux 5.12", NULL,
	  "add table inet mirrord_probe { flags owner; }" },
};

struct nft {
	struct nft_ctx *ctx;
};

struct nft *nft_open(struct error *err)
{
	_cleanup_fd_ int probe = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct nft *n = NULL;

	if (probe < 0) { /* the library would end the process */
		error_set(err, errno, "use nftables: open a netfilter socket");
		return NULL;
	}
	n = calloc(1, sizeof(*n));
	if (n)
		n->ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!n || !n->ctx) {
		error_set(err, ENOMEM, "use nftables");
		free(n);
		return NULL;
	}
	nft_ctx_buffer_output(n->ctx);
	nft_ctx_buffer_error(n->ctx);
	return n;
}

void nft_close(struct nft *n)
{
	if (!n)
		return;
	nft_ctx_free(n->ctx);
	free(n);
}

int nft_run(struct nft *n, const char *rules, struct error *err)
{
	const char *message;

	if (nft_run_cmd_from_buffer(n->ctx, rules) == 0)
		return 0;
	message = nft_ctx_get_error_buffer(n->ctx);
	return error_set(err, 0, "apply nftables rules: %.*s", (int)strcspn(message, "\n"), message);
}

static int run(const char *rules, struct error *err)
{
	struct nft *n = nft_open(err);
	int rc = n ? nft_run(n, rules, err) : -1;

	nft_close(n);
	return rc;
}

static bool is_missing(const char *rules)
{
	struct error ignored = { 0 };

	if (run(rules, &ignored) < 0)
		return true;
	run("delete table ip mirrord_probe", &ignored);
	run("delete table ip6 mirrord_probe", &ignored);
	run("delete table inet mirrord_probe", &ignored);
	run("delete table netdev mirrord_probe", &ignored);
	return false;
}

bool nft_lacks(const char *module)
{
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		if (strcmp(pieces[i].module, module) == 0 && is_missing(pieces[i].rules))
			return true;
	return false;
}

/* The tables of a probe that worked are taken away at once. */
void nft_name_missing_piece(struct error *err, const char *without)
{
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		if (!is_missing(pieces[i].rules))
			continue;
		if (pieces[i].config)
			error_hint(err,
				   "the kernel lacks %s (%s): load it with `sudo modprobe %s`, or use " ENOUGH "%s",
				   pieces[i].module, pieces[i].config, pieces[i].module, without);
		else
			error_hint(err, "the kernel lacks %s: use " ENOUGH "%s", pieces[i].module, without);
		return;
	}
}

int nft_apply(const char *rules, struct error *err)
{
	if (run(rules, err) == 0)
		return 0;
	nft_name_missing_piece(err, "");
	return -1;
}
