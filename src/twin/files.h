// SPDX-License-Identifier: MIT
/* What the program's mount namespace shows in place of the host's. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "tunnel/info.h"

enum { TWIN_FILES_MAX = 8 };

/* A file of ours, or an empty directory, over one of the host's. */
struct placed_file {
	const char *path;
	char *content; /* NULL: it is there to hide what the host has at @path, whatever that is */
	dev_t device;  /* of what we mounted: another one there is the host's */
	int spare;     /* a detached mount of it; -1: none */
};

/* All of them. The descriptors are CLOEXEC. */
struct twin_files {
	struct placed_file files[TWIN_FILES_MAX];
	size_t n;
};

/* In a private mount namespace of the caller's: /sys shows the twin's links. With @resolver, /etc/resolv.conf, /etc/hosts and
 * /etc/hostname become the target's, nsswitch.conf asks files and DNS alone for host names, and the sockets of local resolvers that
 * would answer past the target are masked. *ret says what to keep in place (twin/restore.h). */
int twin_files_mount(const struct target_info *info, bool resolver, struct twin_files *ret, struct error *err);

void twin_files_fini(struct twin_files *files);

/* A directory that every system has, to mount on for a moment; NULL when there is none. */
const char *twin_files_stage(void);
