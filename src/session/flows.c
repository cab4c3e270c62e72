// SPDX-License-Identifier: MIT
/* What carries the program's traffic, and how it comes and goes: opened when the agent has described the target, closed when the session fails
 * or ends. Of all that is packets of the twin's or calls of the program's, the events arrive here and are given to who knows them. */
#include "session/session_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/fd.h"
#include "net/loopback.h"
#include "relay/lender.h"
#include "relay/sockets.h"
#include "session/dns_rules.h"
#include "tunnel/mux.h"
#include "twin/info_file.h"

static void on_syn(struct session *s, const struct packet *syn)
{
	struct ip to = loopback_from_alias(&syn->dst.ip);

	if (ip_is_loopback(&to))
		debugger_search_for(&s->debugger, syn->dst.port, loop_now(s->loop));
	tcp_on_syn(s->tcp, syn);
}

static void on_packet(void *arg, const struct packet *p)
{
	struct session *s = arg;

	if (s->incoming && p->protocol != IPPROTO_TCP && incoming_on_packet(s->incoming, p))
		return;
	if (p->protocol != IPPROTO_TCP)
		datagrams_on_packet(s->datagrams, p);
	else if ((p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN)
		on_syn(s, p);
	if (tcp_pending(s->tcp))
		reconciler_poke(s->reconciler);
}

static void on_connection(void *arg, int fd, const struct endpoint *from)
{
	struct session *s = arg;

	tcp_on_connection(s->tcp, fd, from);
}

static const struct gate_events gate_events = { .on_packet = on_packet, .on_connection = on_connection };

/* Without the target's names, the twin uses the host's resolv.conf. */
static int open_routing(struct session *s, const struct target_info *info, struct error *err)
{
	char *host = s->options->config->dns_enabled ? NULL : routing_host_resolv_conf();
	int rc = routing_init(&s->routing, s->options->config, s->options->config->dns_enabled ? info->resolv_conf : host);

	free(host);
	if (rc < 0 || routing_set_own(&s->routing, info) < 0 || dns_rules_init(&s->dns_rules, s->options->config, s->routing.rules.search) < 0)
		return error_set(err, ENOMEM, "keep the rules for outgoing traffic");
	return 0;
}

static void on_local_answer(void *arg, const struct dns_asker *who, const uint8_t *message, size_t len)
{
	struct session *s = arg;

	if (who->connection)
		dns_streams_on_answer(s->dns_streams, who, message, len);
	else if (len)
		datagrams_on_answer(s->datagrams, who, message, len);
}

/* Where this machine answers some names, its resolver is asked beside us. */
static int open_dns(struct session *s, struct error *err)
{
	struct dns_local_context c = { .loop = s->loop, .rules = &s->dns_rules, .host = &s->exits[EXIT_HOST],
				       .on_answer = on_local_answer, .arg = s };

	if (s->dns_rules.side == FILTER_NONE && s->routing.rules.side == FILTER_NONE)
		return 0;
	s->resolver = c.resolver = resolver_new(s->loop, s->options->uid, s->options->gid, err);
	if (!s->resolver)
		return -1;
	s->dns = dns_local_new(&c);
	s->dns_streams = dns_streams_new(s->loop, &s->dns, s->routing.names);
	return s->dns && s->dns_streams ? 0 : error_set(err, ENOMEM, "answer names from this machine");
}

static int open_background(struct session *s, const struct target_info *info, struct error *err)
{
	const struct background_context c = { .loop = s->loop, .rules = &s->routing.rules, .dns = &s->dns_rules, .remote_dns = s->routing.remote_dns,
					      .names = s->routing.names, .resolver = s->resolver, .target = &s->exits[EXIT_TARGET],
					      .server = s->routing.n_name_servers ? &s->routing.name_servers[0] : NULL };

	s->background = background_new(&c, s->routing.remote_dns ? info->hosts : NULL);
	return s->background ? 0 : error_set(err, ENOMEM, "look up the filter's names");
}

static int open_exits(struct session *s, struct error *err)
{
	s->exits[EXIT_HOST] = socket_egress_new(s->loop, NULL);
	s->tunnel = agent_link_open_egress(s->link);
	if (s->borrower)
		s->exits[EXIT_TARGET] = socket_egress_new(s->loop, borrower_source(s->borrower));
	else
		s->exits[EXIT_TARGET] = s->tunnel;
	if (!s->tunnel || !s->exits[EXIT_HOST] || !s->exits[EXIT_TARGET])
		return error_set(err, ENOMEM, "make the egresses");
	if (s->borrower)
		borrower_set_egress(s->borrower, s->exits[EXIT_TARGET]);
	return 0;
}

static int open_incoming(struct session *s, const struct target_info *info, struct error *err)
{
	const struct incoming_context c = { .loop = s->loop, .gate = &s->gate, .mux = &s->mux, .calls = &s->calls, .options = &s->options->incoming,
					    .probes = &s->probes, .diag = s->diag,
					    .replicas = s->options->replicas, .descriptors = s->descriptors, .agent = s->borrower,
					    .agent_diag = s->twin.agent_diag };

	if (incoming_wanted(c.options))
		s->incoming = incoming_new(&c, info, err);
	return s->incoming || !incoming_wanted(c.options) ? 0 : -1;
}

static int open_unix_streams(struct session *s, struct error *err)
{
	const struct unix_streams_context c = { .loop = s->loop, .tunnel = &s->tunnel, .calls = &s->calls,
						.patterns = &s->options->config->outgoing_unix_streams };

	if (c.patterns->n)
		s->unix_streams = unix_streams_new(&c, err);
	return s->unix_streams || !c.patterns->n ? 0 : -1;
}

int session_open_flows(struct session *s, const struct target_info *info, struct error *err)
{
	struct tcp_context c = { .loop = s->loop, .gate = &s->gate, .routing = &s->routing, .exits = s->exits,
				 .dns_streams = &s->dns_streams, .dns = &s->dns };

	debugger_search_init(&s->debugger, s->options->config, s->twin.net_ns);
	if (!(s->diag = sock_diag_over(s->twin.diag, err)) || open_routing(s, info, err) < 0 || open_exits(s, err) < 0 ||
	    open_dns(s, err) < 0 || open_background(s, info, err) < 0)
		return -1;
	if (!(s->gate = gate_new(s->loop, &s->twin, &gate_events, s, err)) || !(s->tcp = tcp_new(&c, err)) ||
	    !(s->datagrams = datagrams_new(&c, err)))
		return -1;
	s->reconciler = reconciler_new(s->loop, s->diag, s->tcp, s->datagrams, err);
	return s->reconciler && open_unix_streams(s, err) == 0 ? open_incoming(s, info, err) : -1;
}

static void on_listen(struct session *s, const struct notify_event *e)
{
	if (e->kind != NOTIFY_ENDED)
		debugger_search_for(&s->debugger, e->local.port, loop_now(s->loop));
	incoming_on_event(s->incoming, e);
}

static void on_call(void *arg, const struct notify_event *e, int fd)
{
	struct session *s = arg;

	if (e->kind >= NOTIFY_CONNECTS && s->unix_streams)
		unix_streams_on_event(s->unix_streams, e, fd);
	else if (e->kind < NOTIFY_CONNECTS && s->incoming && s->state == RUNNING)
		on_listen(s, e);
	else if (e->kind < NOTIFY_UNSEEN)
		calls_answer(s->calls, &(struct notify_verdict){ .id = e->id });
}

static void on_calls_without_keeper(void *arg)
{
	struct session *s = arg;

	if (s->incoming)
		incoming_answer_all(s->incoming);
	if (s->unix_streams)
		unix_streams_answer_all(s->unix_streams);
}

int session_start_calls(struct session *s, struct error *err)
{
	const struct calls_events events = { .on_event = on_call, .on_keeper_gone = on_calls_without_keeper, .arg = s };

	if (s->incoming || s->unix_streams)
		s->calls = calls_new(s->loop, s->keeper, s->anchor, s->twin.diag, &events, err);
	if ((s->incoming || s->unix_streams) && !s->calls)
		return -1;
	if (s->incoming && incoming_start(s->incoming, s->keeper, err) < 0)
		return -1;
	if (s->incoming && s->options->replicas)
		s->replicas = replicas_new(s->loop, s->options, s->log_fd, s->incoming, &s->routing, err);
	return s->incoming && s->options->replicas && !s->replicas ? -1 : 0;
}

/* Before the egresses go: it has ports there. */
static void close_dns(struct session *s)
{
	background_free(s->background);
	dns_local_free(s->dns);
	dns_streams_free(s->dns_streams);
	resolver_free(s->resolver);
	s->background = NULL;
	s->dns = NULL;
	s->dns_streams = NULL;
	s->resolver = NULL;
}

void session_drain_flows(struct session *s)
{
	if (s->replicas)
		replicas_drain(s->replicas);
	if (s->incoming)
		incoming_drain(s->incoming);
	if (s->calls)
		calls_drain(s->calls);
	gate_read_all(s->gate);
	datagrams_close_all(s->datagrams);
	close_dns(s);
}

void session_close_flows(struct session *s, int error)
{
	if (s->tcp)
		tcp_end_all(s->tcp, error);
	if (s->datagrams)
		datagrams_close_all(s->datagrams);
	replicas_free(s->replicas);
	s->replicas = NULL;
	if (s->incoming)
		incoming_end(s->incoming);
	if (s->unix_streams)
		unix_streams_end(s->unix_streams, error ? error : ENETUNREACH);
	if (s->calls && !s->unix_streams)
		calls_end(s->calls);
	close_dns(s);
	if (s->borrower)
		borrower_set_egress(s->borrower, NULL); /* it may hear of the agent's end later than we do */
	for (int i = 0; i < EXITS; i++) {
		struct egress *e = s->exits[i];

		s->exits[i] = NULL;
		if (!e)
			continue;
		if (e != s->tunnel)
			socket_egress_free(e);
	}
	s->tunnel = NULL;
	for (struct list *n; (n = list_pop(&s->leaving));)
		agent_link_close_egress(container_of(n, struct agent_link, node));
	if (s->link)
		agent_link_close_egress(s->link);
	loop_close_waiting(s->loop); /* while their resets still get to the program: its network may be cut next */
}

bool session_agent_ends(const struct session *s)
{
	return !s->borrower || (s->incoming && incoming_used(s->incoming)) || (s->unix_streams && unix_streams_used(s->unix_streams));
}

bool session_is_busy(const struct session *s)
{
	size_t target = s->borrower ? socket_egress_count(s->exits[EXIT_TARGET]) : 0;
	size_t streams = session_agent_ends(s) ? mux_stream_count(s->mux) : 0;

	for (const struct list *n = s->leaving.next; n != &s->leaving; n = n->next) {
		const struct agent_link *l = container_of(n, const struct agent_link, node);

		streams += l->mux ? mux_stream_count(l->mux) : 0;
	}
	return tcp_pending(s->tcp) || target || streams || socket_egress_count(s->exits[EXIT_HOST]) ||
	       (s->incoming && incoming_busy(s->incoming)) || (s->replicas && replicas_busy(s->replicas));
}
