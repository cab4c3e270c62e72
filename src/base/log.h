// SPDX-License-Identifier: MIT
/* The log: one line per event, levels, a named process. Callers write "subsystem: what: why". */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines go to @fd, marked with @process; nothing is written with an @fd of -1. @fd stays the caller's. */
void log_init(const char *process, enum log_level level, int fd);
bool log_enabled(enum log_level level);
const char *log_level_name(enum log_level level);
/* Level from its name ("error", "warn", "info", "debug"); -1 for any other. */
int log_level_parse(const char *name);
/* The level that "info", or a list as in "mirrord=debug,warn", means for us: of what is named mirrord…, else of all; "trace" is debug, "off"
 * error. -1: it says none, or isn't such a list. */
int log_level_parse_directives(const char *text);

/* Saves errno; allocates nothing. Never waits: a line that its reader has no room for is lost. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_line(LOG_LEVEL_DEBUG, __VA_ARGS__);                                    \
	} while (0)

/* A message to the user, on stderr, which is the program's, too: whoever reads it may have stopped, and nothing else may stop for that. It is
 * waited for room for @patience milliseconds (0: not at all), then the message is lost. */
enum { LOG_LAST_WORDS = 500 }; /* the patience of who says why all is over */
void log_tell(int patience, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for text that is there already, to any @fd. */
void log_write(int fd, int patience, const void *text, size_t len);

/* For what a peer can trigger: at most LOG_BURST lines a second from one call site, then a count of those left out. */
enum { LOG_BURST = 10 };
struct log_limit {
	uint64_t second;
	unsigned int lines, left_out;
};
bool log_limit_pass(struct log_limit *limit, enum log_level level);

#define log_limited(level, ...)                                                                    \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		if (log_enabled(level) && log_limit_pass(&limit_, level))                          \
			log_line(level, __VA_ARGS__);                                              \
	} while (0)
