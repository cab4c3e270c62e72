// SPDX-License-Identifier: MIT
/* nftables rules.
 *
 * Relay namespace. Ingress of v0 runs behind the packet sockets: what the session handles as packets (a connection's first SYN, UDP,
 * ICMP, fragments) has been copied to it and ends here; the rest of TCP goes on to the sockets. A SYN that the session gives back
 * comes in by lo and is handed to the transparent listener.
 *
 * Twin. On lo, in prerouting, the kernel looks up the socket that a packet is for, as delivery would. Both values of "socket
 * transparent" mean "there is one" (the expression ends the rule without a match when there is none; it knows listening, connected and
 * TIME_WAIT sockets, which "socket wildcard" does not). A packet without a socket, to an address that the target has too, is given
 * addresses that may travel and leaves by the link: dup sends the copy, drop ends the original. What comes back is rewritten
 * in the link's ingress, marked, and given to lo with the MAC address that lo has. */
#include "twin/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/nft.h"
#include "twin/layout.h"

/* A ruleset being written; grows by itself. */
struct text {
	FILE *file;
	char *data;
	size_t len;
};

static int text_open(struct text *t, struct error *err)
{
	*t = (struct text){ 0 };
	t->file = open_memstream(&t->data, &t->len);
	return t->file ? 0 : error_set(err, 0, "write nftables rules: out of memory");
}

static int text_apply(struct text *t, struct error *err)
{
	int rc = fclose(t->file) == 0 ? nft_apply(t->data, err) : error_set(err, 0, "write nftables rules: out of memory");

	free(t->data);
	return rc;
}

int relay_rules_apply(bool ipv6, struct error *err)
{
	struct text t;

	(void)ipv6;
	if (text_open(&t, err) < 0)
		return -1;
	fprintf(t.file,
		"table netdev mirrord {\n"
		"  chain in { type filter hook ingress device \"" RELAY_LINK "\" priority 0; policy drop;\n"
		"    meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn accept\n"
		"  }\n"
		"}\n"
		"table inet mirrord {\n"
		"  chain given_back { type filter hook prerouting priority -150; policy accept;\n"
		"    iifname \"lo\" meta l4proto tcp meta mark set %d tproxy to :%d accept\n"
		"  }\n"
		"}\n",
		RELAY_MARK, TPROXY_PORT);
	return text_apply(&t, err);
}

static void write_addresses(FILE *f, const struct target_info *info, bool v4)
{
	const char *sep = "";
	char text[IP_TEXT];

	for (size_t i = 0; i < info->n_addresses; i++) {
		if (ip_is_v4(&info->addresses[i].ip) != v4)
			continue;
		fprintf(f, "%s%s", sep, ip_format(&info->addresses[i].ip, text));
		sep = ", ";
	}
}

static bool has_addresses(const struct target_info *info, bool v4)
{
	for (size_t i = 0; i < info->n_addresses; i++)
		if (ip_is_v4(&info->addresses[i].ip) == v4)
			return true;
	return false;
}

/* What both families' chains on lo start with. */
static void write_lo_head(FILE *f, const char *family)
{
	fprintf(f,
		"table %s mirrord {\n"
		"  chain lo { type filter hook prerouting priority -150; policy accept;\n"
		"    iifname != \"lo\" accept\n"
		"    meta mark %d accept\n"
		"    meta l4proto != { tcp, udp } accept\n"
		"    socket transparent 0 accept\n"
		"    socket transparent 1 accept\n",
		family, TWIN_LOCAL_MARK);
}

static void write_lo4(FILE *f, const struct target_info *info)
{
	const char *link = info->interface;

	write_lo_head(f, "ip");
	fprintf(f,
		"    ip saddr 127.0.0.0/8 ip saddr set ip saddr & 0.255.255.255 | %d.0.0.0\n"
		"    ip daddr 127.0.0.0/8 ip daddr set ip daddr & 0.255.255.255 | %d.0.0.0\n"
		"    ip daddr %d.0.0.0/8 dup to 169.254.1.1 device \"%s\" drop\n",
		LOOPBACK_SOURCE_NET, LOOPBACK_DESTINATION_NET, LOOPBACK_DESTINATION_NET, link);
	if (has_addresses(info, true)) {
		fprintf(f, "    ip daddr { ");
		write_addresses(f, info, true);
		fprintf(f, " } dup to 169.254.1.1 device \"%s\" drop\n", link);
	}
	fprintf(f, "  }\n}\n");
}

static void write_lo6(FILE *f, const struct target_info *info)
{
	const char *link = info->interface;

	write_lo_head(f, "ip6");
	fprintf(f,
		"    ip6 saddr ::1 ip6 saddr set fd00:6d::1\n"
		"    ip6 daddr ::1 ip6 daddr set fd00:6d::2\n"
		"    ip6 daddr fd00:6d::2 dup to fe80::1 device \"%s\" drop\n",
		link);
	if (has_addresses(info, false)) {
		fprintf(f, "    ip6 daddr { ");
		write_addresses(f, info, false);
		fprintf(f, " } dup to fe80::1 device \"%s\" drop\n", link);
	}
	fprintf(f, "  }\n}\n");
}

static void write_to_lo(FILE *f, const char *match)
{
	fprintf(f, "    %s ether daddr set 00:00:00:00:00:00 meta mark set %d fwd to \"lo\"\n", match, TWIN_LOCAL_MARK);
}

static void write_in(FILE *f, const struct target_info *info, bool ipv6)
{
	fprintf(f,
		"table netdev mirrord {\n"
		"  chain in { type filter hook ingress device \"%s\" priority 0; policy accept;\n"
		"    ip saddr %d.0.0.0/8 ip saddr set ip saddr & 0.255.255.255 | 127.0.0.0\n"
		"    ip daddr %d.0.0.0/8 ip daddr set ip daddr & 0.255.255.255 | 127.0.0.0\n",
		info->interface, LOOPBACK_DESTINATION_NET, LOOPBACK_SOURCE_NET);
	write_to_lo(f, "ip saddr 127.0.0.0/8");
	if (has_addresses(info, true)) {
		fprintf(f, "    ip saddr { ");
		write_addresses(f, info, true);
		write_to_lo(f, " }");
	}
	if (ipv6) {
		fprintf(f, "    ip6 saddr fd00:6d::2 ip6 saddr set ::1\n"
			   "    ip6 daddr fd00:6d::1 ip6 daddr set ::1\n");
		write_to_lo(f, "ip6 saddr ::1");
		if (has_addresses(info, false)) {
			fprintf(f, "    ip6 saddr { ");
			write_addresses(f, info, false);
			write_to_lo(f, " }");
		}
	}
	fprintf(f, "  }\n}\n");
}

static int apply(const struct target_info *info, bool ipv6, bool replace, struct error *err)
{
	struct text t;

	if (text_open(&t, err) < 0)
		return -1;
	if (replace)
		fprintf(t.file, "delete table ip mirrord\n%sdelete table netdev mirrord\n", ipv6 ? "delete table ip6 mirrord\n" : "");
	write_lo4(t.file, info);
	if (ipv6)
		write_lo6(t.file, info);
	write_in(t.file, info, ipv6);
	return text_apply(&t, err);
}

int twin_rules_apply(const struct target_info *info, bool ipv6, struct error *err)
{
	return apply(info, ipv6, false, err);
}

int twin_rules_replace(const struct target_info *info, bool ipv6, struct error *err)
{
	return apply(info, ipv6, true, err);
}

void twin_rules_remove(void)
{
	static const char *const families[] = { "ip", "ip6", "netdev" };
	char command[64];

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		struct error ignored = { 0 };

		snprintf(command, sizeof(command), "delete table %s mirrord", families[i]);
		nft_apply(command, &ignored);
	}
}
