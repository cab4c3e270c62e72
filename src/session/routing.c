// SPDX-License-Identifier: MIT
/* Where a flow goes. */
#include "session/routing.h"

#include <netinet/in.h>
#include <stdio.h>
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
