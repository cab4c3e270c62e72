// SPDX-License-Identifier: MIT
/* What listens, told to an agent that the test plays: each change once, and nothing but changes. */
#include "session/wants.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/probe.h"
#include "tunnel/subscription.h"

#include "clock.h"
#include "tap.h"

enum { MESSAGES = 64 };

/* What the agent was told, in a line each. */
static char told[MESSAGES][256];
static size_t n_told;
static struct mux *session, *agent;
static struct loop *loop;
static struct incoming_options options = { .mode = INCOMING_STEAL, .on_concurrent = INCOMING_CONTINUE, .who = "ann", .http_filter = "{}" };

static struct kube_probes probes = { .ports = { { 8080, PROBE_HTTP | PROBE_TCP } }, .n = 1, .n_nodes = 1 };

static void note_subscription(const uint8_t *data, size_t len, char *out, size_t room)
{
	struct subscription s;
	struct error err = { 0 };
	char text[ENDPOINT_TEXT];
	int n;

	if (subscription_decode(data, len, &s, &err) < 0)
		abort();
	n = snprintf(out, room, "+%u %s %u %s%s", s.id, s.protocol == IPPROTO_TCP ? "tcp" : "udp", s.port,
		     s.mode == SUBSCRIPTION_STEAL ? "steal" : "mirror", s.http_filter ? " filtered" : "");
	for (size_t i = 0; i < s.n_listeners; i++)
		n += snprintf(out + n, room - (size_t)n, " %s%s%s", endpoint_format(&s.listeners[i].at, text), s.listeners[i].v6only ? "!" : "",
			      s.listeners[i].full ? " full" : s.listeners[i].several ? " several" : "");
	if (s.probes)
		snprintf(out + n, room - (size_t)n, " but probes %u of %zu", s.probes, s.n_nodes);
	subscription_fini(&s);
}

static void on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	struct error err = { 0 };
	uint32_t id;

	if (n_told == MESSAGES)
		abort();
	if (topic == INFO_SUBSCRIBE)
		note_subscription(data, len, told[n_told++], sizeof(told[0]));
	else if (topic == INFO_UNSUBSCRIBE && unsubscribe_decode(data, len, &id, &err) == 0)
		snprintf(told[n_told++], sizeof(told[0]), "-%u", id);
}

static void on_gone(void *arg, const struct error *why)
{
	abort();
}

static const struct mux_events events = { .on_info = on_info, .on_gone = on_gone };

static void on_turn(struct timer *t)
{
	loop_stop(loop);
}

/* Lets everything arrive, and gives it as one text. */
static const char *heard(void)
{
	static char text[MESSAGES * 256];
	struct timer t = { .on_due = on_turn };
	struct error err = { 0 };
	size_t n = 0;

	loop_arm(loop, &t, loop_now(loop) + 20 * (uint64_t)LOOP_MS);
	loop_run(loop, &err);
	text[0] = '\0';
	for (size_t i = 0; i < n_told; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? "; " : "", told[i]);
	n_told = 0;
	return text;
}

/* @spec: "tcp 0.0.0.0 3000 80", protocol, address with "!" for v6only, local port, the target's; " full" behind it. */
static struct wanted wanted(const char *spec)
{
	struct wanted w = { 0 };
	char protocol[8], ip[64];
	unsigned int local, port;

	if (sscanf(spec, "%7s %63s %u %u", protocol, ip, &local, &port) != 4)
		abort();
	w.socket.v6only = ip[strlen(ip) - 1] == '!';
	if (w.socket.v6only)
		ip[strlen(ip) - 1] = '\0';
	w.socket.protocol = strcmp(protocol, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
	w.socket.local.port = (uint16_t)local;
	w.socket.full = strstr(spec, " full") != NULL;
	w.port = (uint16_t)port;
	if (!ip_parse(ip, &w.socket.local.ip))
		abort();
	return w;
}

static void update(struct wants *w, const char *const *specs)
{
	struct wanted all[MESSAGES];
	size_t n = 0;

	for (; specs[n]; n++)
		all[n] = wanted(specs[n]);
	wants_update(w, all, n);
}
#define UPDATE(w, ...) update(w, (const char *const[]){ __VA_ARGS__, NULL })

static void answer(struct wants *w, uint32_t id, const char *refused)
{
	struct subscribed s = { .id = id };
	size_t len;
	uint8_t *data;

	if (refused)
		error_set(&s.refused, 0, "%s", refused);
	data = subscribed_encode(&s, &len);
	wants_on_answer(w, data, len);
	free(data);
}

static void test_changes(struct wants *w)
{
	UPDATE(w, "tcp 0.0.0.0 3000 80", "udp :: 53 53");
	tap_str(heard(), "+1 tcp 80 steal filtered 0.0.0.0:3000; +2 udp 53 steal [::]:53", "what listens is subscribed, a filter is for TCP");
	UPDATE(w, "udp :: 53 53", "tcp 0.0.0.0 3000 80");
	tap_str(heard(), "", "the same in another order is no news");
	UPDATE(w, "tcp 0.0.0.0 3000 80", "tcp 0.0.0.0 3000 80", "udp :: 53 53");
	tap_str(heard(), "+1 tcp 80 steal filtered 0.0.0.0:3000 several", "several sockets at one place (SO_REUSEPORT) are told as one");
	UPDATE(w, "tcp 0.0.0.0 3000 80", "tcp 0.0.0.0 3000 80", "udp :: 53 53", "tcp 0.0.0.0 3000 80", "udp :: 53 53");
	tap_str(heard(), "", "however many they are");
	UPDATE(w, "tcp 0.0.0.0 3000 80", "tcp ::! 3000 80", "udp :: 53 53");
	tap_str(heard(), "+1 tcp 80 steal filtered 0.0.0.0:3000 [::]:3000!", "another listener changes the subscription");
	UPDATE(w, "tcp ::! 3000 80", "udp :: 53 53");
	tap_str(heard(), "+1 tcp 80 steal filtered [::]:3000!", "so does the end of one");
	UPDATE(w, "tcp :: 3000 80", "udp :: 53 53");
	tap_str(heard(), "+1 tcp 80 steal filtered [::]:3000", "and another socket at the same address");
	UPDATE(w, "udp :: 53 53", "udp :: 80 80");
	tap_str(heard(), "+3 udp 80 steal [::]:80; -1", "TCP and UDP are two things; what nobody listens on ends");
	tap_int(wants_count(w), 2, "two are left");
}

static void test_states(struct wants *w)
{
	tap_int(wants_state(w, IPPROTO_UDP, 53), EINPROGRESS, "asked");
	answer(w, 2, NULL);
	tap_int(wants_state(w, IPPROTO_UDP, 53), 0, "answered");
	UPDATE(w, "udp :: 53 53", "udp :: 80 80", "udp 0.0.0.0 53 53");
	tap_int(wants_state(w, IPPROTO_UDP, 53), EINPROGRESS, "asked again");
	answer(w, 2, NULL);
	tap_int(wants_state(w, IPPROTO_UDP, 53), 0, "answered again");
	answer(w, 99, NULL);
	answer(w, 1, "late");
	tap_int(wants_state(w, IPPROTO_TCP, 80), 0, "answers to what is gone change nothing");
	heard();
}

static void test_refused(struct wants *w)
{
	answer(w, 3, "stolen by bob");
	tap_int(wants_state(w, IPPROTO_UDP, 80), EADDRINUSE, "refused");
	UPDATE(w, "udp :: 80 80", "udp :: 53 53", "udp 0.0.0.0 53 53", "udp 0.0.0.0 80 80");
	tap_str(heard(), "", "a change of what is refused isn't told");
	wants_retry(w, IPPROTO_UDP, 80);
	tap_str(heard(), "+4 udp 80 steal [::]:80 0.0.0.0:80", "but asked anew when the program tries again");
	wants_retry(w, IPPROTO_UDP, 53);
	tap_str(heard(), "", "what isn't refused needs no second try");
	answer(w, 4, "stolen by bob");
	UPDATE(w, "udp :: 53 53");
	tap_str(heard(), "+2 udp 53 steal [::]:53", "the agent knows nothing of a refused one: its end isn't told");
	answer(w, 2, NULL);
	answer(w, 2, "taken over by bob");
	tap_int(wants_state(w, IPPROTO_UDP, 53), EADDRINUSE, "one that was good may be lost");
	UPDATE(w, "tcp 127.0.0.1 1 1");
	tap_str(heard(), "+5 tcp 1 steal filtered 127.0.0.1:1", "a new one");
}

static void test_limit(struct wants *w)
{
	struct wanted many[SUBSCRIPTION_LISTENERS + 5];

	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
		many[i] = wanted("tcp 127.0.0.1 9 9");
		many[i].socket.local.ip.b[14] = (uint8_t)(i + 1);
	}
	wants_update(w, many, sizeof(many) / sizeof(many[0]));
	heard();
	tap_int(wants_count(w), 1, "more listeners on a port than there may be are one subscription");
	wants_update(w, many, 0);
	tap_str(heard(), "-6", "and end as one");
}

static void test_mirror(void)
{
	static struct incoming_options mirror = { .mode = INCOMING_MIRROR };
	struct wants *w = wants_new(&session, &mirror, &probes);

	UPDATE(w, "tcp 0.0.0.0 80 80");
	tap_str(heard(), "+1 tcp 80 mirror 0.0.0.0:80", "a port is mirrored");
	answer(w, 1, "no CAP_NET_RAW");
	tap_int(wants_state(w, IPPROTO_TCP, 80), 0, "where it can't be, the program is let go on");
	wants_free(w);
}

static void test_probes(void)
{
	struct incoming_options steal = { .mode = INCOMING_STEAL };
	struct wants *w = wants_new(&session, &steal, &probes);

	UPDATE(w, "tcp 0.0.0.0 3000 8080", "udp 0.0.0.0 8080 8080", "tcp 0.0.0.0 80 80");
	tap_str(heard(), "+1 tcp 80 steal 0.0.0.0:80; +2 tcp 8080 steal 0.0.0.0:3000 but probes 9 of 1; +3 udp 8080 steal 0.0.0.0:8080",
		"the kubelet's probes are kept where there are some");
	wants_free(w);
	steal.steal_probes = true;
	w = wants_new(&session, &steal, &probes);
	UPDATE(w, "tcp 0.0.0.0 8080 8080");
	tap_str(heard(), "+1 tcp 8080 steal 0.0.0.0:8080", "or not, as the user wishes");
	wants_free(w);
}

static void test_full(void)
{
	static struct incoming_options steal = { .mode = INCOMING_STEAL }, mirror = { .mode = INCOMING_MIRROR };
	struct wants *w = wants_new(&session, &steal, &probes);

	UPDATE(w, "tcp 0.0.0.0 80 80", "tcp ::! 80 80");
	heard();
	UPDATE(w, "tcp 0.0.0.0 80 80 full", "tcp ::! 80 80");
	tap_str(heard(), "+1 tcp 80 steal 0.0.0.0:80 full [::]:80!", "a full queue is told");
	UPDATE(w, "tcp 0.0.0.0 80 80 full", "tcp ::! 80 80");
	tap_str(heard(), "", "once");
	UPDATE(w, "tcp 0.0.0.0 80 80 full", "tcp ::! 80 80", "tcp 0.0.0.0 80 80");
	tap_str(heard(), "+1 tcp 80 steal 0.0.0.0:80 several [::]:80!", "another socket at the same place has room");
	UPDATE(w, "tcp 0.0.0.0 80 80", "tcp ::! 80 80");
	tap_str(heard(), "+1 tcp 80 steal 0.0.0.0:80 [::]:80!", "and is gone");
	wants_free(w);
	w = wants_new(&session, &mirror, &probes);
	UPDATE(w, "tcp 0.0.0.0 80 80 full");
	tap_str(heard(), "+1 tcp 80 mirror 0.0.0.0:80", "who mirrors keeps no client waiting");
	UPDATE(w, "tcp 0.0.0.0 80 80", "tcp 0.0.0.0 80 80");
	tap_str(heard(), "", "and doesn't care how many sockets there are");
	wants_free(w);
}

static void test_moved(void)
{
	struct incoming_options steal = { .mode = INCOMING_STEAL, .on_concurrent = INCOMING_CONTINUE };
	struct wants *w = wants_new(&session, &steal, &probes);

	UPDATE(w, "tcp 0.0.0.0 8080 8080", "udp :: 53 53", "tcp 0.0.0.0 80 80");
	heard();
	answer(w, 1, NULL);
	answer(w, 2, "stolen by bob");
	probes.n = 0;
	wants_move(w);
	tap_str(heard(), "+1 tcp 80 steal 0.0.0.0:80; +2 tcp 8080 steal 0.0.0.0:8080; +3 udp 53 steal [::]:53",
		"another agent is asked for all, also for what the last one refused; its target's probes count");
	tap_int(wants_state(w, IPPROTO_TCP, 80), EINPROGRESS, "and its answer is waited for");
	probes.n = 1;
	wants_free(w);
}

static void test_without_agent(void)
{
	struct mux *none = NULL;
	struct wants *w = wants_new(&none, &options, &probes);

	UPDATE(w, "tcp 0.0.0.0 80 80");
	tap_int(wants_state(w, IPPROTO_TCP, 80), 0, "without an agent nobody waits");
	tap_ok(wants_used(w), "something was wanted");
	wants_free(w);
}

/* A program with hundreds of ports, none of which is to be had. */
static void test_hundreds_refused(void)
{
	struct wants *w = wants_new(&session, &options, &probes);
	int ends[2], saved = dup(STDERR_FILENO), lines = 0;
	char spec[64], text[65536];
	ssize_t n;

	if (pipe(ends) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
		abort();
	for (unsigned int i = 1; i <= 200; i++) {
		snprintf(spec, sizeof(spec), "udp :: %u %u", i, i);
		UPDATE(w, spec);
		answer(w, i, "no room");
	}
	dup2(saved, STDERR_FILENO);
	close(ends[1]);
	while ((n = read(ends[0], text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	tap_ok(lines >= 1 && lines < 100, "two hundred refusals are not two hundred lines");
	close(ends[0]);
	close(saved);
	wants_free(w);
}

int main(void)
{
	struct error err = { 0 };
	int pair[2];
	struct wants *w;

	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO); /* what the user is told */
	loop = loop_new(&err);
	if (!loop || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	session = mux_new(loop, MUX_SESSION, pair[0], pair[0], &events, NULL, &err);
	agent = mux_new(loop, MUX_AGENT, pair[1], pair[1], &events, NULL, &err);
	w = wants_new(&session, &options, &probes);
	tap_ok(!wants_used(w), "nothing was wanted so far");
	test_changes(w);
	test_states(w);
	test_refused(w);
	test_limit(w);
	wants_free(w);
	test_mirror();
	test_probes();
	test_full();
	test_moved();
	test_without_agent();
	test_hundreds_refused();
	mux_free(session);
	mux_free(agent);
	loop_free(loop);
	return tap_done();
}
