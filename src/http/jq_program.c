// SPDX-License-Identifier: MIT
/* jq in a process of its own.
 *
 *   jq_any ──► { u32 n, n × { u32 length, line } } ──► the runner: each line through the program, until one is true
 *          ◄── one byte: '0', '1'                  ◄──
 *
 * The runner is a fork of this process with all descriptors closed but its socket, a limit of memory, and the death of its parent as its
 * own. When it doesn't answer in time it is killed, and another one is started at once, which compiles the program while nobody waits for it.
 *
 * The caller waits for the answer. So that requests which make the program fail again and again can't keep it waiting again and again, there is a
 * rest after JQ_STRIKES failures in a row, in which every request is trouble at once; then a single failure is enough for the next rest, which is
 * twice as long, up to JQ_REST_MAX_MS. An answer in time ends all that.
 *
 * libjq is loaded when a program is first compiled (most sessions have none). Its header alone is needed here. */
#include "http/jq_program.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jq.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

enum {
	JQ_STRIKES = 3,
	JQ_REST_MS = 1000,
	JQ_REST_MAX_MS = 64 * JQ_REST_MS,
	JQ_START_MS = 2000,
	JQ_WAIT_MS = 3000,
	JQ_STEP_MS = 10,
	JQ_INPUT_MAX = 8 * HTTP_HEAD_MAX,
};

struct jq {
	char *text;
	pid_t pid; /* 0: no runner */
	int sock;
	bool ready; /* the runner has said that it is */
	unsigned int strikes, rest_ms;
	uint64_t rest_until;
};

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

struct jq *jq_compile_text(struct span text, struct error *err)
{
	struct error why = { 0 };
	jq_state *state;
	struct jq *jq;

	if (memchr(text.at, '\0', text.len)) {
		error_set(err, 0, "a jq program can't have a NUL in it");
		return NULL;
	}
	if (load(err) < 0)
		return NULL;
	jq = calloc(1, sizeof(*jq));
	if (!jq || !(jq->text = strndup(text.at, text.len))) {
		free(jq);
		error_set(err, ENOMEM, "compile a jq program");
		return NULL;
	}
	jq->sock = -1;
	state = compile(jq->text, &why);
	if (!state) {
		error_set(err, 0, "jq program \"%.400s\": %s", jq->text, why.text);
		jq_free(jq);
		return NULL;
	}
	api.teardown(&state);
	return jq;
}

static void stop(struct jq *jq)
{
	if (!jq->pid)
		return;
	kill(jq->pid, SIGKILL);
	while (waitpid(jq->pid, NULL, 0) < 0 && errno == EINTR)
		;
	jq->pid = 0;
	jq->ready = false;
	fd_closep(&jq->sock);
}

void jq_free(struct jq *jq)
{
	if (!jq)
		return;
	stop(jq);
	free(jq->text);
	free(jq);
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
	prctl(PR_SET_NAME, "mirrord-jq");
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

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Processor time of the runner so far. */
static uint64_t spent_ms(pid_t pid)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Waits for the one byte of an answer until the runner has spent @limit ms of processor time on it, or JQ_WAIT_MS have gone by on a
 * machine that is busy otherwise. Returns 0 when there is none. */
static char wait_for_answer(const struct jq *jq, uint64_t limit)
{
	uint64_t begin = spent_ms(jq->pid), end = now_ms() + JQ_WAIT_MS;
	char c = 0;

	while (now_ms() < end && spent_ms(jq->pid) < begin + limit) {
		struct pollfd p = { .fd = jq->sock, .events = POLLIN };

		if (poll(&p, 1, JQ_STEP_MS) == 1)
			return read(jq->sock, &c, 1) == 1 ? c : 0;
	}
	return 0;
}

/* A runner that isn't ready yet. */
static void start(struct jq *jq)
{
	int pair[2];

	if (jq->pid || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	jq->pid = fork();
	if (jq->pid == 0) {
		run(jq->text, pair[1]);
		_exit(0);
	}
	close(pair[1]);
	jq->sock = pair[0];
	if (jq->pid < 0) {
		jq->pid = 0;
		fd_closep(&jq->sock);
	}
}

static bool get_ready(struct jq *jq)
{
	start(jq);
	if (jq->pid && !jq->ready)
		jq->ready = wait_for_answer(jq, JQ_START_MS) == '!' && fd_set_nonblocking(jq->sock, true) == 0;
	return jq->ready;
}

/* The runner reads all before it answers, so a socket that is full is one that will not be. */
static bool send_until(int sock, const void *data, size_t len, uint64_t end)
{
	while (len) {
		ssize_t n = send(sock, data, len, MSG_NOSIGNAL);
		struct pollfd p = { .fd = sock, .events = POLLOUT };
		uint64_t now = now_ms();

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n > 0) {
			data = (const char *)data + n;
			len -= (size_t)n;
		} else if (now >= end || poll(&p, 1, (int)(end - now)) < 0) {
			return false;
		}
	}
	return true;
}

/* Fields beyond JQ_INPUT_MAX bytes in all aren't looked at. Returns the bytes of the question. */
static size_t build_question(char *out, const struct http_field *fields, size_t n)
{
	size_t at = sizeof(uint32_t);
	uint32_t count = 0;

	for (; count < n && at + sizeof(uint32_t) + fields[count].len <= JQ_INPUT_MAX; count++) {
		memcpy(out + at, &fields[count].len, sizeof(uint32_t));
		memcpy(out + at + sizeof(uint32_t), fields[count].line, fields[count].len);
		at += sizeof(uint32_t) + fields[count].len;
	}
	memcpy(out, &count, sizeof(count));
	return at;
}

static int trouble(struct jq *jq)
{
	stop(jq);
	start(jq);
	if (++jq->strikes >= JQ_STRIKES) {
		jq->rest_ms = !jq->rest_ms ? JQ_REST_MS : jq->rest_ms < JQ_REST_MAX_MS ? 2 * jq->rest_ms : JQ_REST_MAX_MS;
		jq->rest_until = now_ms() + jq->rest_ms;
	}
	return JQ_TROUBLE;
}

int jq_any(struct jq *jq, const struct http_field *fields, size_t n)
{
	static char question[JQ_INPUT_MAX];
	uint64_t end;
	char answer;

	if (jq->rest_until && now_ms() < jq->rest_until)
		return JQ_TROUBLE;
	jq->rest_until = 0;
	if (!get_ready(jq))
		return trouble(jq);
	end = now_ms() + JQ_WAIT_MS;
	if (!send_until(jq->sock, question, build_question(question, fields, n), end))
		return trouble(jq);
	answer = wait_for_answer(jq, JQ_LIMIT_MS);
	if (answer != '0' && answer != '1')
		return trouble(jq);
	jq->strikes = jq->rest_ms = 0;
	return answer == '1';
}
