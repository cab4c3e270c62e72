// SPDX-License-Identifier: MIT
/* The life of a port-forward.
 *
 *   STARTING  the agent is on its way. Ends: it described the target, and names that -R leads to are known (-L goes on before) → UP; it can't
 *             start, or there is no such name → all ends, the first time, else WAITING
 *   UP        connections pass. Ends: the agent is lost → WAITING; a port of -R is refused → all ends, the first time, else WAITING: it may
 *             be the old agent who still has it
 *   WAITING   connections were reset; new ones wait in the queues of the listeners, which stay. Ends: the pause is over → STARTING. Each
 *             pause is twice as long as the one before, from one second to PAUSE_MAX, until one start went well */
#include "forward/forward.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "forward/local.h"
#include "forward/remote.h"
#include "relay/tunnel_egress.h"
#include "relay/tunnel_server.h"
#include "session/link.h"
#include "session/wants.h"
#include "tunnel/subscription.h"

#define PAUSE_MAX (32 * LOOP_SECOND)

struct forward {
	const struct forward_options *options;
	struct loop *loop;
	struct local *locals[FORWARD_RULES];
	size_t n_locals, n_remotes;
	struct watch signals;
	struct timer pause;
	uint64_t pause_length;
	bool was_up, up, waiting;
	bool again; /* it is not the first agent */
	struct error error;
	/* Of one agent. */
	struct target target;
	struct link *link;
	struct mux *mux; /* the link's */
	struct egress *exit, *place;
	struct lookup *lookup;
	struct tunnel_server *server;
	struct wants *wants;
};

static void stop(struct forward *f, const struct error *why)
{
	if (why && !error_is_set(&f->error))
		f->error = *why;
	loop_stop(f->loop);
}

/* Before the link goes, and with it the mux. */
static void take_down(struct forward *f)
{
	for (size_t i = 0; i < f->n_locals; i++)
		f->locals[i]->ops->set_agent(f->locals[i], false);
	lookup_free(f->lookup);
	tunnel_egress_free(f->exit);
	tunnel_server_free(f->server);
	remote_egress_free(f->place);
	wants_free(f->wants);
	f->lookup = NULL;
	f->exit = f->place = NULL;
	f->server = NULL;
	f->wants = NULL;
	f->mux = NULL;
	f->up = false;
}

/* What the agent is told of: each port of -R as if a program listened on it. */
static void subscribe(struct forward *f)
{
	struct wanted wanted[FORWARD_RULES];
	size_t n = 0;

	for (size_t i = 0; i < f->options->n_rules; i++) {
		const struct forward_rule *r = &f->options->rules[i];

		if (r->remote)
			wanted[n++] = (struct wanted){ .socket = { .protocol = r->protocol, .local = r->listen }, .port = r->listen.port };
	}
	wants_update(f->wants, wanted, n);
}

static void on_places(void *arg, const struct error *why);

/* -R has what it needs before the agent says that it is there. */
static int bring_up(struct forward *f, const struct target_info *info, struct error *err)
{
	f->mux = link_mux(f->link);
	f->exit = tunnel_egress_new(f->loop, f->mux);
	f->lookup = f->exit ? lookup_new(f->loop, f->exit, info) : NULL;
	f->wants = wants_new(&f->mux, &f->options->incoming, link_probes(f->link));
	f->place = remote_egress_new(f->loop, f->options->rules, f->options->n_rules, on_places, f, err);
	f->server = f->place ? tunnel_server_new(f->loop, f->place) : NULL;
	if (f->lookup && f->wants && f->server)
		return 0;
	return error_is_set(err) ? -1 : error_set(err, ENOMEM, "forward");
}

static void say_rules(const struct forward *f)
{
	char text[FORWARD_RULE_TEXT];

	for (size_t i = 0; i < f->options->n_rules; i++)
		log_tell(LOG_LAST_WORDS, "mirrord: %s\n", forward_rule_format(&f->options->rules[i], text));
}

static void on_lost(void *arg, const struct error *why);

static void on_target(void *arg, const struct target_info *info)
{
	struct forward *f = arg;
	struct error err = { 0 };

	if (bring_up(f, info, &err) < 0) {
		take_down(f);
		on_lost(f, &err);
		return;
	}
	for (size_t i = 0; i < f->n_locals; i++)
		f->locals[i]->ops->set_agent(f->locals[i], true);
}

/* It is known where -R leads, or that one of its names is none. */
static void on_places(void *arg, const struct error *why)
{
	struct forward *f = arg;

	if (why) {
		on_lost(f, why);
		return;
	}
	subscribe(f);
	f->up = true;
	f->pause_length = LOOP_SECOND;
	f->again = f->was_up;
	if (f->again)
		log_tell(LOG_LAST_WORDS, "mirrord: the agent is there again\n");
	else
		say_rules(f);
	f->was_up = true;
}

static void on_open(void *arg, struct stream *s, const struct stream_request *request)
{
	struct forward *f = arg;

	if (f->up)
		tunnel_server_open(f->server, s, request);
	else
		stream_reset(s, ECONNREFUSED);
}

/* wants.c has said which, and why; what it wants, it must have. */
static bool is_refused(const struct forward *f, struct error *ret)
{
	for (size_t i = 0; i < f->options->n_rules; i++) {
		const struct forward_rule *r = &f->options->rules[i];

		if (r->remote && wants_state(f->wants, r->protocol, r->listen.port) == EADDRINUSE) {
			error_set(ret, 0, "-R: port %u of the target is not to be had", r->listen.port);
			return true;
		}
	}
	return false;
}

static void on_subscribed(struct forward *f, const uint8_t *data, size_t len)
{
	struct error err = { 0 };

	wants_on_answer(f->wants, data, len);
	if (!is_refused(f, &err))
		return;
	if (f->again)
		on_lost(f, &err);
	else
		stop(f, &err);
}

static void on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	struct forward *f = arg;
	char text[NOTICE_MAX + 1];

	if (topic == INFO_SUBSCRIBED && f->wants) {
		on_subscribed(f, data, len);
	} else if (topic == INFO_NOTICE) {
		notice_decode(data, len, text);
		log_tell(0, "mirrord: %s\n", text);
	}
}

/* The link can't be freed from inside the call: the timer does it, and begins anew. */
static void on_lost(void *arg, const struct error *why)
{
	struct forward *f = arg;

	if (!f->was_up)
		stop(f, why);
	if (!f->was_up || f->waiting)
		return;
	f->waiting = true;
	take_down(f);
	log_tell(LOG_LAST_WORDS, "mirrord: %s; connections wait for another one\n", why->text);
	loop_arm(f->loop, &f->pause, loop_now(f->loop) + f->pause_length);
	f->pause_length = f->pause_length * 2 < PAUSE_MAX ? f->pause_length * 2 : PAUSE_MAX;
}

static const struct link_events link_events = { .on_target = on_target, .on_lost = on_lost, .on_open = on_open, .on_info = on_info };

static int start(struct forward *f, struct error *err)
{
	const struct link_options o = {
		.target = &f->target,
		.settings = f->options->settings,
		.progress = f->options->progress && !f->was_up,
		.steals = f->n_remotes && f->options->incoming.mode == INCOMING_STEAL,
		.probes = f->options->incoming.steal_probes,
	};

	link_free(f->link);
	f->link = NULL;
	if (target_resolve(f->options->target, &f->target, err) < 0)
		return -1;
	if (f->n_remotes && f->target.kind == TARGET_TARGETLESS)
		return error_set(err, 0, "-R takes a port of the target's, and there is none: the target is \"targetless\"");
	f->link = link_new(f->loop, &o, &link_events, f, err);
	return f->link ? 0 : -1;
}

static void on_pause(struct timer *t)
{
	struct forward *f = container_of(t, struct forward, pause);
	struct error err = { 0 };

	f->waiting = false;
	if (start(f, &err) < 0)
		on_lost(f, &err);
}

static void on_signal(struct watch *w, uint32_t events)
{
	stop(container_of(w, struct forward, signals), NULL);
}

static int watch_signals(struct forward *f, struct error *err)
{
	static const int ends[] = { SIGINT, SIGTERM };
	int r = loop_watch_signals(f->loop, &f->signals, ends, sizeof(ends) / sizeof(ends[0]), on_signal);

	return r < 0 ? error_set(err, -r, "wait for signals") : 0;
}

/* Before the agent is asked for: a port that is taken is said at once. */
static int listen_here(struct forward *f, struct error *err)
{
	const struct local_context c = { .loop = f->loop, .target = &f->exit, .lookup = &f->lookup };

	for (size_t i = 0; i < f->options->n_rules; i++) {
		struct forward_rule *r = &f->options->rules[i];
		const struct local_ops *ops = r->protocol == IPPROTO_UDP ? &local_udp : &local_tcp;

		if (r->remote) {
			f->n_remotes++;
			continue;
		}
		f->locals[f->n_locals] = ops->listen(&c, r, err);
		if (!f->locals[f->n_locals])
			return -1;
		f->n_locals++;
	}
	return 0;
}

int forward_run(const struct forward_options *options, struct error *err)
{
	struct forward f = { .options = options, .signals.fd = -1, .pause.on_due = on_pause, .pause_length = LOOP_SECOND };
	int rc = -1;

	fd_raise_limit();
	f.loop = loop_new(err);
	if (f.loop && listen_here(&f, err) == 0 && start(&f, err) == 0 && watch_signals(&f, err) == 0)
		rc = loop_run(f.loop, err);
	if (!f.loop)
		return -1;
	loop_disarm(f.loop, &f.pause);
	take_down(&f);
	link_free(f.link);
	for (size_t i = 0; i < f.n_locals; i++)
		f.locals[i]->ops->free(f.locals[i]);
	loop_unwatch(f.loop, &f.signals);
	fd_closep(&f.signals.fd);
	loop_free(f.loop);
	if (rc == 0 && error_is_set(&f.error)) {
		*err = f.error;
		return -1;
	}
	return rc;
}
