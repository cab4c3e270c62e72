// SPDX-License-Identifier: MIT
/* Many connections at once, with a gate at each step of their life: opened, 64 bytes carried, 64 KiB carried, closed. The bench
 * reads the memory of session and agent at the gates. Failures are counted by their errno: a clean refusal is told from a hang. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"
#include "gate.h"
#include "pattern.h"

enum { TIMEOUT_MS = 5000, ERRORS = 134, GIVE_UP = 50 };

struct flows {
	int *fds;
	int n, open, alive;
	int errors[ERRORS];
	int timeouts;
};

static void raise_limit(rlim_t need)
{
	struct rlimit l = { .rlim_cur = need, .rlim_max = need };

	if (setrlimit(RLIMIT_NOFILE, &l) == 0)
		return;
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

static void errors_text(const struct flows *f, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (int e = 1; e < ERRORS; e++)
		if (f->errors[e] && at < size)
			at += (size_t)snprintf(text + at, size - at, "%s%s %d", at ? ", " : "", strerrorname_np(e), f->errors[e]);
}

static void open_all(struct flows *f, const struct options *o)
{
	for (int i = 0; i < f->n; i++) {
		f->fds[i] = f->timeouts < GIVE_UP ? remote_connect(&o->remote, SERVICE_ECHO, SOCK_STREAM, TIMEOUT_MS) : -1;
		if (f->fds[i] >= 0) {
			f->open++;
		} else if (errno < ERRORS) {
			f->errors[errno]++;
			f->timeouts += errno == ETIMEDOUT;
		}
	}
}

/* Carries @len bytes there and back on each flow. */
static void carry(struct flows *f, size_t len)
{
	static char out[PATTERN_CHUNK], in[PATTERN_CHUNK];

	f->alive = 0;
	pattern_fill(out, len, 0);
	for (int i = 0; i < f->n; i++) {
		if (f->fds[i] < 0)
			continue;
		if (remote_send(f->fds[i], out, len) == 0 && remote_receive(f->fds[i], in, len) == 0 && memcmp(in, out, len) == 0)
			f->alive++;
		else
			f->errors[errno < ERRORS ? errno : EIO]++;
	}
}

static void stage(const struct flows *f, const char *name, uint64_t since)
{
	char text[512];

	errors_text(f, text, sizeof(text));
	gate(name, "\"wanted\": %d, \"open\": %d, \"alive\": %d, \"errors\": \"%s\", \"ms\": %.1f", f->n, f->open, f->alive, text,
	     (double)(clock_ns() - since) / 1e6);
}

int figure_flows(const struct options *o)
{
	struct flows f = { .n = o->count, .fds = calloc((size_t)o->count, sizeof(int)) };
	uint64_t since = clock_ns();

	if (!f.fds)
		err(1, "%d flows", f.n);
	raise_limit((rlim_t)o->count + 64);
	stage(&f, "ready", since);
	since = clock_ns();
	open_all(&f, o);
	stage(&f, "open", since);
	since = clock_ns();
	carry(&f, 64);
	stage(&f, "carried 64 B", since);
	since = clock_ns();
	carry(&f, PATTERN_CHUNK);
	stage(&f, "carried 64 KiB", since);
	for (int i = 0; i < f.n; i++)
		if (f.fds[i] >= 0)
			close(f.fds[i]);
	stage(&f, "closed", since);
	free(f.fds);
	return 0;
}
