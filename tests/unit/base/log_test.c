// SPDX-License-Identifier: MIT
/* Whoever reads what we write may have stopped: nothing waits for that. A write that waits ends the test by SIGALRM. */
#include "base/log.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

enum { TOO_LONG = 30, ROOM = 256 << 10 };

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void fill(int fd)
{
	static const char page[4096];

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, page, sizeof(page)) > 0)
		;
	fcntl(fd, F_SETFL, 0);
}

static void test_room(int from, int to)
{
	char got[64] = "";

	log_write(to, 0, "one\n", 4);
	log_tell(0, "two %d\n", 2);
	log_init("test", LOG_LEVEL_ERROR, to);
	log_error("three");
	tap_ok(read(from, got, sizeof(got)) > 10 && strncmp(got, "one\ntwo 2\n", 10) == 0, "what there is room for arrives");
	tap_ok(strstr(got, " error: three\n") != NULL, "a log line, too");
}

static void test_full(int from, int to)
{
	static char got[ROOM];
	int64_t start;
	ssize_t before, after;

	fill(to);
	alarm(TOO_LONG);
	log_write(to, 0, "one\n", 4);
	log_tell(0, "two\n");
	log_error("three");
	start = now();
	log_tell(100, "four\n");
	tap_ok(now() - start >= 99, "patience");
	alarm(0);
	before = read(from, got, sizeof(got));
	log_tell(LOG_LAST_WORDS, "five\n");
	after = read(from, got, sizeof(got));
	tap_ok(before % 4096 == 0 && after == 5 && memcmp(got, "five\n", 5) == 0, "what a full pipe doesn't take is lost, what comes later is not");
}

static void test_directives(void)
{
	static const struct {
		const char *text;
		int level;
	} rows[] = {
		{ "info", LOG_LEVEL_INFO }, { "WARN", LOG_LEVEL_WARN }, { "trace", LOG_LEVEL_DEBUG }, { "off", LOG_LEVEL_ERROR },
		{ "mirrord=debug,warn", LOG_LEVEL_DEBUG }, { "warn,mirrord=debug", LOG_LEVEL_DEBUG }, { "error,hyper=debug", LOG_LEVEL_ERROR },
		{ "mirrord_agent=info", LOG_LEVEL_INFO }, { "hyper=debug", -1 }, { "", -1 }, { "loud", -1 }, { "mirrord=loud", -1 }, { "info,,", -1 },
		{ "info,", LOG_LEVEL_INFO },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		tap_int(log_level_parse_directives(rows[i].text), rows[i].level, "\"%s\"", rows[i].text);
}

int main(void)
{
	int ends[2], saved = dup(STDERR_FILENO);

	if (pipe(ends) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
		return 1;
	test_room(ends[0], ends[1]);
	test_full(ends[0], ends[1]);
	dup2(saved, STDERR_FILENO);
	test_directives();
	return tap_done();
}
