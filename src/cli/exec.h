// SPDX-License-Identifier: MIT
/* mirrord exec, and what other commands make of it. */
#pragma once

#include "base/error.h"
#include "cli/options.h"

/* A command that becomes a program in the twin. All but @command may be 0. */
struct exec_kind {
	struct cli_command command; /* without its options, which are exec's */
	bool as_root;		    /* under sudo the program is root's as well */
	/* Looks at the program's words before anything is set up. *ret_user_ns is -1, or becomes the user namespace (the caller's) that
	 * the twin is to belong to. Returns 0, or -1 with @err. */
	int (*prepare)(char **argv, int *ret_user_ns, struct error *err);
	/* The words that are executed in the end, where `environ` is what the program gets, in place of @before. NULL with @err. */
	char **(*finish)(char **argv, char *const *before, struct error *err);
};

/* Becomes the program; returns an exit status only when that failed, with the error printed. */
int exec_run(const struct exec_kind *kind, int argc, char **argv);
int cli_exec(int argc, char **argv);
