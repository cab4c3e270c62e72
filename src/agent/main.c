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
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/container.h"
#include "agent/door.h"
#include "agent/enter.h"
#include "agent/hold.h"
#include "agent/idle.h"
#include "agent/inspect.h"
#include "agent/steal_lookup.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/loop.h"

enum { LEND_FD = 3, ABOVE_STANDARD = 10, ELSEWHERE_S = CLIENT_DRAIN_S + 2 };

struct arguments {
	struct target target;
	const char *container; /* the target is the container of this id, or NULL */
	const char *log;       /* NULL: as MIRRORD_LOG says */
	const char *idle;      /* in a cluster: the container, whose first process waits for us; NULL */
	bool lend;
	int hold;	       /* its word that the container is to end; -1 */
	bool attach; /* to an agent that is there, or not at all */
};

/* What later processes of our container find behind the door, and what signals are for: the agent, or its being elsewhere. */
struct host {
	struct loop *loop;
	struct door *door;
	struct agent *agent; /* NULL: another process has our session */
	struct watch elsewhere, term, hold;
	struct timer last; /* the agent elsewhere hasn't hung up in its time */
};

static void on_stream(void *arg, int in, int out)
{
	struct host *h = arg;

	if (h->agent) {
		agent_take_stream(h->agent, in, out);
		return;
	}
	if (attach_hand_stream(in, out) < 0)
		log_warn("hand a byte stream to the agent that has the session: %s", strerror(errno));
	close(in);
	close(out);
}

/* Where another agent has the session, our end is what it is told by. */
static void on_drop(void *arg)
{
	struct host *h = arg;

	if (h->agent)
		agent_drop_own(h->agent);
	else
		loop_stop(h->loop);
}

static const struct door_events door_events = { .on_stream = on_stream, .on_drop = on_drop };

static void on_elsewhere(struct watch *w, uint32_t events)
{
	loop_stop(container_of(w, struct host, elsewhere)->loop);
}

/* What is in flight finishes, here or at the agent that has our session, which hangs up when it has. Otherwise there is nothing. */
static void end(struct host *h, const char *why)
{
	if (h->agent)
		agent_drain(h->agent, why);
	else if (h->elsewhere.added && attach_tell_end(h->elsewhere.fd, why) == 0)
		loop_arm(h->loop, &h->last, loop_now(h->loop) + ELSEWHERE_S * LOOP_SECOND);
	else
		loop_stop(h->loop);
}

static void on_term(struct watch *w, uint32_t events)
{
	struct signalfd_siginfo info;

	if (read(w->fd, &info, sizeof(info)) == sizeof(info))
		end(container_of(w, struct host, term), "the agent was told to end (SIGTERM)");
}

static void on_last(struct timer *t)
{
	loop_stop(container_of(t, struct host, last)->loop);
}

static void on_hold(struct watch *w, uint32_t events)
{
	struct host *h = container_of(w, struct host, hold);

	loop_unwatch(h->loop, w);
	end(h, "the agent's container ends");
}

/* Before any process of ours is started: those end with the agent, not by a signal to its process group. */
static int watch_ends(struct host *h, int hold, struct error *err)
{
	static const int term = SIGTERM;
	int r = loop_watch_signals(h->loop, &h->term, &term, 1, on_term);

	if (r == 0 && hold >= 0)
		r = loop_watch(h->loop, &h->hold, hold, EPOLLIN | EPOLLRDHUP, on_hold);
	return r < 0 ? error_set(err, -r, "wait for signals") : 0;
}

/* Another agent has the session: our end would be that of the byte stream, for who started us. */
static int wait_elsewhere(struct host *h, int sock, struct error *err)
{
	int r = loop_watch(h->loop, &h->elsewhere, sock, EPOLLRDHUP, on_elsewhere);

	h->last.on_due = on_last;
	return r < 0 ? error_set(err, -r, "wait for the other agent") : loop_run(h->loop, err);
}

/* Moves a standard descriptor, in whose place stays /dev/null: once the byte stream is closed, its number is nobody else's. */
static int take_standard(int fd)
{
	_cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int taken = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE_STANDARD);

	if (taken >= 0 && null >= 0)
		dup2(null, fd);
	return taken;
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
	ret->own_files = true;
	ret->process = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* our container was given the target's environment */
	return 0;
}

/* Enters, and looks around. Sets what @session is told of the target. Returns 0, or -1 with @err. */
static int enter(const struct arguments *arguments, struct entry *ret_entry, struct attach_session *session, struct error *err)
{
	struct target_info info = { 0 };
	int rc = find_and_enter(arguments, ret_entry, err) < 0 || agent_inspect(ret_entry, &info, err) < 0 ? -1 : 0;

	if (rc == 0 && !(session->info = target_info_encode(&info, &session->info_len)))
		rc = error_set(err, ENOMEM, "describe the target");
	if (rc == 0) /* agent_settle() closes the other one */
		session->transport.root = fcntl(ret_entry->root, F_DUPFD_CLOEXEC, ABOVE_STANDARD);
	target_info_fini(&info);
	return rc;
}

/* The session hears why there is no target, and the agent ends when it has heard it. */
static int serve_failure(struct loop *loop, const struct attach_session *session, const struct error *failure, struct error *err)
{
	struct agent *a = agent_new(loop, &(struct agent_place){ .alone = true, .root = -1 }, err);
	struct client *c = a ? agent_serve(a, session, -1, err) : NULL;
	int rc = c ? client_tell_failure(c, failure) : -1;

	if (c && rc < 0)
		error_set(err, -rc, "talk to the session");
	rc = rc < 0 ? -1 : loop_run(loop, err);
	agent_free(a);
	return rc;
}

/* As the agent of the target: found by others by @sock (-1: not). */
static int serve_target(struct host *h, const struct attach_session *session, int sock, int root, struct steal_lookup *lookup,
			struct error *err)
{
	const struct agent_place place = { .have_target = true, .alone = sock < 0, .root = root, .lookup = lookup };
	struct loop *loop = h->loop;
	struct agent *a = h->agent = agent_new(loop, &place, err);
	int rc = -1;

	if (a && agent_serve(a, session, -1, err) && (sock < 0 || agent_listen(a, sock, err) == 0))
		rc = loop_run(loop, err);
	agent_free(a);
	return rc;
}

static int serve_session(struct host *h, const struct arguments *arguments, struct error *err)
{
	struct attach_session session = { .transport = { take_standard(STDIN_FILENO), take_standard(STDOUT_FILENO),
							 arguments->lend ? LEND_FD : -1, -1 },
					  .log = STDERR_FILENO };
	struct error failure = { 0 };
	enum attach_result found = ATTACH_STRANGER;
	struct entry entry = { .process = -1, .root = -1 };
	struct steal_lookup *lookup = NULL;
	_cleanup_fd_ int root = -1;
	int sock = -1, rc = enter(arguments, &entry, &session, &failure);

	if (rc == 0)
		found = attach_find(&session, &sock);
	if (found == ATTACH_HANDED) {
		close(session.transport.in);
		close(session.transport.out);
		fd_closep(&session.transport.root);
		free(session.info);
		return wait_elsewhere(h, sock, err);
	}
	session.log = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, LEND_FD + 1);
	if (rc == 0 && arguments->attach)
		rc = error_set(&failure, 0, "attach to the agent of %s: there is none", arguments->target.text);
	if (rc == 0 && !entry.own_files)
		root = fcntl(entry.root, F_DUPFD_CLOEXEC, ABOVE_STANDARD);
	if (rc == 0 && sock >= 0)
		lookup = steal_lookup_new();
	if (rc == 0)
		rc = agent_settle(&entry, &failure);
	if (rc < 0) {
		fd_closep(&sock); /* the name is free for who can make use of it */
		steal_lookup_free(lookup);
		free(session.info);
		session.info = NULL;
		return serve_failure(h->loop, &session, &failure, err);
	}
	rc = serve_target(h, &session, sock, root, lookup, err);
	free(session.info);
	return rc;
}

static int serve(struct loop *loop, const struct arguments *arguments, struct error *err)
{
	struct host h = { .loop = loop };
	struct error failure = { 0 };
	int rc;

	/* In the container's own network, before the target's is entered. Without it a break is the end, later than it need be. */
	if (arguments->idle && !(h.door = door_open(loop, arguments->idle, &door_events, &h, &failure)))
		log_warn("%s", failure.text);
	rc = watch_ends(&h, arguments->hold, err) < 0 ? -1 : serve_session(&h, arguments, err);
	door_close(h.door);
	return rc;
}

static int usage(void)
{
	fprintf(stderr, "mirrord-agent is started by `mirrord exec`; it is of no use by itself.\n"
			"usage: mirrord-agent --target TEXT (--pid N | --netns PATH [--etc DIR] | --container-id ID) [--lend]\n"
			"                     [--log LEVEL] [--idle NAME]\n"
			"       mirrord-agent attach (the same)\n"
			"       mirrord-agent idle --name NAME --wait SECONDS\n"
			"       mirrord-agent resume --idle NAME [--drop]\n"
			"       mirrord-agent hold PID INODE\n");
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
			ret->hold = agent_idle_hold(ret->idle = optarg);
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
	struct arguments arguments = { .hold = -1 };
	struct loop *loop;
	struct error err = { 0 };
	int rc;

	if (argc > 1 && strcmp(argv[1], "idle") == 0)
		return agent_idle(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "hold") == 0)
		return agent_hold(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "resume") == 0)
		return door_knock(argc - 1, argv + 1);
	arguments.attach = argc > 1 && strcmp(argv[1], "attach") == 0;
	if (parse_arguments(argc - arguments.attach, argv + arguments.attach, &arguments) < 0)
		return usage();
	log_init("mirrord-agent", (enum log_level)log_level(&arguments), STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	fd_raise_limit();
	loop = loop_new(&err);
	rc = loop ? serve(loop, &arguments, &err) : -1;
	if (rc < 0)
		log_error("%s", err.text);
	loop_free(loop);
	return rc < 0;
}
