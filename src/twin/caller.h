// SPDX-License-Identifier: MIT
/* The thread of the program whose system call waits (twin/notifier.h): its arguments, memory and descriptors. */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "twin/anchor.h"

struct caller {
	pid_t tid;
	int pidfd;
};

/* listen(@fd, @backlog), or bind or connect(@fd, @address, @address_len). */
struct socket_call {
	enum anchor_call call;
	int fd, backlog;
	uint64_t address, address_len;
};

/* All return -1 with errno; the caller checks afterwards that the call still waits, since a dead thread's number may be another's. */
int caller_open(struct caller *c, pid_t tid);
void caller_close(struct caller *c);
int caller_arguments(const struct caller *c, const struct seccomp_data *data, struct socket_call *ret);
/* A duplicate of its descriptor. */
int caller_take(const struct caller *c, int fd);
/* All @len bytes, or EFAULT. */
int caller_read(const struct caller *c, uint64_t at, void *ret, size_t len);
