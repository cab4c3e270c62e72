// SPDX-License-Identifier: MIT
/* divert LISTEN APP FILTER PROGRAM [FILTER PROGRAM]… -- the agent's HTTP connections without an agent: what is accepted at address LISTEN
 * is served with the target's app at APP, and each FILTER's program at the PROGRAM behind it. Prints "ready" when it listens, and
 * on SIGTERM the counters of each filter as a line of JSON. For tests and measurements of HTTP alone. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/http.h"
#include "http/options.h"
#include "base/fd.h"
#include "base/log.h"
#include "relay/sockets.h"

enum { TAKERS = 64 };

struct session {
	struct http_taker *taker;
	struct endpoint program;
	struct egress *egress;
	uint64_t totals[COUNTERS];
};

static struct loop *loop;
static struct http_port *port;
static struct egress *egress;
static struct endpoint app;
static struct session sessions[TAKERS];
static size_t n_sessions;

static struct endpoint parse(const char *text)
{
	const char *colon = strrchr(text, ':');
	struct endpoint e = { .port = colon ? (uint16_t)atoi(colon + 1) : 0 };
	char ip[64];

	snprintf(ip, sizeof(ip), "%.*s", colon ? (int)(colon - text) : 0, text);
	if (!ip_parse(ip, &e.ip) || !e.port) {
		fprintf(stderr, "divert: no address and port: %s\n", text);
		exit(2);
	}
	return e;
}

static struct egress *deliver(void *arg, const struct endpoint *client, const struct endpoint *destination, struct endpoint *ret_local,
			      struct endpoint *ret_remote)
{
	const struct session *s = arg;

	*ret_local = (struct endpoint){ .ip = IP_ANY4 };
	*ret_remote = s->program;
	return s->egress;
}

static void count(void *arg, enum counter what, uint64_t n)
{
	((struct session *)arg)->totals[what] += n;
}

static const struct http_taker_ops ops = { .deliver = deliver, .count = count };

static int dial_app(void *arg, const struct endpoint *client, const struct endpoint *destination, dial_done_fn done, void *done_arg,
		    struct dial **ret_dial)
{
	const struct endpoint local = { .ip = IP_ANY4 };

	return egress->ops->dial(egress, &local, destination, done, done_arg, ret_dial);
}

static void on_accept(struct watch *w, uint32_t events)
{
	struct http_peers peers = { .destination = app, .dial_app = dial_app };
	struct sockaddr_storage sa;
	int fd, on = 1;

	for (;;) {
		socklen_t len = sizeof(sa);

		fd = accept4(w->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		fd_reset_on_close(fd, true);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		endpoint_from_sockaddr(&sa, &peers.client);
		http_serve(port, fd, NULL, &peers);
	}
}

static void print_counters(void)
{
	static const struct {
		const char *name;
		enum counter number;
	} names[] = {
		{ "stolen", COUNTER_HTTP_STOLEN }, { "passed", COUNTER_HTTP_PASSED }, { "lost", COUNTER_HTTP_LOST },
		{ "unsafe", COUNTER_HTTP_UNSAFE }, { "failed", COUNTER_HTTP_FAILED }, { "trouble", COUNTER_HTTP_TROUBLE },
		{ "refused", COUNTER_STOLEN_PASSED },
	};

	for (size_t i = 0; i < n_sessions; i++) {
		printf("{");
		for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++)
			printf("%s\"%s\": %" PRIu64, k ? ", " : "", names[k].name, sessions[i].totals[names[k].number]);
		printf("}\n");
	}
	fflush(stdout);
}

static void on_signal(struct watch *w, uint32_t events)
{
	struct signalfd_siginfo info;
	bool last = true;

	if (read(w->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1 || info.ssi_signo == SIGHUP) { /* the first session goes, with the network of its program */
		if (sessions[0].taker)
			http_taker_remove(sessions[0].taker);
		sessions[0].taker = NULL;
		if (info.ssi_signo == SIGHUP)
			socket_egress_free(sessions[0].egress);
		last = false;
	} else if (info.ssi_signo == SIGUSR2) {
		last = false;
		printf("%zu connections\n", http_count());
	}
	print_counters();
	if (last)
		loop_stop(loop);
}

static void add_session(const char *filter_text, const char *program, struct error *err)
{
	struct session *s = &sessions[n_sessions++];
	static const struct http_settings settings = { .body_max = HTTP_BODY_MAX, .body_ms = HTTP_BODY_MS };
	struct http_filter *filter = http_filter_parse(filter_text, err);

	if (!filter) {
		fprintf(stderr, "divert: %s\n", err->text);
		exit(2);
	}
	s->program = parse(program);
	s->egress = socket_egress_new(loop, NULL);
	s->taker = http_port_add(port, filter, &settings, &ops, s);
}

static int listen_at(const char *text)
{
	const struct endpoint at = parse(text);
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&at, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 4096) < 0) {
		fprintf(stderr, "divert: listen at %s: %s\n", text, strerror(errno));
		exit(2);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static struct watch listener, signals;
	struct error err = { 0 };
	sigset_t set;

	if (argc < 3 || argc % 2 == 0 || (argc - 3) / 2 > TAKERS) {
		fprintf(stderr, "usage: divert LISTEN APP [FILTER PROGRAM]…\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	log_init("divert", getenv("MIRRORD_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, STDERR_FILENO);
	fd_raise_limit();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	app = parse(argv[2]);
	loop = loop_new(&err);
	port = http_port_new(loop);
	egress = socket_egress_new(loop, NULL);
	for (int i = 3; i < argc; i += 2)
		add_session(argv[i], argv[i + 1], &err);
	loop_watch(loop, &listener, listen_at(argv[1]), EPOLLIN | EPOLLET, on_accept);
	loop_watch(loop, &signals, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), EPOLLIN, on_signal);
	printf("ready\n");
	fflush(stdout);
	loop_run(loop, &err);
	return 0;
}
