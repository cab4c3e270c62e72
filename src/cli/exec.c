// SPDX-License-Identifier: MIT
/* mirrord exec: this process becomes the program.
 *
 * The session is no child of the program's, which may wait for all of its own. This process waits for READY, enters the twin, leaves a guard
 * there, sends its anchor, and executes the program: the same pid, terminal, descriptors, environment and
 * working directory. Nothing of ours is left in it but a seccomp filter that allows everything. */
#include "cli/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/orphan.h"
#include "cli/command.h"
#include "cli/config_options.h"
#include "cli/inherited.h"
#include "cli/options.h"
#include "cli/who.h"
#include "config/environment.h"
#include "kube/open.h"
#include "kube/replicas.h"
#include "session/handshake.h"
#include "session/session.h"
#include "target/target.h"
#include "tunnel/subscription.h"
#include "twin/anchor.h"
#include "twin/build.h"
#include "twin/enter.h"
#include "twin/guard.h"
#include "twin/info_file.h"
#include "twin/privilege.h"

enum { MIN_DESCRIPTORS = 96, MIN_STACK = 256 << 10 /* nftables' library has large buffers there */ };

struct exec_options {
	struct config_options config;
	const char *log_file;
	bool quiet;
};

#define SETTER(field, value_expression)                                                            \
	static void set_##field(void *arg, const char *value)                                      \
	{                                                                                          \
		((struct exec_options *)arg)->field = value_expression;                            \
	}
SETTER(log_file, value)
SETTER(quiet, true)

#define OPTION_TARGET(...)  CONFIG_OPTION("Target", __VA_ARGS__)
#define OPTION_FILE(...)    CONFIG_OPTION("Configuration", __VA_ARGS__)
#define OWN_FILE	    OPTION_FILE
#define OPTION_NETWORK(...) CONFIG_OPTION("Network", __VA_ARGS__)
#define OWN_NETWORK	    OPTION_NETWORK
#define OPTION_PROGRAM(...) CONFIG_OPTION("Program", __VA_ARGS__)
#define OPTION_AGENT(...)   CONFIG_OPTION("Agent", __VA_ARGS__)

static const struct cli_option options[] = {
#include "cli/config_option.def"
	{ "Output", 'q', "quiet", NULL, "no progress lines (default: a few, when stderr is a terminal)", set_quiet },
	{ "Output", 0, "log-file", "FILE", "append the log to FILE (default: errors alone, to stderr; MIRRORD_LOG=error|warn|info|debug\n"
	  "                               sets the level)",
	  set_log_file },
};

static int refuse_nesting(struct error *err)
{
	char target[256];
	int rc = twin_inside(target, err);

	if (rc <= 0)
		return rc;
	error_set(err, 0, "this process already has the network of %s: mirrord exec can't be nested", target);
	return error_hint(err, "leave that shell or program first, or run this one without mirrord: it has that network anyway");
}

/* What the session needs for itself; the hard limit is what it can raise its own to. */
static int check_limits(struct error *err)
{
	static const struct {
		__rlimit_resource_t resource;
		unsigned long least, unit;
		const char *name, *unit_name, *hint;
	} needs[] = {
		{ RLIMIT_NOFILE, MIN_DESCRIPTORS, 1, "open files (RLIMIT_NOFILE)", "",
		  "raise it: `ulimit -Hn 4096` in the shell that has a higher one, or limits.conf(5)" },
		{ RLIMIT_STACK, MIN_STACK, 1024, "the stack (RLIMIT_STACK)", " KiB",
		  "set the soft limit alone, `ulimit -Ss`: it is the program's, and mirrord raises its own up to the hard one" },
	};
	struct rlimit limit;

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		if (getrlimit(needs[i].resource, &limit) < 0 || limit.rlim_max >= needs[i].least)
			continue;
		error_set(err, 0, "the limit of %s is too low: %lu%s, at least %lu are needed", needs[i].name,
			  (unsigned long)limit.rlim_max / needs[i].unit, needs[i].unit_name, needs[i].least / needs[i].unit);
		return error_hint(err, "%s", needs[i].hint);
	}
	return 0;
}

/* A first line is written, so that a full disk shows before the program runs. */
static int open_log(const char *path, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd >= 0 && dprintf(fd, "mirrord %s, pid %d\n", VERSION, (int)getpid()) > 0)
		return fd;
	error_set(err, errno, "write the log file %s", path);
	fd_closep(&fd);
	return error_hint(err, "name a file that you may write, in a directory that exists, on a disk with room");
}

/* stderr is the program's: unasked, errors alone go there. */
static int log_level(bool to_file, enum log_level *ret, struct error *err)
{
	const char *name = getenv("MIRRORD_LOG");
	int level = to_file ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR;

	if (name && *name)
		level = log_level_parse(name);
	if (level < 0) {
		error_set(err, 0, "MIRRORD_LOG is \"%s\"", name);
		return error_hint(err, "the levels are error, warn, info and debug");
	}
	*ret = (enum log_level)level;
	return 0;
}

static int fill_session(const struct exec_options *o, struct config *c, bool as_root, struct session_options *s,
			struct error *err)
{
	const char *tunnel = getenv("MIRRORD_TUNNEL");

	*s = (struct session_options){ .config = c,
				       .force_tunnel = tunnel && strcmp(tunnel, "1") == 0, .uid = getuid(), .gid = getgid(),
				       .user_ns = -1, .log_fd = -1 };
	s->sudo = !as_root && privilege_sudo_user(&s->uid, &s->gid) == 0;
	s->progress = !o->quiet && isatty(STDERR_FILENO);
	kube_settings_read(c, &s->kube);
	if (incoming_options_of(c, s->progress, &s->incoming, err) < 0 ||
	    log_level(o->log_file, &s->log_level, err) < 0 || target_resolve(c->target_path, &s->target, err) < 0)
		return -1;
	s->replicas = c->target_replicas == REPLICAS_ALL && kube_has_replicas(&s->target) && s->incoming.mode != INCOMING_OFF;
	s->agent_log_level = s->log_level;
	if (c->sources[KEY_agent_log_level].origin != ORIGIN_DEFAULT)
		s->agent_log_level = (enum log_level)log_level_parse_directives(c->agent_log_level);
	if (o->log_file)
		s->log_fd = open_log(o->log_file, err);
	return o->log_file && s->log_fd < 0 ? -1 : 0;
}

static void session_fini(struct session_options *s)
{
	kube_settings_fini(&s->kube);
}

struct session_start {
	const struct session_options *options;
	int launcher;
};

static void run_session(void *arg)
{
	const struct session_start *start = arg;

	session_run(start->options, start->launcher);
}

/* *ret_sock is the launcher's end of the handshake. */
static int start_session(const struct session_options *s, int *ret_sock, struct error *err)
{
	struct session_start start = { .options = s };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "start the session");
	start.launcher = pair[1];
	*ret_sock = pair[0];
	if (orphan_start(run_session, &start) < 0)
		error_set(err, errno, "start the session");
	close(pair[1]);
	return error_is_set(err) ? -1 : 0;
}

static int await(int sock, enum handshake_kind wanted, struct handshake *h, int *fds, size_t max, size_t *ret_n, struct error *err)
{
	ssize_t len = fd_receive(sock, h, sizeof(*h), fds, max, ret_n, 0);

	if (len == (ssize_t)sizeof(*h) && h->kind == wanted)
		return 0;
	if (len == (ssize_t)sizeof(*h) && h->kind == HANDSHAKE_FAILED) {
		*err = h->error;
		return -1;
	}
	error_set(err, 0, "the session ended before the program could start");
	return error_hint(err, "was it killed? MIRRORD_LOG=debug shows how far it came");
}

/* *ret_guard: the socket of the guard that was left there. */
static int enter(int sock, const struct config *c, struct target_info *ret_info, int *ret_guard, struct error *err)
{
	struct handshake h;
	struct target_info info = { 0 };
	struct twin_files files = { .n = 0 };
	int fds[READY_FDS] = { -1, -1, -1, -1, -1 }, rc;
	size_t n = 0;

	if (await(sock, HANDSHAKE_READY, &h, fds, READY_FDS, &n, err) < 0)
		return -1;
	rc = target_info_from_fd(fds[READY_INFO], &info, err);
	if (rc == 0) {
		const struct twin_entry entry = { .user_ns = h.has_user_ns ? fds[READY_USER_NS] : -1, .net_ns = fds[READY_NET_NS],
						  .uts_ns = fds[READY_UTS_NS], .info = &info, .remote_dns = c->dns_enabled };

		rc = twin_enter(&entry, &files, err);
	}
	if (rc == 0)
		rc = guard_start(fds[READY_SESSION], &files, ret_guard, err);
	/* By file capabilities, in the user's own user namespace: a set-uid program must not trust the files that we put in place. */
	if (rc == 0 && !h.has_user_ns && geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = error_set(err, errno, "forbid new privileges");
	if (rc == 0)
		*ret_info = info;
	else
		target_info_fini(&info);
	twin_files_fini(&files);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return rc;
}

static int drop_anchor(int sock, int guard, unsigned int reports, struct error *err)
{
	struct handshake h = { .kind = HANDSHAKE_ANCHOR };
	_cleanup_fd_ int listener = -1, self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int fds[ANCHOR_FDS];
	size_t n;

	if (self < 0)
		return error_set(err, errno, "open a pidfd");
	listener = twin_anchor(reports, err);
	if (listener < 0)
		return -1;
	fds[ANCHOR_LISTENER] = listener;
	fds[ANCHOR_PIDFD] = self;
	fds[ANCHOR_GUARD] = guard;
	if (fd_send(sock, &h, sizeof(h), fds, ANCHOR_FDS) < 0)
		return error_set(err, errno, "talk to the session");
	return await(sock, HANDSHAKE_GO, &h, NULL, 0, &n, err);
}

/* Calls that nobody is told of cost nothing. */
static unsigned int reports_of(const struct session_options *s)
{
	unsigned int reports = ANCHOR_NOTHING;

	if (incoming_wanted(&s->incoming))
		reports |= ANCHOR_LISTENERS;
	if (s->config->outgoing_unix_streams.n)
		reports |= ANCHOR_CONNECTS;
	return reports;
}

static double milliseconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) * 1e3 + (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

static int set_environment(const struct config *c, const struct target_info *info, struct error *err)
{
	char **made = environment_make(c, environ, info->variables, info->n_variables, c->arena, err);

	if (!made)
		return -1;
	environ = made;
	return 0;
}

/* The program, as the command line gave it. */
struct program {
	const struct exec_kind *kind;
	char path[PATH_MAX];
	char **argv;
	int user_ns;
	struct inherited inherited;
};

static int run_program(const struct program *p, char *const *before, struct error *err)
{
	char **argv = p->kind->finish ? p->kind->finish(p->argv, before, err) : p->argv;

	if (!argv)
		return -1;
	inherited_give_back(&p->inherited);
	return command_exec(p->path, argv, err);
}

static int become(const struct exec_options *o, struct config *c, struct program *p, struct error *err)
{
	char *const *before = environ;
	const char *name = p->argv[0];
	__attribute__((cleanup(session_fini))) struct session_options s = { 0 };
	char who[SUBSCRIPTION_WHO_MAX + 1];
	struct timespec start;
	struct target_info info = { 0 };
	_cleanup_fd_ int sock = -1, guard = -1;

	clock_gettime(CLOCK_MONOTONIC, &start);
	if (fill_session(o, c, p->kind->as_root, &s, err) < 0)
		return -1;
	s.user_ns = p->user_ns;
	who_say(s.uid, s.sudo, name, who);
	s.incoming.who = who;
	if (target_is_in_cluster(&s.target) && kube_let_ask(&s.kube, err) < 0)
		return error_wrap(err, "target %s", s.target.text);
	if (s.progress)
		fprintf(stderr, "mirrord: entering the network of %s …\n", s.target.text);
	if (start_session(&s, &sock, err) < 0)
		return -1;
	fd_closep(&s.log_fd);
	fd_closep(&p->user_ns);
	if (enter(sock, c, &info, &guard, err) < 0)
		return -1;
	if (drop_anchor(sock, guard, reports_of(&s), err) < 0 || (s.sudo && privilege_become(s.uid, s.gid, err) < 0))
		return -1;
	if (s.progress)
		fprintf(stderr, "mirrord: %s runs in the network of %s (ready in %.0f ms)\n", name, s.target.text, milliseconds_since(&start));
	if (set_environment(c, &info, err) < 0)
		return -1;
	return run_program(p, before, err);
}

static int usage(const struct cli_command *command, const char *what)
{
	fprintf(stderr, "mirrord %s: %s is missing\nsee `mirrord %s --help`\n", command->name, what, command->name);
	return 2;
}

int exec_run(const struct exec_kind *kind, int argc, char **argv)
{
	struct program p = { .kind = kind, .user_ns = -1 };
	struct cli_command command = kind->command;
	struct exec_options o = { 0 };
	struct error err = { 0 };
	struct config config;
	char **own = environ;
	int at, status;

	command.options = options;
	command.n_options = sizeof(options) / sizeof(options[0]);
	command.runs_program = true;
	at = cli_parse(&command, argc, argv, &o);

	if (at < 0)
		return at == -2 ? 0 : 2;
	if (at >= argc)
		return usage(&command, "the command to run");
	if (config_options_load(&o.config, &config) < 0)
		return 2;
	if (!config.target_path) {
		config_fini(&config);
		return usage(&command, "the target (-t TARGET)");
	}
	p.argv = argv + at;
	inherited_set_aside(&p.inherited);
	if (check_limits(&err) == 0 && refuse_nesting(&err) == 0 &&
	    command_find(p.argv[0], p.path, &err) == 0 && (!kind->prepare || kind->prepare(p.argv, &p.user_ns, &err) == 0))
		become(&o, &config, &p, &err);
	status = cli_print_error(&err);
	environ = own;
	config_fini(&config);
	return status;
}

int cli_exec(int argc, char **argv)
{
	static const struct exec_kind kind = {
		.command = {
			.name = "exec",
			.usage = "mirrord exec [OPTION]… [-t TARGET] -- COMMAND [ARGUMENT]…",
			.summary = "Runs a program of this machine with the network of a target.",
			.example = "mirrord exec -t netns/shop -- curl http://payment-service:8080",
		},
	};

	return exec_run(&kind, argc, argv);
}
