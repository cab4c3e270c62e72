// SPDX-License-Identifier: MIT
/* A jq program's process, the runner:
 *
 *   { u32 n, n × { u32 length, line } } ──► each line through the program, until one is true
 *                   one byte: '0', '1'  ◄──
 *
 * It says '!' when it is ready. It is a fork of this process with all descriptors closed but its socket, a limit of memory, and the death of its
 * parent as its own. How long it may take is the other side's to see to.
 *
 * libjq is loaded when a program is first compiled (most sessions have none). Its header alone is needed here. */
#include "http/jq_runner.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jq.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "http/jq_program.h"

/* What is used of libjq. */
static struct {
	__typeof__(&jq_init) init;
	__typeof__(&jq_teardown) teardown;
	__typeof__(&jq_set_error_cb) set_error_cb;
	__typeof__(&jq_set_input_cb) set_input_cb;
	__typeof__(&jq_compile) compile;
	__typeof__(&jq_start) start;
	__typeof__(&jq_next) next;
	__typeof__(&jv_string_sized) string_sized;
	__typeof__(&jv_string_value) string_value;
	__typeof__(&jv_get_kind) get_kind;
	__typeof__(&jv_free) free;
	__typeof__(&jv_copy) copy;
} api;

static int load(struct error *err)
{
	static const struct {
		const char *name;
		void *place;
	} symbols[] = {
		{ "jq_init", &api.init },	{ "jq_teardown", &api.teardown },
		{ "jq_compile", &api.compile }, { "jq_set_error_cb", &api.set_error_cb },
		{ "jq_start", &api.start },	{ "jq_next", &api.next },
		{ "jq_set_input_cb", &api.set_input_cb },
		{ "jv_free", &api.free },	{ "jv_string_sized", &api.string_sized },
		{ "jv_copy", &api.copy },	{ "jv_string_value", &api.string_value },
		{ "jv_get_kind", &api.get_kind },
	};
	void *library;

	if (api.copy)
		return 0;
	library = dlopen("libjq.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		error_set(err, 0, "a jq program needs libjq, which can't be loaded: %s", dlerror());
		return error_hint(err, "Install the package libjq1 (jq on other distributions), or use a regular expression.");
	}
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		void *at = dlsym(library, symbols[i].name);

		if (!at) {
			dlclose(library);
			api.copy = NULL;
			return error_set(err, 0, "libjq.so.1 has no %s", symbols[i].name);
		}
		memcpy(symbols[i].place, &at, sizeof(at));
	}
	return 0;
}

/* Keeps the first line of what is wrong. */
static void on_jq_error(void *arg, jv message)
{
	struct error *err = arg;

	if (!error_is_set(err) && api.get_kind(message) == JV_KIND_STRING) {
		const char *text = api.string_value(message);

		error_set(err, 0, "%.*s", (int)strcspn(text, "\n"), text);
	}
	api.free(message);
}

static void on_jq_ignored(void *arg, jv message)
{
	api.free(message);
}

/* The user's ~/.jq isn't part of the program. */
static jq_state *compile(const char *text, struct error *err)
{
	char *home = getenv("HOME"), *copy = home ? strdup(home) : NULL;
	jq_state *state = api.init();

	if (!state) {
		free(copy);
		error_set(err, ENOMEM, "start jq");
		return NULL;
	}
	unsetenv("HOME");
	api.set_error_cb(state, on_jq_error, err);
	api.set_input_cb(state, NULL, NULL); /* jq_init() of 1.6 leaves it as it finds it */
	if (!api.compile(state, text)) {
		if (!error_is_set(err))
			error_set(err, 0, "the jq program doesn't compile");
		api.teardown(&state);
	}
	if (copy)
		setenv("HOME", copy, 1);
	free(copy);
	return state;
}

/* The runner */

static bool read_all(int sock, void *at, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(sock, (char *)at + done, len - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* The first boolean result. */
static bool is_true_of(jq_state *state, const char *line, size_t len)
{
	bool truth = false, decided = false;

	api.start(state, api.string_sized(line, (int)len), 0);
	while (!decided) {
		jv result = api.next(state);
		jv_kind kind = api.get_kind(result);

		truth = kind == JV_KIND_TRUE;
		decided = truth || kind == JV_KIND_FALSE || kind == JV_KIND_INVALID;
		api.free(result);
	}
	return truth;
}

static void limit_memory(void)
{
	char text[64] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	unsigned long long pages = 0;
	struct rlimit limit;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		pages = strtoull(text, NULL, 10);
	fd_closep(&fd);
	limit.rlim_cur = limit.rlim_max = pages * (rlim_t)sysconf(_SC_PAGESIZE) + JQ_MEMORY;
	if (pages)
		setrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = limit.rlim_max = 0;
	setrlimit(RLIMIT_CORE, &limit);
}

static void serve(jq_state *state, int sock)
{
	static char line[HTTP_HEAD_MAX * 2];
	uint32_t n, len;

	while (read_all(sock, &n, sizeof(n))) {
		char answer = '0';

		for (; n; n--) {
			if (!read_all(sock, &len, sizeof(len)) || len > sizeof(line) || !read_all(sock, line, len))
				return;
			if (answer == '0' && is_true_of(state, line, len))
				answer = '1';
		}
		if (write(sock, &answer, 1) != 1)
			return;
	}
}

static void run(const char *text, int sock)
{
	struct error err = { 0 };
	jq_state *state;
	char ready = '!';

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sock = dup2(sock, STDIN_FILENO);
	close_range(STDIN_FILENO + 1, ~0U, 0);
	limit_memory();
	state = compile(text, &err);
	if (!state || write(sock, &ready, 1) != 1)
		return;
	api.set_error_cb(state, on_jq_ignored, NULL);
	serve(state, sock);
}

/* Our side */

int jq_runner_check(const char *text, struct error *err)
{
	struct error why = { 0 };
	jq_state *state;

	if (load(err) < 0)
		return -1;
	state = compile(text, &why);
	if (!state)
		return error_set(err, 0, "jq program \"%.400s\": %s", text, why.text);
	api.teardown(&state);
	return 0;
}

void jq_runner_start(struct jq_runner *r, const char *text)
{
	int end = -1;

	if (r->pid)
		return;
	r->pid = fd_fork_connected("mirrord-jq", SOCK_STREAM, &end, 1, &r->sock);
	if (r->pid == 0) {
		run(text, end);
		_exit(0);
	}
	r->ready = false;
	if (r->pid < 0)
		r->pid = 0;
	else if (fd_set_nonblocking(r->sock, true) < 0)
		jq_runner_stop(r);
}

/* Of two that die, the first had its time. */
static void wait_for(pid_t *pid)
{
	while (*pid && waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
}

void jq_runner_reap(struct jq_runner *r)
{
	if (r->dying && waitpid(r->dying, NULL, WNOHANG) != 0)
		r->dying = 0;
}

void jq_runner_stop(struct jq_runner *r)
{
	if (!r->pid)
		return;
	wait_for(&r->dying);
	kill(r->pid, SIGKILL);
	r->dying = r->pid;
	r->pid = 0;
	r->ready = false;
	fd_closep(&r->sock);
	jq_runner_reap(r);
}

void jq_runner_fini(struct jq_runner *r)
{
	jq_runner_stop(r);
	wait_for(&r->dying);
}

uint64_t jq_runner_spent_ms(const struct jq_runner *r)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(r->pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
