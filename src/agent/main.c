// SPDX-License-Identifier: MIT
/* mirrord-agent: enters the target's network namespace, says what it is like, and serves the tunnel on standard input and output. It
 * opens no network port: who may use it is decided by who may start it. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/enter.h"
#include "agent/inspect.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/loop.h"
#include "relay/lender.h"
#include "relay/sockets.h"
#include "relay/tunnel_server.h"
#include "tunnel/info.h"
#include "tunnel/mux.h"

enum { LEND_FD = 3 };
#define LAST_STEP (20 * (uint64_t)LOOP_MS)

struct agent {
	struct loop *loop;
	struct mux *mux;
	struct egress *egress;
	struct tunnel_server *server;
	struct lender *lender;
	struct timer last; /* armed when no stream will come any more */
};

static void on_open(void *arg, struct stream *s, const struct stream_request *request)
{
	struct agent *a = arg;

	if (a->server)
		tunnel_server_open(a->server, s, request);
	else
		stream_reset(s, ENETUNREACH);
}

static void on_gone(void *arg, const struct error *why)
{
	struct agent *a = arg;

	log_debug("tunnel: %s", why->text);
	loop_stop(a->loop);
}

/* Hangs up when the last stream is over. */
static void on_last(struct timer *t)
{
	struct agent *a = container_of(t, struct agent, last);

	if (mux_stream_count(a->mux))
		loop_arm(a->loop, t, loop_now(a->loop) + LAST_STEP);
	else
		loop_stop(a->loop);
}

static void on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	struct agent *a = arg;

	if (topic != INFO_ENDING || len < 1)
		return;
	if (data[0] == ENDING_QUIET)
		fd_drop_stderr();
	else if (data[0] == ENDING_LAST && !a->last.index)
		loop_arm(a->loop, &a->last, loop_now(a->loop));
}

static const struct mux_events mux_events = { .on_open = on_open, .on_info = on_info, .on_gone = on_gone };

/* Tells the session why there is no service, and ends when it has heard it. */
static void tell_failure(struct agent *a, const struct error *e)
{
	size_t len;
	uint8_t *data = failure_encode(e, &len);

	if (data)
		mux_send_info(a->mux, INFO_FAILURE, data, len);
	free(data);
}

static int tell_target(struct agent *a, const struct target_info *info, struct error *err)
{
	size_t len;
	uint8_t *data = target_info_encode(info, &len);
	int rc = data ? mux_send_info(a->mux, INFO_TARGET, data, len) : -ENOMEM;

	free(data);
	return rc < 0 ? error_set(err, -rc, "describe the target") : 0;
}

static int serve(struct agent *a, const struct target *target, bool lend, struct error *err)
{
	struct target_info info = { 0 };
	struct entry entry;
	int rc = -1;

	if (agent_enter(target, &entry, err) == 0 && agent_inspect(&entry, &info, err) == 0 && agent_settle(&entry, err) == 0) {
		a->egress = socket_egress_new(a->loop, NULL);
		a->server = a->egress ? tunnel_server_new(a->loop, a->egress) : NULL;
		if (!a->server)
			error_set(err, ENOMEM, "serve the tunnel");
		else if (!lend || (a->lender = lender_new(a->loop, LEND_FD, err)))
			rc = tell_target(a, &info, err);
	}
	target_info_fini(&info);
	return rc;
}

static int usage(void)
{
	fprintf(stderr, "mirrord-agent is started by `mirrord exec`; it is of no use by itself.\n"
			"usage: mirrord-agent --target TEXT (--pid N | --netns PATH [--etc DIR]) [--lend]\n");
	return 2;
}

static int parse_arguments(int argc, char **argv, struct target *target, bool *lend)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' }, { "pid", required_argument, NULL, 'p' },  { "netns", required_argument, NULL, 'n' },
		{ "etc", required_argument, NULL, 'e' },    { "lend", no_argument, NULL, 'l' }, { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 't')
			snprintf(target->text, sizeof(target->text), "%s", optarg);
		else if (c == 'p')
			target->pid = atoi(optarg);
		else if (c == 'n')
			snprintf(target->netns, sizeof(target->netns), "%s", optarg);
		else if (c == 'e')
			snprintf(target->etc, sizeof(target->etc), "%s", optarg);
		else if (c == 'l')
			*lend = true;
		else
			return -1;
	}
	return optind == argc && (target->pid > 0 || target->netns[0]) ? 0 : -1;
}

static int log_level_from_environment(void)
{
	const char *name = getenv("MIRRORD_LOG");
	int level = name ? log_level_parse(name) : -1;

	return level < 0 ? LOG_LEVEL_WARN : level;
}

int main(int argc, char **argv)
{
	struct target target = { 0 };
	struct agent a = { 0 };
	struct error err = { 0 };
	bool lend = false;

	if (parse_arguments(argc, argv, &target, &lend) < 0)
		return usage();
	log_init("mirrord-agent", (enum log_level)log_level_from_environment(), STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	a.last.on_due = on_last;
	fd_raise_limit();
	a.loop = loop_new(&err);
	a.mux = a.loop ? mux_new(a.loop, MUX_AGENT, STDIN_FILENO, STDOUT_FILENO, &mux_events, &a, &err) : NULL;
	if (!a.mux) {
		log_error("%s", err.text);
		return 1;
	}
	if (serve(&a, &target, lend, &err) < 0)
		tell_failure(&a, &err);
	if (loop_run(a.loop, &err) < 0)
		log_error("%s", err.text);
	tunnel_server_free(a.server);
	lender_free(a.lender);
	mux_free(a.mux);
	if (a.egress)
		socket_egress_free(a.egress);
	loop_free(a.loop);
	return 0;
}
