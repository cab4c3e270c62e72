// SPDX-License-Identifier: MIT
/* The end of entering: who we are from then on, and what we may. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/capability.h"
#include "agent/enter.h"
#include "base/fd.h"

enum { STATUS_MAX = 65536 };
static const uint64_t kept = 1ULL << CAP_NET_RAW | 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_NET_ADMIN;

/* The effective user and group of the target's process, as numbers of the user namespace that we are in now. */
static bool read_user(int process, uid_t *ret_uid, gid_t *ret_gid)
{
	_cleanup_fd_ int fd = process < 0 ? -1 : openat(process, "status", O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : fd_read_all(fd, STATUS_MAX, NULL);
	const char *uid = text ? strstr(text, "\nUid:") : NULL, *gid = text ? strstr(text, "\nGid:") : NULL;
	bool good =
	    uid && gid && sscanf(uid, "\nUid: %*u %u", ret_uid) == 1 && sscanf(gid, "\nGid: %*u %u", ret_gid) == 1;

	free(text);
	return good;
}

/* Where the target's user can't be had (it is not mapped, or we lack the right to become another one), ours stays. */
static int become(uid_t uid, gid_t gid, struct error *err)
{
	if (uid == geteuid() && gid == getegid())
		return 0;
	if (prctl(PR_SET_KEEPCAPS, 1) < 0)
		return error_set(err, errno, "keep capabilities");
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return error_set(err, errno, "give up groups");
	if (setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) < 0 && errno != EPERM && errno != EINVAL)
		return error_set(err, errno, "become the target's user %u", uid);
	return 0;
}

int agent_settle(struct entry *e, struct error *err)
{
	uid_t uid;
	gid_t gid;

	if (read_user(e->process, &uid, &gid) && become(uid, gid, err) < 0)
		return -1;
	fd_closep(&e->process);
	fd_closep(&e->root);
	return capability_keep(kept, err);
}
