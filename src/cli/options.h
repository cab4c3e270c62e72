// SPDX-License-Identifier: MIT
/* Options of the commands: one table makes the parser and the help. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cli_option {
	const char *group; /* heading in the help; options of a group stand together */
	char letter;	   /* 0: none */
	const char *name, *argument, *help;
	void (*set)(void *arg, const char *value);
};

struct cli_command {
	const char *name, *usage, *summary, *example;
	const struct cli_option *options;
	size_t n_options;
	bool runs_program; /* what follows the first word is the program's */
};

/* Returns the index of the first word that is no option. Where no program is run, options may stand behind such words, too: these then come
 * to stand together at the end of @argv. -1 after a message on stderr (exit with 2), -2 when the help was asked for and printed. */
int cli_parse(const struct cli_command *command, int argc, char **argv, void *arg);

/* Says on stderr what failed, why, and what to do about it. Returns the exit status: the error's own, or 1. */
int cli_print_error(const struct error *e);
