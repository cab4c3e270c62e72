// SPDX-License-Identifier: MIT
/* The life of stealing.
 *
 *   IDLE: nothing of ours is in the target ─► (the first subscription) listeners, rules, route
 *   ─► RUNNING ─► (the last one goes, or the first is refused) no port is ours, and what is on its way still arrives ─► IDLE
 *
 * Between the SYN, for which the port was ours, and the accept() there is a round trip of the client's. So listeners outlive their
 * last port while connections are half open. */
#include "agent/steal.h"

#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capability.h"
#include "agent/client.h"
#include "agent/flush.h"
#include "agent/passes.h"
#include "agent/http.h"
#include "agent/steal_http.h"
#include "agent/steal_lookup.h"
#include "agent/steal_route.h"
#include "agent/steal_rules.h"
#include "agent/steal_tcp.h"
#include "agent/steal_udp.h"
#include "agent/watchdog.h"
#include "base/log.h"
#include "net/nft.h"
#include "net/sock_diag.h"

#define HALF_OPEN LOOP_SECOND /* so long a client may take to complete its connection */
#define TIDY_STEP (250 * (uint64_t)LOOP_MS)
#define SCARCE_STEP LOOP_SECOND
#define WITHOUT	    "mirroring and what leaves the program work without it"

struct steal {
	struct subscriptions_watcher watcher;
	struct loop *loop;
	struct subscriptions *subscriptions;
	struct steal_http *http;
	struct steal_lookup *lookup; /* or NULL */
	struct steal_tcp *tcp; /* NULL: idle, as are those below */
	struct steal_udp *udp; /* NULL also when datagrams can't be stolen: */
	struct error no_udp;   /* why */
	struct steal_rules *rules;
	struct passes *passes;
	struct steal_route *route;
	struct watchdog watchdog;
	struct sock_diag *diag;
	size_t n_ports;
	bool alone;
	bool looks_up; /* clients come to the common listeners, past tproxy */
	uint64_t last_removed;
	struct timer tidy, scarce;
};

static struct steal *steal_of(struct subscriptions_watcher *w)
{
	return container_of(w, struct steal, watcher);
}

static void stop(struct steal *s)
{
	loop_disarm(s->loop, &s->tidy);
	loop_disarm(s->loop, &s->scarce);
	if (s->lookup)
		steal_lookup_stop(s->lookup);
	steal_rules_free(s->rules); /* these first: from here on nothing comes */
	steal_tcp_free(s->tcp);
	steal_udp_free(s->udp);
	passes_free(s->passes);
	steal_route_free(s->route);
	watchdog_stop(&s->watchdog);
	sock_diag_close(s->diag);
	s->rules = NULL;
	s->tcp = NULL;
	s->udp = NULL;
	s->passes = NULL;
	s->route = NULL;
	s->diag = NULL;
}

static void on_scarce(void *arg)
{
	struct steal *s = arg;

	if (s->scarce.index)
		return;
	log_warn("steal: there are too few descriptors for more connections: new ones go to the target's own program for now");
	steal_rules_pause(s->rules, true);
	loop_arm(s->loop, &s->scarce, loop_now(s->loop) + SCARCE_STEP);
}

static void on_scarce_due(struct timer *t)
{
	struct steal *s = container_of(t, struct steal, scarce);

	if (steal_tcp_can_take(s->tcp))
		steal_rules_pause(s->rules, false);
	else
		loop_arm(s->loop, t, loop_now(s->loop) + SCARCE_STEP);
}

/* MIRRORD_STEAL=redirect is for tests. */
static bool must_redirect(void)
{
	const char *wish = getenv("MIRRORD_STEAL");

	return wish && strcmp(wish, "redirect") == 0;
}

/* TCP works without it. */
static void open_udp(struct steal *s, bool redirect)
{
	s->no_udp = (struct error){ 0 };
	if (redirect)
		error_set(&s->no_udp, 0, "stealing UDP needs tproxy, which the target's kernel lacks (nft_tproxy, CONFIG_NFT_TPROXY)");
	else if (capability_need(CAP_NET_RAW, "NET_RAW", "stealing UDP", "stealing TCP works without it", &s->no_udp) == 0)
		s->udp = steal_udp_new(s->loop, s->subscriptions, &s->no_udp);
}

/* What it would take is the target's own otherwise. */
static struct steal_lookup *start_lookup(struct steal *s)
{
	const int listeners[] = { [STEAL_V4] = steal_tcp_listener(s->tcp, STEAL_V4), [STEAL_V6] = steal_tcp_listener(s->tcp, STEAL_V6) };
	struct error err = { 0 };

	s->looks_up = s->lookup && steal_lookup_start(s->lookup, listeners, &err) == 0;
	if (s->looks_up)
		return s->lookup;
	if (s->lookup)
		log_warn("steal: %s", err.text);
	return NULL;
}

static int open_all(struct steal *s, bool redirect, struct error *err)
{
	const struct steal_tcp_events events = { .on_scarce = on_scarce, .arg = s };
	struct steal_listeners listeners = { 0 };

	s->tcp = steal_tcp_new(s->loop, s->subscriptions, s->http, &events, redirect, err);
	s->diag = s->tcp ? sock_diag_open(err) : NULL;
	if (!s->diag || watchdog_start(&s->watchdog, err) < 0)
		return -1;
	open_udp(s, redirect);
	for (int v = 0; v < 2; v++) {
		listeners.tcp[v] = steal_tcp_port(s->tcp, v);
		listeners.udp[v] = s->udp ? steal_udp_port(s->udp, v) : 0;
	}
	s->route = steal_route_new(s->loop, listeners.tcp[STEAL_V6] != 0, err);
	s->rules = s->route ? steal_rules_new(&listeners, redirect, redirect ? NULL : start_lookup(s), err) : NULL;
	s->passes = s->rules ? passes_new(s->loop, s->rules, err) : NULL;
	return s->passes ? steal_tcp_start(s->tcp, s->passes, err) : -1;
}

static int start(struct steal *s, struct error *err)
{
	bool redirect = must_redirect();
	int rc;

	if (s->tcp)
		return 0;
	if (s->alone) {
		error_set(err, 0, "another user's agent is at work in the target, and two can't steal from it");
		return error_hint(err, "end the other session, or run mirrord as the same user; mirroring and what leaves the program work");
	}
	if (capability_need(CAP_NET_ADMIN, "NET_ADMIN", "stealing", WITHOUT, err) < 0 || steal_route_check(err) < 0)
		return -1;
	rc = open_all(s, redirect, err);
	if (rc < 0 && !redirect && nft_lacks("nft_tproxy")) {
		log_warn("steal: the target's kernel lacks tproxy (nft_tproxy): new connections are redirected instead, which switches "
			 "connection tracking on, and UDP can't be stolen");
		stop(s);
		*err = (struct error){ 0 };
		rc = open_all(s, true, err);
	}
	if (rc == 0)
		return 0;
	nft_name_missing_piece(err, "; " WITHOUT);
	stop(s);
	return -1;
}

static bool is_stolen(const struct steal *s, uint8_t protocol, uint16_t port, const struct subscriber *but)
{
	for (const struct subscriber *o = subscribers_of(s->subscriptions, protocol, port); o; o = subscribers_next(s->subscriptions, o))
		if (o != but && o->want.mode == SUBSCRIPTION_STEAL)
			return true;
	return false;
}

/* Whether one of those who steal the port takes what is meant for @ip. */
static bool is_delivered(const struct steal *s, const struct subscription *want, const struct ip *ip)
{
	const struct endpoint at = { .ip = *ip, .port = want->port };
	const struct subscriber *o = subscribers_of(s->subscriptions, want->protocol, want->port);
	struct endpoint local, remote;

	for (; o; o = subscribers_next(s->subscriptions, o))
		if (o->want.mode == SUBSCRIPTION_STEAL && subscription_deliver(&o->want, &at, &at, &local, &remote))
			return true;
	return false;
}

/* Who gets all that come for it; NULL where some may be for the target's own program. */
static const struct subscriber *only_taker(const struct steal *s, const struct subscription *want)
{
	const struct subscriber *o = subscribers_of(s->subscriptions, want->protocol, want->port), *taker = NULL;

	for (; o && want->protocol == IPPROTO_TCP; o = subscribers_next(s->subscriptions, o)) {
		if (o->want.mode == SUBSCRIPTION_STEAL && (o->want.http_filter || o->want.probes))
			return NULL;
		if (!taker && subscriber_is_steal_of_all(o))
			taker = o;
	}
	return taker;
}

/* The listener of the program's whose queue a client of the family is meant to wait in, where it can be known how full that is. */
static struct steal_aim aim_of(const struct steal *s, const struct subscriber *taker, enum steal_family v)
{
	const struct listener *only = taker ? subscription_only_listener(&taker->want, v == STEAL_V4) : NULL;

	if (!only || s->looks_up || steal_http_has(s->http, taker->want.port))
		return (struct steal_aim){ 0 };
	return (struct steal_aim){ .twin = client_twin(taker->client), .listener = only->at };
}

/* Gives the port queues as long as the program's. Where it has none, those who come must knock again when the session says that the program's is
 * full: as they would at the target's own program. */
static void queue_port(struct steal *s, const struct subscription *want, struct steal_port *p)
{
	const struct subscriber *taker = only_taker(s, want);
	const struct steal_aim aims[2] = { [STEAL_V4] = aim_of(s, taker, STEAL_V4), [STEAL_V6] = aim_of(s, taker, STEAL_V6) };

	steal_tcp_queue(s->tcp, want->port, aims, p->own);
	for (int v = 0; v < 2; v++)
		p->full[v] = p->taken[v] && !p->own[v] && taker && subscription_is_full(&taker->want, v == STEAL_V4);
}

/* The port is the agent's for the families in which one of those who steal it can take a client; but not at an address at which nobody does.
 * Addresses that the target has only since a twin was made are led to another one, so they are not among those. */
static int take_port(struct steal *s, const struct subscription *want, struct error *err)
{
	const struct subscriber *o = subscribers_of(s->subscriptions, want->protocol, want->port);
	struct steal_port p = { .protocol = want->protocol, .port = want->port, .left = calloc(want->n_twin + 2, sizeof(struct ip)) };
	int rc;

	if (!p.left)
		return error_set(err, ENOMEM, "take port %u", want->port);
	for (; o; o = subscribers_next(s->subscriptions, o))
		for (int v = 0; v < 2 && o->want.mode == SUBSCRIPTION_STEAL; v++)
			p.taken[v] |= subscription_takes(&o->want, v == STEAL_V4);
	if (want->protocol == IPPROTO_TCP)
		queue_port(s, want, &p);
	for (size_t i = 0; i < want->n_twin + 2; i++) {
		struct ip ip = i < want->n_twin ? want->twin[i] : ip_loopback(i == want->n_twin);

		if (p.taken[ip_is_v4(&ip) ? STEAL_V4 : STEAL_V6] && !is_delivered(s, want, &ip))
			p.left[p.n_left++] = ip;
	}
	rc = steal_rules_set(s->rules, &p, err);
	free(p.left);
	return rc;
}

/* Once it has no port, and nobody is on his way, nothing of ours stays in the target. */
static void tidy_later(struct steal *s)
{
	if (s->tcp && !s->n_ports)
		loop_arm(s->loop, &s->tidy, loop_now(s->loop) + TIDY_STEP);
}

static int take_up(struct steal *s, struct subscriber *sub, struct error *err)
{
	const struct subscription *want = &sub->want;

	if (start(s, err) < 0 || (want->protocol == IPPROTO_TCP && steal_http_add(s->http, sub, err) < 0))
		return -1;
	if (want->protocol == IPPROTO_UDP && !s->udp) {
		*err = s->no_udp;
		return -1;
	}
	if (take_port(s, want, err) < 0) {
		steal_http_remove(s->http, sub);
		return -1;
	}
	return 0;
}

static int on_add(struct subscriptions_watcher *w, struct subscriber *sub, struct error *err)
{
	struct steal *s = steal_of(w);
	const struct subscription *want = &sub->want;

	if (want->mode != SUBSCRIPTION_STEAL)
		return 0;
	if (take_up(s, sub, err) < 0) {
		tidy_later(s);
		return -1;
	}
	if (!is_stolen(s, want->protocol, want->port, sub)) {
		s->n_ports++;
		loop_disarm(s->loop, &s->tidy);
	}
	if (want->flush && want->protocol == IPPROTO_TCP)
		log_info("steal: port %u: %u connections were reset", want->port, flush_connections(s->diag, s->passes, want->port));
	return 0;
}

static void take_port_or_log(struct steal *s, const struct subscription *want)
{
	struct error err = { 0 };

	if (take_port(s, want, &err) < 0)
		log_warn("steal: port %u: %s", want->port, err.text);
}

static void on_change(struct subscriptions_watcher *w, struct subscriber *sub)
{
	struct steal *s = steal_of(w);

	if (sub->want.mode == SUBSCRIPTION_STEAL && s->tcp)
		take_port_or_log(s, &sub->want);
}

static void on_remove(struct subscriptions_watcher *w, struct subscriber *sub)
{
	struct steal *s = steal_of(w);
	const struct subscription *want = &sub->want;

	if (want->mode != SUBSCRIPTION_STEAL || !s->tcp)
		return;
	take_port_or_log(s, want);
	if (!is_stolen(s, want->protocol, want->port, sub)) {
		s->last_removed = loop_now(s->loop);
		s->n_ports--;
	}
	steal_http_remove(s->http, sub);
	steal_tcp_drop(s->tcp, sub);
	if (s->udp)
		steal_udp_drop(s->udp, sub);
	tidy_later(s);
}

static void on_client_end(struct subscriptions_watcher *w, const struct client *c)
{
	struct steal *s = steal_of(w);

	if (s->udp)
		steal_udp_end_client(s->udp, c);
}

static void note_half_open(void *arg, const struct diag_socket *d)
{
	*(bool *)arg = true;
}

static bool are_half_open(struct steal *s)
{
	bool some = false;

	if (loop_now(s->loop) < s->last_removed + HALF_OPEN)
		sock_diag_list(s->diag, IPPROTO_TCP, 0, 1 << TCP_SYN_RECV, note_half_open, &some);
	return some;
}

bool steal_busy(struct steal *s)
{
	/* In this order: one that is neither half-open nor taken here can only be passed on, or over. */
	return s->tcp && (are_half_open(s) || steal_tcp_accept_waiting(s->tcp) || steal_http_count() || passes_busy(s->passes));
}

static void on_tidy(struct timer *t)
{
	struct steal *s = container_of(t, struct steal, tidy);

	if (steal_busy(s))
		loop_arm(s->loop, t, loop_now(s->loop) + TIDY_STEP);
	else
		stop(s);
}

struct steal *steal_new(struct loop *loop, struct subscriptions *subscriptions, bool alone, int root, struct steal_lookup *lookup)
{
	struct steal *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->http = steal_http_new(loop, root);
	if (!s->http) {
		free(s);
		return NULL;
	}
	*s = (struct steal){ .loop = loop, .http = s->http, .subscriptions = subscriptions, .tidy.on_due = on_tidy, .scarce.on_due = on_scarce_due,
			    .watchdog.fd = -1, .alone = alone, .lookup = lookup };
	s->watcher = (struct subscriptions_watcher){
		.on_add = on_add, .on_change = on_change, .on_remove = on_remove, .on_client_end = on_client_end
	};
	subscriptions_watch(subscriptions, &s->watcher);
	return s;
}

int steal_check(const struct steal *s, const struct subscription *want, struct error *err)
{
	return steal_http_check(s->http, want, err);
}

void steal_free(struct steal *s)
{
	if (!s)
		return;
	steal_http_free(s->http);
	stop(s);
	steal_lookup_free(s->lookup);
	free(s);
}
