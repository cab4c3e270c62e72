// SPDX-License-Identifier: MIT
/* The log. A line is one write(2), so that lines of several processes do not mix. */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static struct {
	const char *process;
	enum log_level level;
	int fd;
} sink = { .process = "mirrord", .level = LOG_LEVEL_WARN, .fd = -1 };

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};
static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_LEVEL_DEBUG + 1, "a name per level");

void log_init(const char *process, enum log_level level, int fd)
{
	sink.process = process;
	sink.level = level;
	sink.fd = fd;
}

bool log_enabled(enum log_level level)
{
	return sink.fd >= 0 && level <= sink.level;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

int log_level_parse(const char *name)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
		if (strcmp(name, level_names[i]) == 0)
			return i;
	return -1;
}

static int level_of(const char *word, size_t len)
{
	static const struct {
		const char *word;
		enum log_level level;
	} more[] = { { "trace", LOG_LEVEL_DEBUG }, { "off", LOG_LEVEL_ERROR } };

	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
		if (strlen(level_names[i]) == len && strncasecmp(word, level_names[i], len) == 0)
			return i;
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if (strlen(more[i].word) == len && strncasecmp(word, more[i].word, len) == 0)
			return (int)more[i].level;
	return -1;
}

int log_level_parse_directives(const char *text)
{
	int of_all = -1, of_ours = -1;

	for (const char *at = text; *at;) {
		size_t len = strcspn(at, ","), name = 0;
		const char *equals = memchr(at, '=', len);
		int level;

		if (equals)
			name = (size_t)(equals - at) + 1;
		level = level_of(at + name, len - name);
		if (level < 0)
			return -1;
		if (!equals)
			of_all = level;
		else if (strncmp(at, "mirrord", 7) == 0)
			of_ours = level;
		at += len + (at[len] == ',');
	}
	return of_ours >= 0 ? of_ours : of_all;
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[2048];
	struct timespec ts;
	struct tm tm;
	int saved = errno, n, m;
	va_list ap;

	if (!log_enabled(level))
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	n = snprintf(line, sizeof(line), "%02d:%02d:%02d.%03ld %s[%d] %s: ", tm.tm_hour, tm.tm_min,
		     tm.tm_sec, ts.tv_nsec / 1000000, sink.process, (int)getpid(), level_names[level]);
	va_start(ap, format);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
	va_end(ap);
	n = m < 0 ? n : n + m;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	log_write(sink.fd, 0, line, (size_t)n);
	errno = saved;
}

/* A pipe with room takes a page, a terminal that is stopped (Ctrl-S) isn't writable. */
void log_write(int fd, int patience, const void *text, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (poll(&p, 1, patience) > 0 && p.revents & POLLOUT)
		(void)!write(fd, text, len);
}

void log_tell(int patience, const char *format, ...)
{
	char text[2048];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n > 0)
		log_write(STDERR_FILENO, patience, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

bool log_limit_pass(struct log_limit *limit, enum log_level level)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	if ((uint64_t)ts.tv_sec != limit->second) {
		if (limit->left_out)
			log_line(level, "(%u more lines of the next kind were left out)", limit->left_out);
		*limit = (struct log_limit){ .second = (uint64_t)ts.tv_sec };
	}
	if (limit->lines >= LOG_BURST) {
		limit->left_out++;
		return false;
	}
	limit->lines++;
	return true;
}
