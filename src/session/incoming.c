// SPDX-License-Identifier: MIT
/* Incoming traffic on the session's side.
 *
 * The twin's kernel knows what listens; it is listed (sock_diag(7)) when the keeper reports that something was made to listen or that such
 * a socket has ended, and ten times a second while there is anything. What the list shows is made true at the agent and on this machine's
 * localhost. So whoever closes the last descriptor of a listener, in whichever process, ends it at once; and listeners that came about without a
 * call that the keeper sees (io_uring) are found, as is their end.
 *
 * A call that the keeper reports waits until the agent has subscribed its port: when listen(2) returns, clients of the target reach the
 * program. It waits for CALL_TIME at most. */
#include "session/incoming.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "net/sock_diag.h"
#include "relay/lender.h"
#include "relay/sockets.h"
#include "relay/split_egress.h"
#include "relay/tunnel_server.h"
#include "session/incoming_rules.h"
#include "session/program_ports.h"
#include "session/publish.h"
#include "session/services.h"
#include "session/sources.h"
#include "tunnel/subscription.h"
#include "twin/keeper.h"
#include "twin/layout.h"

enum { SHARE = 4 /* of our descriptors may wait in the borrower */ };
#define SCAN_TIME   (100 * (uint64_t)LOOP_MS)
#define SCAN_SLOW   LOOP_SECOND
#define SCAN_FULL   (10 * (uint64_t)LOOP_MS)
#define UNSEEN_TIME (2 * (uint64_t)LOOP_MS)
#define CALL_TIME   (10 * LOOP_SECOND)

/* A call of the program's that waits for the agent. */
struct call {
	struct list node;
	uint64_t id, due;
	int protocol;
	uint16_t port; /* of the target's */
};

struct incoming {
	struct incoming_context c;
	struct timer scan;
	bool draining;

	struct borrower *borrower; /* all NULL when the agent is lost */
	struct egress *tcp, *udp;
	struct split_egress program;
	struct tunnel_server *server;
	struct publisher *publisher;
	struct sources sources;
	struct source *own; /* the target's; NULL: all replicas are sources, and come one by one */
	struct list calls;
	void (*on_told)(void *arg); /* NULL: counters weren't asked for */
	void *told_arg;

	struct services services; /* the last scan's */
};

static void answer(struct incoming *in, uint64_t id, int error)
{
	const struct notify_verdict v = { .id = id, .error = error };

	calls_answer(*in->c.calls, &v);
}

static void call_end(struct incoming *in, struct call *c, int error)
{
	answer(in, c->id, error);
	list_remove(&c->node);
	free(c);
}

/* What the agent has answered, and what has waited too long. A UDP socket can't be unbound: its call succeeds. */
static void settle_calls(struct incoming *in)
{
	for (struct list *l = in->calls.next, *next; l != &in->calls; l = next) {
		struct call *c = container_of(l, struct call, node);
		int state = sources_state(&in->sources, c->protocol, c->port);

		next = l->next;
		if (state == EINPROGRESS && loop_now(in->c.loop) < c->due)
			continue;
		if (state == EINPROGRESS)
			log_warn("incoming: the agent does not answer for port %u: the program goes on", c->port);
		call_end(in, c, c->protocol == IPPROTO_TCP && state == EADDRINUSE ? state : 0);
	}
}

static void subscribe_all(struct incoming *in)
{
	static struct wanted wanted[SERVICES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < in->services.n; i++)
		if (incoming_rules_port(in->c.options, &in->services.sockets[i], &wanted[n].port))
			wanted[n++].socket = in->services.sockets[i];
	sources_update(&in->sources, wanted, n);
}

/* False when the kernel's list wasn't complete: all stays as it is then. */
static bool scan(struct incoming *in)
{
	size_t before = in->services.n;

	if (!services_list(&in->services))
		return false;
	if (in->services.n != before)
		log_debug("incoming: %zu sockets are listed", in->services.n);
	publisher_update(in->publisher, in->services.sockets, in->services.n);
	subscribe_all(in);
	return true;
}

/* Somebody's clients are not answered: it is looked more often for the moment at which they can be. */
static bool is_full(const struct incoming *in)
{
	return in->services.n_full && in->c.options->mode == INCOMING_STEAL;
}

static void on_scan(struct timer *t)
{
	struct incoming *in = container_of(t, struct incoming, scan);
	bool any;

	scan(in);
	settle_calls(in);
	any = sources_count(&in->sources) || publisher_count(in->publisher) || !list_empty(&in->calls);
	loop_arm(in->c.loop, t, loop_now(in->c.loop) + (is_full(in) ? SCAN_FULL : any ? SCAN_TIME : SCAN_SLOW));
}

/* False when one is due by then. */
static bool scan_within(struct incoming *in, uint64_t time)
{
	uint64_t due = loop_now(in->c.loop) + time;

	if (in->scan.index && in->scan.due <= due)
		return false;
	loop_arm(in->c.loop, &in->scan, due);
	return true;
}

/* Now, and again when whoever closes it is surely through: what ends many of them is not listed for each. */
static void on_ended(struct incoming *in)
{
	log_debug("incoming: a socket has ended");
	if (scan_within(in, UNSEEN_TIME))
		scan(in);
}

/* A socket of a port that nothing was known of: all is as if it had been in the last scan's list. So a program that listens on a thousand
 * ports isn't listed a thousand times. NULL: it must be looked for. */
static const struct diag_socket *see(struct incoming *in, const struct notify_event *e)
{
	struct wanted w = { .socket = { .protocol = e->protocol, .local = e->local, .v6only = e->v6only, .cookie = e->cookie } };
	bool wanted = e->protocol && incoming_rules_port(in->c.options, &w.socket, &w.port);
	const struct diag_socket *s;

	if (!e->protocol || (wanted && sources_has(&in->sources, e->protocol, w.port)) ||
	    (e->protocol == IPPROTO_TCP && publisher_has(in->publisher, e->local.port)) || !(s = services_add(&in->services, &w.socket)))
		return NULL;
	log_debug("incoming: one more socket, on port %u", e->local.port);
	publisher_add(in->publisher, &w.socket);
	if (wanted)
		sources_add_wanted(&in->sources, &w);
	return s;
}

static void hold_call(struct incoming *in, uint64_t id, int protocol, uint16_t port)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c) {
		answer(in, id, 0);
		return;
	}
	*c = (struct call){ .id = id, .due = loop_now(in->c.loop) + CALL_TIME, .protocol = protocol, .port = port };
	list_append(&in->calls, &c->node);
}

void incoming_on_event(struct incoming *in, const struct notify_event *e)
{
	const struct diag_socket *s;
	uint16_t port;

	if (e->kind == NOTIFY_ENDED) {
		on_ended(in);
		return;
	}
	if (e->kind == NOTIFY_UNSEEN) {
		loop_arm(in->c.loop, &in->scan, loop_now(in->c.loop) + UNSEEN_TIME);
		return;
	}
	if (e->kind == NOTIFY_BOUND)
		services_report(&in->services, e->cookie);
	s = see(in, e);
	if (!s)
		s = scan(in) ? services_find(&in->services, e) : NULL;
	if (s && !publisher_error(in->publisher, s->local.port) && incoming_rules_port(in->c.options, s, &port)) {
		sources_retry(&in->sources, s->protocol, port);
		hold_call(in, e->id, s->protocol, port);
		settle_calls(in);
	} else {
		answer(in, e->id, s && s->protocol == IPPROTO_TCP ? publisher_error(in->publisher, s->local.port) : 0);
	}
	scan_within(in, SCAN_TIME);
}

void incoming_answer_all(struct incoming *in)
{
	while (!list_empty(&in->calls))
		call_end(in, container_of(in->calls.next, struct call, node), 0);
}

/* The program didn't answer a connection at once. */
static void on_slow(void *arg)
{
	struct incoming *in = arg;

	if (in->publisher && in->c.options->mode == INCOMING_STEAL && !is_full(in))
		loop_arm(in->c.loop, &in->scan, loop_now(in->c.loop));
}

static void on_lender_gone(void *arg)
{
	log_debug("incoming: the keeper lends no more sockets");
}

/* The borrower's end of a lender of the keeper's, for sockets that connections to the program leave from; -1 with @err. */
static int lender_of(int keeper, struct error *err)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "make a socket pair for the keeper");
	r = keeper_lend(keeper, pair[1], err);
	close(pair[1]);
	if (r < 0)
		close(pair[0]);
	return r < 0 ? -1 : pair[0];
}

/* For ourselves, and for an agent on this machine, who then makes the connections and moves the bytes himself. */
static int borrow(struct incoming *in, int keeper, struct error *err)
{
	_cleanup_fd_ int agents = -1;
	int own = lender_of(keeper, err);

	if (own < 0 || !(in->borrower = borrower_new(in->c.loop, own, in->c.descriptors / SHARE, on_lender_gone, in, err)))
		return -1;
	in->tcp = socket_egress_new(in->c.loop, borrower_source(in->borrower));
	if (!in->tcp)
		return error_set(err, ENOMEM, "make the egress to the program");
	borrower_set_egress(in->borrower, in->tcp);
	socket_egress_on_slow(in->tcp, on_slow, in);
	if (!in->c.agent || in->c.options->mode == INCOMING_OFF)
		return 0;
	agents = lender_of(keeper, err);
	return agents < 0 || borrower_offer(in->c.agent, agents, in->c.agent_diag) < 0 ? error_set(err, errno, "offer the agent sockets") : 0;
}

int incoming_start(struct incoming *in, int keeper, struct error *err)
{
	if (borrow(in, keeper, err) < 0)
		return -1;
	in->udp = program_ports_new(in->c.gate);
	split_egress_init(&in->program, in->tcp, in->udp);
	in->server = in->udp ? tunnel_server_new(in->c.loop, &in->program.egress) : NULL;
	in->publisher = in->server ? publisher_new(in->c.loop, in->tcp, in->c.options) : NULL;
	if (!in->publisher)
		return error_set(err, ENOMEM, "serve incoming traffic");
	in->scan.on_due = on_scan;
	loop_arm(in->c.loop, &in->scan, loop_now(in->c.loop) + SCAN_SLOW);
	return 0;
}

struct incoming *incoming_new(const struct incoming_context *c, const struct target_info *info, struct error *err)
{
	struct incoming *in = calloc(1, sizeof(*in));

	if (in) {
		in->c = *c;
		list_init(&in->calls);
		sources_init(&in->sources);
		in->sources.awaited = c->replicas;
		if (services_init(&in->services, c->diag, info) == 0 &&
		    (c->replicas || (in->own = sources_add(&in->sources, c->mux, c->options, c->probes))))
			return in;
	}
	error_set(err, ENOMEM, "prepare for incoming traffic");
	incoming_free(in);
	return NULL;
}

void incoming_on_open(struct incoming *in, struct stream *s, const struct stream_request *request)
{
	bool wanted = request->kind != STREAM_TCP || sources_listens(&in->sources, IPPROTO_TCP, request->remote.port);

	if (in->server && !in->draining && wanted)
		tunnel_server_open(in->server, s, request);
	else
		stream_reset(s, ECONNREFUSED);
}

struct source *incoming_add(struct incoming *in, struct mux **mux, const struct kube_probes *probes)
{
	struct source *source = sources_add(&in->sources, mux, in->c.options, probes);

	if (source && in->publisher) /* it runs */
		loop_arm(in->c.loop, &in->scan, loop_now(in->c.loop));
	return source;
}

void incoming_drop(struct incoming *in, struct source *source)
{
	sources_drop(&in->sources, source);
	settle_calls(in);
}

bool incoming_on_info(struct incoming *in, struct source *from, uint16_t topic, const uint8_t *data, size_t len)
{
	struct source *source = from ? from : in->own;
	char text[NOTICE_MAX + 1];

	switch (topic) {
	case INFO_SUBSCRIBED:
		if (source)
			wants_on_answer(source->wants, data, len);
		settle_calls(in);
		return source != NULL;
	case INFO_COUNTERS:
		if (source)
			sources_on_counters(source, data, len);
		if (in->on_told && sources_have_told(&in->sources))
			in->on_told(in->told_arg);
		return true;
	case INFO_SLOW:
		on_slow(in);
		return true;
	case INFO_NOTICE:
		notice_decode(data, len, text);
		log_info("agent: %s", text);
		if (in->c.options->show && !in->draining)
			log_tell(0, "mirrord: %s\n", text);
		return true;
	default:
		return false;
	}
}

bool incoming_on_packet(struct incoming *in, const struct packet *p)
{
	return in->udp && program_ports_on_packet(in->udp, p);
}

static void stop_scanning(struct incoming *in)
{
	loop_disarm(in->c.loop, &in->scan);
	publisher_free(in->publisher);
	in->publisher = NULL;
	incoming_answer_all(in);
}

void incoming_end(struct incoming *in)
{
	stop_scanning(in);
	tunnel_server_free(in->server);
	program_ports_free(in->udp);
	socket_egress_free(in->tcp);
	borrower_free(in->borrower);
	in->server = NULL;
	in->udp = in->tcp = NULL;
	in->borrower = NULL;
}

bool incoming_ask_counters(struct incoming *in, void (*on_told)(void *arg), void *arg)
{
	sources_ask_counters(&in->sources);
	in->on_told = on_told;
	in->told_arg = arg;
	return !sources_have_told(&in->sources);
}

void incoming_say_counters(const struct incoming *in)
{
	for (unsigned int i = 0; i < COUNTERS; i++) {
		unsigned long long total = sources_counter(&in->sources, i);

		if (!total || !counter_text(i))
			continue;
		log_info("incoming: %s: %llu", counter_text(i), total);
		if (in->c.options->show)
			log_tell(0, "mirrord: %s: %llu\n", counter_text(i), total);
	}
}

struct source *incoming_move(struct incoming *in, struct mux **old)
{
	return in->own ? sources_move(&in->sources, in->own, old) : NULL;
}

void incoming_drain(struct incoming *in)
{
	in->draining = true;
	stop_scanning(in);
	sources_update(&in->sources, NULL, 0); /* nothing listens any more */
	if (in->udp)
		program_ports_break(in->udp);
}

size_t incoming_busy(const struct incoming *in)
{
	return in->tcp ? socket_egress_count(in->tcp) : 0;
}

bool incoming_used(const struct incoming *in)
{
	return sources_used(&in->sources);
}

void incoming_free(struct incoming *in)
{
	if (!in)
		return;
	incoming_end(in);
	services_fini(&in->services);
	sources_fini(&in->sources);
	free(in);
}
