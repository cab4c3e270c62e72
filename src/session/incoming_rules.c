// SPDX-License-Identifier: MIT
/* The rules of feature.network.incoming. */
#include "session/incoming_rules.h"

#include "config/debugger_ports.h"

static bool has_port(const struct config_ports *list, uint16_t port)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i] == port)
			return true;
	return false;
}

/* What @port stands for; itself when it isn't listed. */
static uint16_t mapped(const struct config_pairs *pairs, uint16_t port, uint16_t otherwise)
{
	for (size_t i = 0; i < pairs->n; i++)
		if (pairs->items[i].from == port)
			return pairs->items[i].to;
	return otherwise;
}

bool incoming_rules_port(const struct incoming_options *o, const struct diag_socket *s, uint16_t *ret_port)
{
	uint16_t port = mapped(&o->port_mapping, s->local.port, s->local.port);

	if (o->mode == INCOMING_OFF || !port || has_port(&o->ignore_ports, s->local.port) ||
	    debugger_ports_has(o->debugger_ports, s->local.port))
		return false;
	if (o->ignore_localhost && ip_is_loopback(&s->local.ip))
		return false;
	if (o->ports.set && !has_port(&o->ports, port))
		return false;
	*ret_port = port;
	return true;
}

bool incoming_rules_filtered(const struct incoming_options *o, uint16_t port)
{
	return o->http_filter && (!o->filter_ports.set || has_port(&o->filter_ports, port));
}

uint16_t incoming_rules_published(const struct incoming_options *o, uint16_t port)
{
	return mapped(&o->listen_ports, port, 0);
}
