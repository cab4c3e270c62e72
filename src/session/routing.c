// SPDX-License-Identifier: MIT
/* Where a flow goes. */
#include "session/routing.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DNS_PORT = 53 };

void routing_read_name_servers(struct routing *r, const char *resolv_conf)
{
	for (const char *line = resolv_conf; line && *line; line = strchr(line, '\n')) {
		char text[64];

		line += *line == '\n';
		if (r->n_name_servers < MAX_NAME_SERVERS && sscanf(line, "nameserver %63[0-9a-fA-F.:]", text) == 1 &&
		    ip_parse(text, &r->name_servers[r->n_name_servers]))
			r->n_name_servers++;
	}
}

int routing_set_own(struct routing *r, const struct target_info *info)
{
	r->own = calloc(info->n_addresses + 1, sizeof(*r->own));
	if (!r->own)
		return -ENOMEM;
	for (r->n_own = 0; r->n_own < info->n_addresses; r->n_own++)
		r->own[r->n_own] = info->addresses[r->n_own].ip;
	return 0;
}

bool routing_is_local(const struct routing *r, const struct ip *ip)
{
	if (ip_is_loopback(ip))
		return true;
	for (size_t i = 0; i < r->n_own; i++)
		if (ip_equal(&r->own[i], ip))
			return true;
	return false;
}

static bool is_name_server(const struct routing *r, const struct endpoint *e)
{
	if (e->port != DNS_PORT)
		return false;
	for (size_t i = 0; i < r->n_name_servers; i++)
		if (ip_equal(&r->name_servers[i], &e->ip))
			return true;
	return false;
}

enum exit routing_pick(const struct routing *r, int protocol, const struct endpoint *remote)
{
	bool target;

	if (is_name_server(r, remote))
		target = r->remote_dns;
	else if (protocol == IPPROTO_TCP)
		target = r->tcp;
	else
		target = r->udp;
	return target ? EXIT_TARGET : EXIT_HOST;
}
