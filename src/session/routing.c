// SPDX-License-Identifier: MIT
/* Where a flow goes. */
#include "session/routing.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/table.h"

enum { DNS_PORT = 53, MAX_LOGGED = 4096 };

char *routing_host_resolv_conf(void)
{
	_cleanup_fd_ int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? NULL : fd_read_all(fd, INFO_FILE_MAX, NULL);
}

size_t routing_read_name_servers(const char *resolv_conf, struct ip ret[MAX_NAME_SERVERS])
{
	size_t n = 0;

	for (const char *line = resolv_conf; line && *line; line = strchr(line, '\n')) {
		char text[64];

		line += *line == '\n';
		if (n < MAX_NAME_SERVERS && sscanf(line, "nameserver %63[0-9a-fA-F.:]", text) == 1 && ip_parse(text, &ret[n]))
			n++;
	}
	return n;
}

int routing_set_own(struct routing *r, const struct target_info *info)
{
	struct ip *own = realloc(r->own, (r->n_own + info->n_addresses + 1) * sizeof(*own));

	if (!own)
		return -ENOMEM;
	r->own = own;
	for (size_t i = 0; i < info->n_addresses; i++)
		if (!routing_is_local(r, &info->addresses[i].ip))
			r->own[r->n_own++] = info->addresses[i].ip;
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

bool routing_is_name_server(const struct routing *r, const struct endpoint *e)
{
	if (e->port != DNS_PORT)
		return false;
	for (size_t i = 0; i < r->n_name_servers; i++)
		if (ip_equal(&r->name_servers[i], &e->ip))
			return true;
	return false;
}

/* A destination that the log has told of. */
struct logged {
	struct table_node node;
	struct logged_key {
		struct endpoint remote;
		uint16_t protocol;
		bool target;
		uint8_t pad;
	} key;
};

static bool logged_equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, const struct logged, node)->key, key, sizeof(struct logged_key)) == 0;
}

static void forget_logged(struct table *t)
{
	for (struct table_node *n = table_first(t), *next; n; n = next) {
		next = table_after(t, n);
		table_remove(t, n);
		free(container_of(n, struct logged, node));
	}
}

int routing_init(struct routing *r, const struct config *c, const char *resolv_conf)
{
	*r = (struct routing){ .remote_dns = c->dns_enabled };
	r->names = names_new();
	r->logged = calloc(1, sizeof(*r->logged));
	if (!r->names || !r->logged || table_init(r->logged, logged_equal) < 0 || route_rules_init(&r->rules, c) < 0)
		return -ENOMEM;
	r->n_name_servers = routing_read_name_servers(resolv_conf, r->name_servers);
	route_rules_set_search(&r->rules, resolv_conf);
	return 0;
}

void routing_fini(struct routing *r)
{
	if (r->logged) {
		forget_logged(r->logged);
		table_fini(r->logged);
	}
	free(r->logged);
	names_free(r->names);
	route_rules_fini(&r->rules);
	free(r->own);
	*r = (struct routing){ 0 };
}

static const char *protocol_name(int protocol)
{
	return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "icmp";
}

/* "outgoing: tcp 10.0.0.1:80 (db): leaves from …" */
static void tell(const struct routing *r, int protocol, const struct endpoint *remote, const struct route_decision *route,
	const struct dns_name *name)
{
	struct logged_key key = { .remote = *remote, .protocol = (uint16_t)protocol, .target = route->target };
	char why[ROUTE_TEXT], address[ENDPOINT_TEXT], text[DNS_NAME_TEXT];
	struct logged *l;

	if (!log_enabled(LOG_LEVEL_INFO) || table_find(r->logged, &key, sizeof(key)))
		return;
	if (r->logged->n >= MAX_LOGGED)
		forget_logged(r->logged);
	l = calloc(1, sizeof(*l));
	if (!l)
		return;
	l->key = key;
	table_add(r->logged, &l->node, &l->key, sizeof(l->key));
	log_info("outgoing: %s %s%s%s%s: %s", protocol_name(protocol), endpoint_format(remote, address), name ? " (" : "",
		 name ? dns_name_format(name, text) : "", name ? ")" : "", route_explain(&r->rules, route, why));
}

enum exit routing_pick(const struct routing *r, int protocol, const struct endpoint *remote, uint64_t now)
{
	struct dns_name names[NAMES_PER_ADDRESS];
	struct route_decision route;
	size_t n;

	if (routing_is_name_server(r, remote))
		return r->remote_dns ? EXIT_TARGET : EXIT_HOST;
	n = names_of(r->names, &remote->ip, now, names);
	route = route_pick(&r->rules, protocol, &remote->ip, remote->port, names, n);
	tell(r, protocol, remote, &route, n ? &names[0] : NULL);
	return route.target ? EXIT_TARGET : EXIT_HOST;
}
