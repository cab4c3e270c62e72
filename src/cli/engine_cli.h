// SPDX-License-Identifier: MIT
/* A container engine's command line, asked beside the one that becomes the program. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

enum { ENGINE_SAYS_MAX = 4096 };

struct engine_cli {
	char *const *argv; /* as the user wrote it; the words before `run` are for every call */
	size_t run;	   /* where `run` stands */
	char *const *environment;
};

struct engine_call {
	pid_t pid;
	int in, out; /* its standard input; what it prints, errors as well */
};

/* Starts `ENGINE … @words`; the pipes are the caller's. @detached: nobody's child and in a session id of its own (then there is no pid). Returns 0,
 * or -1 with @err. */
int engine_cli_start(const struct engine_cli *e, const char *const *words, bool detached, struct engine_call *ret, struct error *err);
/* Reads until it has printed a line that is @word alone, or all (NULL). Returns 0, or -1 when it ended before that. @said: NUL-terminated, what of
 * it fits. */
int engine_cli_hear(struct engine_call *c, const char *word, char said[ENGINE_SAYS_MAX]);
/* Closes both pipes and waits for its end. Returns its exit status, or -1. */
int engine_cli_end(struct engine_call *c);
/* All three. Returns its exit status, or -1 with @err when it did not start. */
int engine_cli_ask(const struct engine_cli *e, const char *const *words, char said[ENGINE_SAYS_MAX], struct error *err);
