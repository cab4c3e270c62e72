// SPDX-License-Identifier: MIT
/* Which settings are carried over to the twin: those that decide what a socket call returns, or when.
 *
 * Left out on purpose: what shapes the packets on the wire (buffer sizes, ECN, timestamps, retries of an established
 * connection), since the connections on the wire are the agent's, in the target's namespace, where its settings hold
 * already; ping_group_range and ip_unprivileged_port_start, since users and groups are this machine's; disable_ipv6 of
 * links other than lo, since addresses and routes say it already, and the twin needs IPv6 on its own link. */
#include "agent/sysctls.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

static const struct {
	const char *name, *why;
} table[] = {
	{ "ipv4/ip_local_port_range", "source ports, and when connect() finds none left" },
	{ "ipv4/ip_local_reserved_ports", "source ports" },
	{ "ipv4/tcp_tw_reuse", "when connect() finds no source port left" },
	{ "ipv4/tcp_syn_retries", "when connect() gives up: ETIMEDOUT" },
	{ "ipv4/tcp_syn_linear_timeouts", "when connect() gives up: ETIMEDOUT" },
	{ "ipv4/tcp_fastopen", "whether MSG_FASTOPEN is allowed" },
	{ "ipv4/tcp_keepalive_time", "TCP_KEEPIDLE" },
	{ "ipv4/tcp_keepalive_intvl", "TCP_KEEPINTVL" },
	{ "ipv4/tcp_keepalive_probes", "TCP_KEEPCNT" },
	{ "ipv4/tcp_fin_timeout", "TCP_LINGER2" },
	{ "ipv4/tcp_congestion_control", "TCP_CONGESTION; also, one that paces would pace in the twin what the target doesn't" },
	{ "ipv4/ip_default_ttl", "IP_TTL, which datagrams carry to their receiver" },
	{ "ipv4/ip_nonlocal_bind", "whether bind() takes an address that isn't there" },
	{ "ipv6/ip_nonlocal_bind", "whether bind() takes an address that isn't there" },
	{ "ipv6/bindv6only", "IPV6_V6ONLY, and whether a v4 listener fits beside one on ::" },
	{ "ipv6/conf/lo/disable_ipv6", "whether there is ::1" },
	{ "core/somaxconn", "the most that listen() gives as a backlog" },
};
#define TABLE (sizeof(table) / sizeof(table[0]))
static_assert(TABLE <= INFO_SYSCTLS, "all fit");

size_t sysctls_read(struct info_sysctl *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < TABLE; i++) {
		char path[128], *text;
		_cleanup_fd_ int fd = -1;
		size_t len = 0;

		snprintf(path, sizeof(path), "/proc/sys/net/%s", table[i].name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		text = fd < 0 ? NULL : fd_read_all(fd, sizeof(ret->value) - 1, &len);
		while (len && text[len - 1] == '\n')
			text[--len] = '\0';
		if (text) {
			snprintf(ret[n].name, sizeof(ret[n].name), "%s", table[i].name);
			snprintf(ret[n].value, sizeof(ret[n].value), "%s", text);
			n++;
		}
		free(text);
	}
	return n;
}
