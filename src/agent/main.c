// SPDX-License-Identifier: MIT
/* mirrord-agent: enters the target's network namespace, says what it is like, and serves the tunnel on standard input and output. It
 * opens no network port: who may use it is decided by who may start it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/capture_stream.h"
#include "agent/client.h"
#include "agent/container.h"
#include "agent/enter.h"
#include "agent/idle.h"
#include "agent/inspect.h"
#include "agent/mirror.h"
#include "agent/steal.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/loop.h"
#include "relay/sockets.h"

enum { LEND_FD = 3 };

struct arguments {
	struct target target;
	const char *container; /* the target is the container of this id, or NULL */
	const char *log;       /* NULL: as MIRRORD_LOG says */
	bool lend;
};

/* What stands while clients are served. */
struct agent {
	struct loop *loop;
	struct client_services services;
	struct mirror *mirror;
	struct steal *steal;
	struct client *client;
};

static void on_end(void *arg, struct client *c)
{
	struct agent *a = arg;

	loop_stop(a->loop);
}

/* In the target's own pod its network is ours already; the process tells more, where we may look into it. */
static int find_and_enter(const struct arguments *arguments, struct entry *ret, struct error *err)
{
	struct target target = arguments->target, there = target;

	if (!arguments->container)
		return agent_enter(&target, ret, err);
	there.pid = container_find("/proc", arguments->container, err);
	if (there.pid > 0 && agent_enter(&there, ret, err) == 0)
		return 0;
	if (!target.netns[0])
		return there.pid > 0 ? -1 : error_wrap(err, "target %s", target.text);
	log_info("the target's process is out of reach: %s", err->text);
	if (agent_enter(&target, ret, err) < 0)
		return -1;
	ret->process = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* our container was given the target's environment */
	return 0;
}

/* What the target is like, encoded; NULL with @err. */
static uint8_t *enter(const struct arguments *arguments, size_t *ret_len, struct error *err)
{
	struct target_info info = { 0 };
	struct entry entry;
	uint8_t *encoded = NULL;

	if (find_and_enter(arguments, &entry, err) == 0 && agent_inspect(&entry, &info, err) == 0 && agent_settle(&entry, err) == 0 &&
	    !(encoded = target_info_encode(&info, ret_len)))
		error_set(err, ENOMEM, "describe the target");
	target_info_fini(&info);
	return encoded;
}

static int open_services(struct agent *a, bool have_target, struct error *err)
{
	a->services = (struct client_services){ .loop = a->loop, .on_end = on_end, .arg = a };
	a->services.subscriptions = subscriptions_new(client_lose);
	if (!a->services.subscriptions)
		return error_set(err, ENOMEM, "serve the target");
	a->mirror = mirror_new(a->loop, a->services.subscriptions);
	a->steal = steal_new(a->loop, a->services.subscriptions);
	if (have_target)
		a->services.target = socket_egress_new(a->loop, NULL);
	if (have_target)
		a->services.captures = capture_streams_new(a->loop);
	if (!a->mirror || !a->steal || (have_target && !a->services.target))
		return error_set(err, ENOMEM, "serve the target");
	return 0;
}

/* The session hears of the target, or why there is none. */
static int serve(struct agent *a, const struct arguments *arguments, struct error *err)
{
	const struct client_transport transport = { .in = STDIN_FILENO, .out = STDOUT_FILENO, .lend = arguments->lend ? LEND_FD : -1 };
	struct error failure = { 0 };
	size_t len = 0;
	uint8_t *info = enter(arguments, &len, &failure);
	int rc = -ENOMEM;

	if (open_services(a, info != NULL, err) == 0)
		a->client = client_new(&a->services, &transport, err);
	if (a->client && info)
		rc = client_tell_target(a->client, info, len);
	else if (a->client)
		rc = client_tell_failure(a->client, &failure);
	free(info);
	if (a->client && rc < 0)
		error_set(err, -rc, "talk to the session");
	return rc < 0 ? -1 : loop_run(a->loop, err);
}

static int usage(void)
{
	fprintf(stderr, "mirrord-agent is started by `mirrord exec`; it is of no use by itself.\n"
			"usage: mirrord-agent --target TEXT (--pid N | --netns PATH [--etc DIR] | --container-id ID) [--lend]\n"
			"                     [--log LEVEL] [--idle NAME]\n"
			"       mirrord-agent idle --name NAME --wait SECONDS\n");
	return 2;
}

static int parse_arguments(int argc, char **argv, struct arguments *ret)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' }, { "pid", required_argument, NULL, 'p' },  { "netns", required_argument, NULL, 'n' },
		{ "etc", required_argument, NULL, 'e' },    { "lend", no_argument, NULL, 'l' }, { "container-id", required_argument, NULL, 'c' },
		{ "log", required_argument, NULL, 'g' },    { "idle", required_argument, NULL, 'i' }, { NULL, 0, NULL, 0 },
	};
	struct target *target = &ret->target;
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
			ret->lend = true;
		else if (c == 'c')
			ret->container = optarg;
		else if (c == 'g')
			ret->log = optarg;
		else if (c == 'i')
			agent_idle_hold(optarg);
		else
			return -1;
	}
	return optind == argc && (target->pid > 0 || target->netns[0] || ret->container) ? 0 : -1;
}

static int log_level(const struct arguments *arguments)
{
	const char *name = arguments->log ? arguments->log : getenv("MIRRORD_LOG");
	int level = name ? log_level_parse(name) : -1;

	return level < 0 ? LOG_LEVEL_WARN : level;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct agent a = { 0 };
	struct error err = { 0 };
	int rc;

	if (argc > 1 && strcmp(argv[1], "idle") == 0)
		return agent_idle(argc - 1, argv + 1);
	if (parse_arguments(argc, argv, &arguments) < 0)
		return usage();
	log_init("mirrord-agent", (enum log_level)log_level(&arguments), STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	fd_raise_limit();
	a.loop = loop_new(&err);
	rc = a.loop ? serve(&a, &arguments, &err) : -1;
	if (rc < 0)
		log_error("%s", err.text);
	client_free(a.client);
	steal_free(a.steal);
	mirror_free(a.mirror);
	capture_streams_free(a.services.captures);
	subscriptions_free(a.services.subscriptions);
	socket_egress_free(a.services.target);
	loop_free(a.loop);
	return rc < 0;
}
