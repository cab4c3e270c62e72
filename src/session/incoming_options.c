// SPDX-License-Identifier: MIT
/* From the configuration to what is wanted of the incoming traffic. */
#include "session/incoming_options.h"

#include "config/incoming_http.h"

int incoming_options_of(const struct config *c, bool show, struct incoming_options *ret, struct error *err)
{
	char *text;

	if (incoming_http_text(c, &text, err) < 0)
		return -1;
	*ret = (struct incoming_options){
		.mode = (enum incoming_mode)c->incoming_mode,
		.ports = c->incoming_ports,
		.ignore_ports = c->incoming_ignore_ports,
		.debugger_ports = &c->debugger_ports,
		.port_mapping = c->incoming_port_mapping,
		.listen_ports = c->incoming_listen_ports,
		.ignore_localhost = c->incoming_ignore_localhost,
		.on_concurrent = (enum incoming_concurrent)c->incoming_on_concurrent_steal,
		/* Those that are there are left alone, unless somebody asked for it. */
		.flush = c->agent_flush_connections && c->sources[KEY_agent_flush_connections].origin != ORIGIN_DEFAULT,
		.steal_probes = c->incoming_steal_probes,
		.http_filter = c->http_filter,
		.http_options = text,
		.decrypts = incoming_http_decrypts(c),
		.filter_ports = c->http_ports,
		.publish = c->publish,
		.show = show,
	};
	return 0;
}
