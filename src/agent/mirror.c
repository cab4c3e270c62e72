// SPDX-License-Identifier: MIT
/* The agent's side of mirroring.
 *
 * The process and its ring take some ten milliseconds until they are there (ring.h), and a listen() waits for its subscription. So they are made
 * when a session says that it will mirror, and anew a while after its last subscription; until one comes, the target's packets don't meet them.
 *
 * A subscription: the process is told of it first, then the kernel's filter lets its port's packets in; so what the process reads is always
 * of a port that it knows, and what reaches the port after the subscription was answered is in the ring. When it ends, copies that the
 * program has accepted go on until their clients' connections are over (a program may close its listener and serve what it has), and the
 * port stays in the filter as long.
 *
 * What a steal gives back to the target's own program passes twice: from the client, and by lo from the agent in the client's name. The latter
 * carries the agent's mark and is left out.
 *
 * When the process dies (it is the first to go when memory is short) another one takes its place; each session is told. */
#include "agent/mirror.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/client.h"
#include "agent/client_set.h"
#include "agent/layout.h"
#include "agent/mirror_datagrams.h"
#include "agent/mirror_dials.h"
#include "agent/mirror_link.h"
#include "agent/ring.h"
#include "base/fd.h"
#include "base/log.h"
#include "capture/filter.h"
#include "http/filter.h"
#include "http/options.h"

enum { PORTS = 65536 };
#define LOST_STEP LOOP_SECOND
#define RESTART_PAUSE LOOP_SECOND
#define REST_AFTER (2 * LOOP_SECOND)

/* A subscription that mirrors. */
struct followed {
	struct list node;
	struct subscriber *subscriber; /* NULL: over, but for copies */
	const struct client *owner;    /* whose it is or was; NULL: that one is gone */
	uint32_t key;
	uint8_t protocol;
	uint16_t port;
	bool filtered;
	int32_t body_max; /* bytes that the filter looks at */
};

struct mirror {
	struct subscriptions_watcher watcher;
	struct loop *loop;
	struct list followed;
	struct mirror_dials dials;
	struct list expected; /* sessions that will mirror */
	struct mirror_datagrams *datagrams;
	struct mirror_link link;
	uint32_t last_key;
	struct timer lost, restart, rest;
};

/* A file with @text. -1 with errno. */
static int text_file(const char *text)
{
	_cleanup_fd_ int fd = memfd_create("filter", MFD_CLOEXEC);

	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0)
		return -1;
	return fd_steal(&fd);
}

static int tell_of(struct mirror *m, const struct followed *f, struct error *err)
{
	const struct mirror_message message = { .kind = MIRROR_ADD, .key = f->key, .value = f->body_max, .protocol = f->protocol,
					.destination.port = f->port };
	int filter = f->filtered ? text_file(f->subscriber->want.http_filter) : -1;

	if (f->filtered && filter < 0)
		return error_set(err, errno, "pass on the HTTP filter of port %u", f->port);
	mirror_link_tell(&m->link, &message, filter);
	return 0;
}

/* The ports of one protocol, each once, in order; one more than can be when there are more. */
static size_t list_ports(const struct mirror *m, uint8_t protocol, uint16_t *ports)
{
	static bool there[PORTS];
	size_t n = 0;

	memset(there, 0, sizeof(there));
	for (struct list *node = m->followed.next; node != &m->followed; node = node->next) {
		const struct followed *f = container_of(node, struct followed, node);

		if (f->protocol == protocol)
			there[f->port] = true;
	}
	for (size_t i = 0; i < PORTS && n <= CAPTURE_PORTS; i++)
		if (there[i])
			ports[n++] = (uint16_t)i;
	return n;
}

static int set_filter(struct mirror *m, struct error *err)
{
	static struct sock_filter program[BPF_MAXINSNS];
	uint16_t ports[CAPTURE_PROTOCOLS][CAPTURE_PORTS + 1];
	struct capture_plan plan = { .ports = { ports[0], ports[1] }, .answers = { [CAPTURE_TCP] = CAPTURE_HEAD },
				     .skip_mark = AGENT_MARK };
	size_t n;

	plan.n[CAPTURE_TCP] = list_ports(m, IPPROTO_TCP, ports[CAPTURE_TCP]);
	plan.n[CAPTURE_UDP] = list_ports(m, IPPROTO_UDP, ports[CAPTURE_UDP]);
	n = capture_filter(&plan, program);
	if (n == 0)
		return error_set(err, 0, "more than %d ports can't be mirrored at a time", CAPTURE_PORTS);
	return ring_filter(m->link.ring, program, n, err);
}

static int start(struct mirror *m, struct error *err)
{
	if ((!mirror_link_is_up(&m->link) && mirror_link_start(&m->link, err) < 0) || mirror_link_bind(&m->link, err) < 0)
		return -1;
	loop_arm(m->loop, &m->lost, loop_now(m->loop) + LOST_STEP);
	return 0;
}

/* Ends the process and all that is between it and us. */
static void stop(struct mirror *m)
{
	mirror_link_stop(&m->link);
	loop_disarm(m->loop, &m->lost);
	mirror_dials_drop_all(&m->dials);
}

static void make_ready(struct mirror *m)
{
	struct error err = { 0 };

	if (!list_empty(&m->expected) && !mirror_link_is_up(&m->link) && mirror_link_start(&m->link, &err) < 0)
		log_debug("mirror: %s", err.text); /* the subscription will be told */
}

/* Subscriptions. */

static struct followed *find_key(const struct mirror *m, uint32_t key)
{
	for (struct list *n = m->followed.next; n != &m->followed; n = n->next) {
		struct followed *f = container_of(n, struct followed, node);

		if (f->key == key)
			return f;
	}
	return NULL;
}

static struct followed *find_subscriber(const struct mirror *m, const struct subscriber *s)
{
	for (struct list *n = m->followed.next; n != &m->followed; n = n->next) {
		struct followed *f = container_of(n, struct followed, node);

		if (f->subscriber == s)
			return f;
	}
	return NULL;
}

static void count(const struct followed *f, enum counter what, uint64_t n)
{
	if (f->subscriber && n)
		client_count(f->subscriber->client, what, n);
}

/* Each client that mirrors, once. */
static void count_lost(struct mirror *m)
{
	uint64_t n = mirror_link_is_up(&m->link) ? ring_lost(m->link.ring) : 0;
	const struct client *last = NULL;

	for (struct list *node = m->followed.next; n && node != &m->followed; node = node->next) {
		const struct followed *f = container_of(node, struct followed, node);

		if (f->subscriber && f->subscriber->client != last)
			count(f, COUNTER_MIRROR_LOST, n);
		if (f->subscriber)
			last = f->subscriber->client;
	}
}

static void on_lost(struct timer *t)
{
	struct mirror *m = container_of(t, struct mirror, lost);

	count_lost(m);
	loop_arm(m->loop, t, loop_now(m->loop) + LOST_STEP);
}

static void forget(struct mirror *m, struct followed *f)
{
	struct error err = { 0 };

	mirror_datagrams_drop(m->datagrams, f->key);
	list_remove(&f->node);
	free(f);
	if (list_empty(&m->followed) && list_empty(&m->expected))
		stop(m);
	else if (m->link.bound && set_filter(m, &err) < 0)
		log_limited(LOG_LEVEL_WARN, "mirror: %s", err.text);
	if (list_empty(&m->followed) && m->link.bound)
		loop_arm(m->loop, &m->rest, loop_now(m->loop) + REST_AFTER);
}

/* A program that listens anew does it soon, and would have to wait for another ring. */
static void on_rest(struct timer *t)
{
	struct mirror *m = container_of(t, struct mirror, rest);

	if (!list_empty(&m->followed))
		return;
	stop(m);
	make_ready(m);
}

/* 1: there is one; 0; or -1 with @err. */
static int check_filter(const struct subscription *want, struct error *err)
{
	struct http_filter *filter = http_filter_parse_for(want->http_filter, want->port, err);
	bool set = filter && http_filter_is_set(filter);

	if (!filter)
		return -1;
	http_filter_free(filter);
	return set && want->protocol == IPPROTO_TCP;
}

/* Of TLS and of answers a mirror wants nothing. */
static int read_body_max(const struct subscription *want, struct error *err)
{
	struct http_options o;
	size_t n;

	if (http_options_parse(want->http_options, &o, err) < 0)
		return -1;
	n = o.body_max;
	http_options_fini(&o);
	return (int)n;
}

static int on_add(struct subscriptions_watcher *w, struct subscriber *s, struct error *err)
{
	struct mirror *m = container_of(w, struct mirror, watcher);
	struct followed *f;
	int filtered, body_max;

	if (s->want.mode != SUBSCRIPTION_MIRROR)
		return 0;
	filtered = check_filter(&s->want, err);
	body_max = filtered < 0 ? -1 : read_body_max(&s->want, err);
	if (body_max < 0 || start(m, err) < 0)
		return -1;
	f = calloc(1, sizeof(*f));
	if (!f)
		return error_set(err, ENOMEM, "mirror port %u", s->want.port);
	*f = (struct followed){ .subscriber = s, .owner = s->client, .key = ++m->last_key, .protocol = s->want.protocol, .port = s->want.port,
				 .filtered = filtered, .body_max = body_max };
	list_append(&m->followed, &f->node);
	if (tell_of(m, f, err) == 0 && set_filter(m, err) == 0)
		return 0;
	forget(m, f);
	return -1;
}

static void on_remove(struct subscriptions_watcher *w, struct subscriber *s)
{
	struct mirror *m = container_of(w, struct mirror, watcher);
	struct followed *f = find_subscriber(m, s);
	struct mirror_message message = { .kind = MIRROR_REMOVE };

	if (!f)
		return;
	count_lost(m);
	mirror_dials_drop_key(&m->dials, f->key);
	mirror_datagrams_drop(m->datagrams, f->key);
	f->subscriber = NULL;
	message.key = f->key;
	if (mirror_link_is_up(&m->link))
		mirror_link_tell(&m->link, &message, -1);
	else
		forget(m, f);
}

static void on_expect(struct subscriptions_watcher *w, const struct client *c, enum subscription_mode mode)
{
	struct mirror *m = container_of(w, struct mirror, watcher);

	if (mode == SUBSCRIPTION_MIRROR && client_set_add(&m->expected, c))
		make_ready(m);
}

static void on_client_end(struct subscriptions_watcher *w, const struct client *c)
{
	struct mirror *m = container_of(w, struct mirror, watcher);

	if (client_set_remove(&m->expected, c) && list_empty(&m->expected) && list_empty(&m->followed))
		stop(m);
	for (struct list *n = m->followed.next; n != &m->followed; n = n->next) {
		struct followed *f = container_of(n, struct followed, node);
		const struct mirror_message message = { .kind = MIRROR_CUT, .key = f->key };

		if (f->owner != c)
			continue;
		f->owner = NULL;
		mirror_link_tell(&m->link, &message, -1);
	}
}

/* What the process asks for. */

static void on_dialed(void *arg, uint32_t key, uint32_t copy, int error, int fd)
{
	struct mirror *m = arg;
	const struct mirror_message message = { .kind = MIRROR_DIALED, .copy = copy, .value = error };

	count(find_key(m, key), error ? COUNTER_MIRROR_REFUSED : COUNTER_MIRRORED, 1);
	mirror_link_tell(&m->link, &message, fd);
}

static void on_dial(struct mirror *m, const struct followed *f, const struct mirror_message *wanted)
{
	struct endpoint local, remote;

	if (!f->subscriber)
		return; /* it gives up by itself */
	if (subscription_deliver(&f->subscriber->want, &wanted->client, &wanted->destination, &local, &remote))
		mirror_dials_add(&m->dials, client_program(f->subscriber->client), &local, &remote, f->key, wanted->copy);
	else
		on_dialed(m, f->key, wanted->copy, ECONNREFUSED, -1);
}

static void on_datagram(struct mirror *m, struct followed *f, const struct mirror_message *message, size_t len)
{
	struct mirror_datagram g = { .key = f->key, .client = message->client, .destination = message->destination,
				     .marks = message->marks, .data = (const uint8_t *)(message + 1), .len = len };

	if (!f->subscriber)
		return;
	if (!subscription_deliver(&f->subscriber->want, &message->client, &message->destination, &g.local, &g.remote) ||
	    mirror_datagrams_send(m->datagrams, client_program(f->subscriber->client), &g) != 0)
		count(f, COUNTER_MIRROR_REFUSED, 1);
}

static void on_message(void *arg, const struct mirror_message *message, size_t len)
{
	struct mirror *m = arg;
	struct followed *f = find_key(m, message->key);

	if (message->kind == MIRROR_ABANDON)
		mirror_dials_drop(&m->dials, message->copy);
	else if (!f)
		return;
	else if (message->kind == MIRROR_DIAL)
		on_dial(m, f, message);
	else if (message->kind == MIRROR_COUNT)
		count(f, (enum counter)message->copy, (uint64_t)message->value);
	else if (message->kind == MIRROR_DATAGRAM)
		on_datagram(m, f, message, len);
	else if (message->kind == MIRROR_GONE)
		forget(m, f);
}

/* The process has died: those of whom copies alone were left end with it. */
static void on_death(void *arg)
{
	struct mirror *m = arg;
	struct client *last = NULL;

	log_warn("mirror: the mirroring process has ended");
	stop(m);
	for (struct list *n = m->followed.next, *next; n != &m->followed; n = next) {
		struct followed *f = container_of(n, struct followed, node);

		next = n->next;
		if (!f->subscriber) {
			forget(m, f);
			continue;
		}
		if (f->subscriber->client != last)
			client_notice(f->subscriber->client, "mirroring was interrupted: the process that does it in the target was killed "
							     "(is memory short there?); it starts again");
		last = f->subscriber->client;
	}
	if (!list_empty(&m->followed))
		loop_arm(m->loop, &m->restart, loop_now(m->loop) + RESTART_PAUSE);
}

static void on_restart(struct timer *t)
{
	struct mirror *m = container_of(t, struct mirror, restart);
	struct error err = { 0 };

	if (list_empty(&m->followed) || m->link.bound)
		return;
	if (start(m, &err) < 0) {
		log_limited(LOG_LEVEL_WARN, "mirror: %s", err.text);
		loop_arm(m->loop, t, loop_now(m->loop) + RESTART_PAUSE);
		return;
	}
	for (struct list *n = m->followed.next; n != &m->followed; n = n->next)
		if (tell_of(m, container_of(n, struct followed, node), &err) < 0)
			log_limited(LOG_LEVEL_WARN, "mirror: %s", err.text);
	if (set_filter(m, &err) < 0)
		log_limited(LOG_LEVEL_WARN, "mirror: %s", err.text);
}

struct mirror *mirror_new(struct loop *loop, struct subscriptions *subscriptions)
{
	static const struct mirror_link_events events = { on_message, on_death };
	struct mirror *m = calloc(1, sizeof(*m));

	if (m)
		m->datagrams = mirror_datagrams_new(loop);
	if (!m || !m->datagrams) {
		free(m);
		return NULL;
	}
	m->loop = loop;
	mirror_link_init(&m->link, loop, &events, m);
	m->watcher.on_add = on_add;
	m->watcher.on_remove = on_remove;
	m->watcher.on_client_end = on_client_end;
	m->watcher.on_expect = on_expect;
	m->lost.on_due = on_lost;
	m->restart.on_due = on_restart;
	m->rest.on_due = on_rest;
	list_init(&m->followed);
	list_init(&m->expected);
	mirror_dials_init(&m->dials, on_dialed, m);
	subscriptions_watch(subscriptions, &m->watcher);
	return m;
}

void mirror_free(struct mirror *m)
{
	if (!m)
		return;
	stop(m);
	mirror_link_fini(&m->link);
	loop_disarm(m->loop, &m->restart);
	loop_disarm(m->loop, &m->rest);
	mirror_datagrams_free(m->datagrams);
	while (!list_empty(&m->followed))
		free(container_of(list_pop(&m->followed), struct followed, node));
	free(m);
}
