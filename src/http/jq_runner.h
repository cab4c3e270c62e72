// SPDX-License-Identifier: MIT
/* The process in which a jq program runs. Internal to jq_*.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Embedded, zero-initialised but for the socket, which is -1. */
struct jq_runner {
	pid_t pid, dying; /* 0: none; one that was killed, and isn't reaped yet */
	int sock;	  /* non-blocking */
	bool ready;	  /* '!' has come; kept by who reads it */
};

/* Does the program compile? Returns 0, or -1 with @err. */
int jq_runner_check(const char *text, struct error *err);
/* Starts one that isn't ready yet, unless there is one; without a process there is none. */
void jq_runner_start(struct jq_runner *r, const char *text);
/* Kills it. Nobody waits for its end: that is jq_runner_reap()'s, later. */
void jq_runner_stop(struct jq_runner *r);
void jq_runner_reap(struct jq_runner *r);
/* Kills it, and waits. */
void jq_runner_fini(struct jq_runner *r);
/* Processor time that it has spent so far. */
uint64_t jq_runner_spent_ms(const struct jq_runner *r);
