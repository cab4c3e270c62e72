// SPDX-License-Identifier: MIT
/* Stealing, from the client's connect() to the program's accept(), or to the target's own program. */
#include "agent/steal.h"

#include "agent/steal_route.h"
#include "base/log.h"
#include "http/probe.h"
#include "target.h"

enum { PORT = 80, MANY = 300 };

/* The target's own program and the session's, on both families' wildcard address. */
static int apps[2], programs[2];
static const char *const any[] = { "0.0.0.0", "::" };
static struct session ann, bob;

static void open_apps(void)
{
	for (int v = 0; v < 2; v++)
		apps[v] = listen_in(TARGET, any[v], PORT, 512);
}

static void open_programs(void)
{
	for (int v = 0; v < 2; v++)
		programs[v] = listen_in(TWIN, any[v], PORT, 512);
}

static void close_both(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* Both ways, and to the end, the client first. */
static void check_bytes(int client, int server, const char *name)
{
	tap_ok(send_pattern(client, 0, 200000, 1) && receive_pattern(server, 0, 200000, 1) == 200000, "%s: bytes there", name);
	tap_ok(send_pattern(server, 0, 200000, 2) && receive_pattern(client, 0, 200000, 2) == 200000, "%s: and back", name);
	shutdown(client, SHUT_WR);
	tap_int(read_outcome(server), 0, "%s: the client's end", name);
	tap_ok(send_pattern(server, 200000, 10, 2) && receive_pattern(client, 200000, 10, 2) == 10, "%s: the server goes on", name);
	close(server);
	tap_int(read_outcome(client), 0, "%s: and ends", name);
	close(client);
}

/* Where clients may come from, and what they connect to. */
static const struct {
	const char *name;
	enum place from;
	const char *to;
	int v;
} ways[] = {
	{ "from outside", OUTSIDE, "10.9.0.2", V4 },
	{ "from outside, IPv6", OUTSIDE, "fd09::2", V6 },
	{ "from localhost", TARGET, "127.0.0.1", V4 },
	{ "from localhost, IPv6", TARGET, "::1", V6 },
	{ "from the target to its own address", TARGET, "10.9.0.2", V4 },
	{ "from the target to its own address, IPv6", TARGET, "fd09::2", V6 },
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static void test_taken(void)
{
	for (size_t i = 0; i < WAYS; i++) {
		int client = connect_from(ways[i].from, ways[i].to, PORT, 0), server = accept_one(programs[ways[i].v]);
		struct endpoint to = name_of(client, getpeername);

		tap_ok(client >= 0 && server >= 0, "%s: the session's program has it", ways[i].name);
		tap_ok(nothing_came(apps[ways[i].v]), "%s: and the target's hasn't", ways[i].name);
		tap_int(to.port, PORT, "%s: the client sees whom it called", ways[i].name);
		check_bytes(client, server, ways[i].name);
	}
}

/* Nobody listens on the session's side. */
static void test_passed(const char *what)
{
	for (size_t i = 0; i < WAYS; i++) {
		int client = connect_from(ways[i].from, ways[i].to, PORT, 0), server = accept_one(apps[ways[i].v]);
		struct endpoint seen = name_of(server, getpeername), self = name_of(server, getsockname), own = name_of(client, getsockname),
				to = name_of(client, getpeername);
		char name[128];

		snprintf(name, sizeof(name), "%s, %s", what, ways[i].name);
		tap_ok(client >= 0 && server >= 0, "%s: the target's program has it", name);
		tap_ok(ip_equal(&seen.ip, &own.ip), "%s: from the client's address", name);
		tap_ok(endpoint_equal(&self, &to), "%s: at the address that it called", name);
		check_bytes(client, server, name);
	}
}

/* As if we weren't there. */
static void test_direct(const char *what)
{
	for (size_t i = 0; i < WAYS; i++) {
		int client = connect_from(ways[i].from, ways[i].to, PORT, 0), server = accept_one(apps[ways[i].v]);
		struct endpoint seen = name_of(server, getpeername), own = name_of(client, getsockname);

		tap_ok(client >= 0 && endpoint_equal(&seen, &own), "%s, %s: the client's own port", what, ways[i].name);
		close(client);
		close(server);
	}
}

static void test_resets(void)
{
	int client = connect_from(OUTSIDE, pod[V4], PORT, 0), server = accept_one(programs[V4]);

	reset(client);
	tap_int(read_outcome(server), ECONNRESET, "the client's reset");
	close(server);
	client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	server = accept_one(programs[V4]);
	reset(server);
	tap_int(read_outcome(client), ECONNRESET, "the program's reset");
	close(client);
}

/* Connections that were there before. */
static void test_existing(bool flush)
{
	const char *name = flush ? "flushed" : "left alone";
	int client[2], server[2];

	for (int v = 0; v < 2; v++) {
		client[v] = connect_from(OUTSIDE, pod[v], PORT, 0);
		server[v] = accept_one(apps[v]);
		send_pattern(client[v], 0, 1000, 1);
		receive_pattern(server[v], 0, 1000, 1);
	}
	tap_ok(subscribe(&ann, PORT, CONCURRENT_ABORT, flush), "%s: subscribed", name);
	for (int v = 0; v < 2; v++) {
		if (flush) {
			tap_int(read_outcome(client[v]), ECONNRESET, "%s: the client's end, family %d", name, v);
			tap_int(read_outcome(server[v]), ECONNABORTED, "%s: the target's program's", name);
		} else {
			tap_ok(send_pattern(client[v], 1000, 1000, 1) && receive_pattern(server[v], 1000, 1000, 1) == 1000 &&
				   send_pattern(server[v], 0, 1000, 2) && receive_pattern(client[v], 0, 1000, 2) == 1000,
			       "%s: goes on, family %d", name, v);
		}
		close(client[v]);
		close(server[v]);
	}
}

struct looking {
	const struct session *session;
	bool found;
};

static void look_for_subscriber(void *arg)
{
	struct looking *l = arg;

	l->found = false;
	for (struct subscriber *s = subscribers_of(services.subscriptions, IPPROTO_TCP, PORT); s; s = subscribers_next(services.subscriptions, s))
		l->found |= s->client == l->session->client;
}

/* Waits until the agent has heard of it: a connection that is offered before goes to the next one. */
static void unsubscribe(struct session *s)
{
	struct looking l = { .session = s, .found = true };

	on_loop(send_unsubscribe, s);
	while (l.found && poll(NULL, 0, 1) == 0)
		on_loop(look_for_subscriber, &l);
}

static int knock(const char *ip)
{
	socklen_t len;
	struct sockaddr_storage sa = address(ip, PORT, &len);
	int fd;

	go_to(OUTSIDE);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	go_to(TARGET);
	if (connect(fd, (struct sockaddr *)&sa, len) == 0 || errno != EINPROGRESS)
		abort();
	return fd;
}

static bool is_answered(int fd, int milliseconds)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, milliseconds) == 1;
}

/* @full: of the IPv4 listener's queue. */
static void tell_full(bool full, const char *filter)
{
	struct listener listeners[2] = { { .at = { IP_ANY4, PORT }, .full = full }, { .at = { IP_ANY6, PORT }, .v6only = true } };
	int answers = ann.answers;

	ann.want.listeners = listeners;
	ann.want.n_listeners = 2;
	ann.want.http_filter = (char *)filter;
	on_loop(send_subscribe, &ann);
	await(&ann.answers, answers + 1);
}

/* The session says that its program's queue is full: who comes is not answered, and who knocks again later is. */
static void test_full(void)
{
	int waits, client, server;

	tell_full(true, NULL);
	waits = knock(pod[V4]);
	client = connect_from(OUTSIDE, pod[V6], PORT, 0);
	server = accept_one(programs[V6]);
	tap_ok(server >= 0, "a client of the family that has room");
	close(client);
	close(server);
	tap_ok(!is_answered(waits, 300), "a client of the one that has none isn't answered");
	tell_full(false, NULL);
	tap_ok(is_answered(waits, 60000), "it knocks again");
	server = accept_one(programs[V4]);
	tap_ok(server >= 0 && nothing_came(apps[V4]), "and the session's program has it");
	close(waits);
	close(server);
	tell_full(true, NULL);
	unsubscribe(&ann);
	client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	server = accept_one(apps[V4]);
	tap_ok(server >= 0, "without the subscription the target's program has them");
	close(client);
	close(server);
	tell_full(true, "{\"path_filter\": \"/\"}");
	client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	tap_ok(client >= 0, "where some are the target's program's, all are answered");
	close(client);
	close(accept_one(apps[V4])); /* HTTP connects before the client speaks */
	unsubscribe(&ann);
	subscribe(&ann, PORT, CONCURRENT_ABORT, false);
}

/* The session's program has a full backlog: its SYN waits, and the client with it, until the subscription ends. */
static void test_dropped_while_offered(void)
{
	int full = listen_in(TWIN, pod[V4], PORT, 0), filler[3], client, server;

	for (int i = 0; i < 3; i++) {
		filler[i] = connect_from(OUTSIDE, pod[V4], PORT, 0);
		send_pattern(filler[i], 0, 1, 1);
		shutdown(filler[i], SHUT_WR);
	}
	client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	tap_ok(client >= 0 && send_pattern(client, 0, 1000, 1), "a client whose connection can't be delivered yet");
	poll(NULL, 0, 50);
	tap_ok(nothing_came(apps[V4]), "it waits");
	unsubscribe(&ann);
	do {
		server = accept_one(apps[V4]);
		if (server >= 0 && recv(server, &(char){ 0 }, 1, MSG_PEEK) == 1) {
			struct endpoint seen = name_of(server, getpeername), own = name_of(client, getsockname);

			tap_ok(ip_equal(&seen.ip, &own.ip), "it goes to the target's program");
		}
	} while (server >= 0 && receive_pattern(server, 0, 1000, 1) < 1000 && close(server) == 0);
	tap_ok(server >= 0, "with all that it said");
	close(server);
	close(client);
	close(full);
	for (int i = 0; i < 3; i++)
		close(filler[i]);
	while (!nothing_came(apps[V4]))
		close(accept(apps[V4], NULL, NULL));
}

static void test_rivals(void)
{
	int client, server;

	tap_ok(subscribe(&ann, PORT, CONCURRENT_ABORT, false), "ann subscribes");
	tap_ok(!subscribe(&bob, PORT, CONCURRENT_ABORT, false), "bob is refused");
	tap_ok(strstr(bob.last.refused.text, "TCP port 80 is stolen by"), "since ann has it: %s", bob.last.refused.text);
	tap_ok(subscribe(&bob, PORT, CONCURRENT_CONTINUE, false), "bob stands behind");
	unsubscribe(&ann);
	client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	server = accept_one(programs[V4]);
	tap_ok(send_pattern(client, 0, 10, 1) && receive_pattern(server, 0, 10, 1) == 10, "and takes over, for good");
	close(client);
	close(server);
	int lost = bob.answers;

	tap_ok(subscribe(&ann, PORT, CONCURRENT_OVERRIDE, false), "ann takes it");
	tap_int(await(&bob.answers, lost + 1), lost + 1, "bob hears of it");
	tap_str(bob.last.refused.text, "TCP port 80 was taken over by another session", "and why");
	unsubscribe(&ann);
}

struct question {
	const char *command, *text;
	bool found;
};

/* The loop's thread starts all processes: until one executes its program it has copies of all descriptors, and what is closed meanwhile would
 * stay in the loop's epoll set. */
static void ask(void *arg)
{
	struct question *q = arg;
	char line[512];
	FILE *f = popen(q->command, "r");

	while (fgets(line, sizeof(line), f))
		q->found |= q->text && strstr(line, q->text);
	if (pclose(f) != 0 && !q->text)
		abort();
}

static bool has_text(const char *command, const char *text)
{
	struct question q = { command, text, false };

	on_loop(ask, &q);
	return q.found;
}

static void run_command(const char *command)
{
	has_text(command, NULL);
}

/* Some time after the last subscription nothing of ours is there. */
static bool becomes_clean(void)
{
	for (int i = 0; i < 500; i++) {
		if (!has_text("nft list ruleset", "mirrord") && !has_text("ip rule; ip -6 rule; ip route show table all", "12397"))
			return true;
		poll(NULL, 0, 10);
	}
	return false;
}

/* So long that all passes are looked for at once, behind it. */
static void stall(void *arg)
{
	poll(NULL, 0, 1500);
}

struct latecomer {
	int client;
	bool busy;
};

static void come_late(void *arg)
{
	struct latecomer *l = arg;

	l->client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	l->busy = steal_busy(steal);
}

/* A client is connected as soon as the kernel says so, which is before the loop hears of it: who asks whether all is over meanwhile, to end
 * the agent, hears that it isn't. */
static void test_latecomer(void)
{
	struct latecomer l;
	int server;

	tap_ok(becomes_clean(), "nobody is there");
	subscribe(&ann, PORT, CONCURRENT_ABORT, false);
	on_loop(come_late, &l);
	tap_ok(l.busy, "a connection that isn't accepted yet is waited for");
	server = accept_one(apps[V4]);
	check_bytes(l.client, server, "and passed on");
	unsubscribe(&ann);
}

/* Ports of passes are never those of connections that the client has. */
static void test_ports_of_passes(void)
{
	static int client[MANY], server[MANY];
	int passed, got, alive = 0;

	tap_ok(becomes_clean(), "no pass of before has a port");
	for (int i = 0; i < MANY; i++) {
		client[i] = connect_from(OUTSIDE, pod[V4], PORT, (uint16_t)(1025 + 28 * i));
		server[i] = accept_one(apps[V4]);
	}
	subscribe(&ann, PORT, CONCURRENT_ABORT, false);
	for (int i = 0; i < MANY; i++) {
		passed = connect_from(OUTSIDE, pod[V4], PORT, 0);
		got = accept_one(apps[V4]);
		if (passed < 0 || got < 0 || !send_pattern(passed, 0, 10, 1) || receive_pattern(got, 0, 10, 1) != 10)
			break;
		alive++;
		close(passed);
		close(got);
	}
	tap_int(alive, MANY, "passed on one after the other");
	on_loop(stall, NULL);
	alive = 0;
	for (int i = 0; i < MANY; i++) {
		alive += send_pattern(client[i], 0, 10, 1) && receive_pattern(server[i], 0, 10, 1) == 10;
		close(client[i]);
		close(server[i]);
	}
	tap_int(alive, MANY, "connections that were there before have lived on");
	unsubscribe(&ann);
}

/* Clients that take their ports from where those of passes are: Linux takes the even ones. */
static void test_ports_of_clients(void)
{
	static int passed[MANY], got[MANY];
	int alive = 0;

	go_to(OUTSIDE);
	write_sysctl("/proc/sys/net/ipv4/ip_local_port_range", "1024 9999");
	subscribe(&ann, PORT, CONCURRENT_ABORT, false);
	for (int i = 0; i < MANY; i++) {
		passed[i] = connect_from(OUTSIDE, pod[V4], PORT, 0);
		got[i] = passed[i] < 0 ? -1 : accept_one(apps[V4]);
	}
	for (int i = 0; i < MANY; i++) {
		alive += got[i] >= 0 && send_pattern(passed[i], 0, 10, 1) && receive_pattern(got[i], 0, 10, 1) == 10;
		close(passed[i]);
		close(got[i]);
	}
	tap_int(alive, MANY, "connections at a time, from ports like ours");
	unsubscribe(&ann);
	go_to(OUTSIDE);
	write_sysctl("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999");
	go_to(TARGET);
}

/* The target's program listens on one address alone. */
static void test_apps_on_one_address(void)
{
	static const struct {
		const char *name, *listen, *to;
		enum place from;
	} rows[] = {
		{ "on the pod's address", "10.9.0.2", "10.9.0.2", OUTSIDE },
		{ "on the pod's address, from the pod", "10.9.0.2", "10.9.0.2", TARGET },
		{ "on localhost", "127.0.0.1", "127.0.0.1", TARGET },
		{ "on another loopback address", "127.0.0.6", "127.0.0.6", TARGET },
	};

	subscribe(&ann, PORT, CONCURRENT_ABORT, false);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int app = listen_in(TARGET, rows[i].listen, PORT, 16), client = connect_from(rows[i].from, rows[i].to, PORT, 0),
		    server = accept_one(app);

		tap_ok(client >= 0 && server >= 0, "an app %s", rows[i].name);
		close(client);
		close(server);
		close(app);
	}
	int client = connect_from(OUTSIDE, pod[V4], PORT, 0);

	tap_int(client < 0 ? -client : read_outcome(client), ECONNRESET, "nobody at all: a reset");
	close(client);
	unsubscribe(&ann);
}

/* An agent that died, and a tool that flushes all that it may. */
static void test_others(void)
{
	int client, server;

	tap_ok(becomes_clean(), "clean");
	run_command("ip rule add priority 1 fwmark 0x306d lookup 12397; ip route add local default dev lo table 12397 proto static");
	steal_route_clear();
	tap_ok(!has_text("ip rule; ip route show table all", "12397"), "what an agent left is cleared");
	close_both(programs);
	subscribe(&ann, PORT, CONCURRENT_ABORT, false);
	tap_ok(has_text("ip rule", "fwmark 0x306d lookup 12397"), "the rule is there");
	run_command("nft flush ruleset; ip rule flush; ip rule add priority 32766 lookup main; ip route flush table 12397");
	tap_ok(has_text("nft list ruleset", "tcp_ports"), "nobody can flush the table");
	for (int i = 0; i < 5000 && !has_text("ip rule; ip route show table 12397", "local default"); i++)
		poll(NULL, 0, 1);
	client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	server = accept_one(apps[V4]);
	tap_ok(client >= 0 && server >= 0, "rule and route are made again");
	check_bytes(client, server, "after a flush");
	unsubscribe(&ann);
	open_programs();
}

static bool received(int fd, const char *text, size_t len)
{
	char got[256];

	return recv(fd, got, len, MSG_WAITALL) == (ssize_t)len && memcmp(got, text, len) == 0;
}

/* The kubelet, whose node is OUTSIDE. What it asks goes to the target's program, what others ask to the session's. */
static void test_probes(void)
{
	static const char asks[] = "GET /ready HTTP/1.1\r\nUser-Agent: kube-probe/1.37\r\n\r\n", other[] = "GET /ready HTTP/1.1\r\n\r\n";
	struct ip node;
	struct listener listener = { .at = { IP_ANY4, PORT } };
	int client, server, answers = ann.answers;

	ip_parse(outside[V4], &node);
	ann.want.listeners = &listener;
	ann.want.n_listeners = 1;
	ann.want.probes = PROBE_HTTP | PROBE_TCP;
	ann.want.nodes = &node;
	ann.want.n_nodes = 1;
	on_loop(send_subscribe, &ann);
	await(&ann.answers, answers + 1);

	client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	send(client, asks, 10, 0);
	usleep(20000); /* in parts */
	send(client, asks + 10, sizeof(asks) - 11, 0);
	server = accept_one(apps[V4]);
	tap_ok(server >= 0 && nothing_came(programs[V4]), "the kubelet's request is the target's program's");
	tap_ok(received(server, asks, sizeof(asks) - 1), "all of it");
	close(client);
	close(server);

	client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	send(client, other, sizeof(other) - 1, 0);
	server = accept_one(programs[V4]);
	tap_ok(server >= 0 && nothing_came(apps[V4]), "another request is the session's program's");
	tap_ok(received(server, other, sizeof(other) - 1), "all of it");
	close(client);
	close(server);

	close(connect_from(OUTSIDE, pod[V4], PORT, 0));
	server = accept_one(apps[V4]);
	tap_ok(server >= 0 && nothing_came(programs[V4]), "a connection of the node's that ends without a word is the target's program's");
	close(server);

	client = connect_from(OUTSIDE, pod[V4], PORT, 0);
	server = accept_one(programs[V4]);
	tap_ok(server >= 0, "a client that waits for the server's word gets it after a while");
	check_bytes(client, server, "a silent client");
}

static void run(void)
{
	open_apps();
	open_programs();
	on_loop(agent_start, NULL);
	on_loop(session_start, &ann);
	on_loop(session_start, &bob);
	test_direct("before");
	test_existing(false);
	test_taken();
	test_resets();
	close_both(programs);
	test_passed("refused");
	open_programs();
	test_taken();
	test_full();
	unsubscribe(&ann);
	tap_ok(becomes_clean(), "nothing is left without a subscription");
	test_direct("after");
	test_existing(true);
	unsubscribe(&ann);
	test_rivals();
	close_both(programs);
	subscribe(&ann, PORT, CONCURRENT_ABORT, false);
	test_dropped_while_offered();
	test_latecomer();
	test_ports_of_passes();
	test_ports_of_clients();
	close_both(apps);
	test_apps_on_one_address();
	open_apps();
	open_programs();
	test_others();
	subscribe(&ann, PORT, CONCURRENT_ABORT, false);
	test_probes();
	on_loop(session_stop, &ann);
	test_direct("the session went");
	on_loop(session_stop, &bob);
	on_loop(agent_stop, NULL);
	tap_ok(becomes_clean(), "nothing is left");
	close_both(apps);
	close_both(programs);
}

int main(void)
{
	int before;

	if (!build_places()) {
		printf("1..0 # SKIP no network namespaces are to be had\n");
		return 0;
	}
	fd_raise_limit();
	if (getenv("MIRRORD_LOG"))
		log_init("test", LOG_LEVEL_DEBUG, STDERR_FILENO);
	loop_thread_start();
	before = open_descriptors();
	run();
	tap_int(open_descriptors(), before, "no descriptor is left");
	loop_thread_stop();
	return tap_done();
}
