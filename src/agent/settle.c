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
#include <sys/stat.h>
#include <unistd.h>

#include "agent/capability.h"
#include "agent/enter.h"
#include "base/fd.h"

enum { STATUS_MAX = 65536 };
enum { GROUPS_MAX = 256 };
static const uint64_t kept = 1ULL << CAP_NET_RAW | 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_NET_ADMIN;

/* Who the target's process is, as numbers of the user namespace that we are in now. */
struct user {
	uid_t uid; /* the effective ones */
	gid_t gid;
	gid_t groups[GROUPS_MAX];
	size_t n_groups;
	bool overrides; /* it may open any file (CAP_DAC_OVERRIDE): Unix sockets of other users, too */
};

static void read_groups(const char *text, struct user *u)
{
	const char *at = strstr(text, "\nGroups:");
	char *end;

	for (at = at ? at + 8 : ""; u->n_groups < GROUPS_MAX; at = end) {
		at += strspn(at, " \t");
		u->groups[u->n_groups] = (gid_t)strtoul(at, &end, 10);
		if (end == at)
			break;
		u->n_groups++;
	}
}

/* In another user namespace its capabilities are over less than ours would be. */
static bool is_of_our_user_namespace(int process)
{
	struct stat its, ours;

	return fstatat(process, "ns/user", &its, 0) == 0 && stat("/proc/self/ns/user", &ours) == 0 && its.st_dev == ours.st_dev &&
	       its.st_ino == ours.st_ino;
}

static bool read_user(int process, struct user *ret)
{
	unsigned long long capabilities = 0;
	_cleanup_fd_ int fd = process < 0 ? -1 : openat(process, "status", O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : fd_read_all(fd, STATUS_MAX, NULL);
	const char *uid = text ? strstr(text, "\nUid:") : NULL, *gid = text ? strstr(text, "\nGid:") : NULL;
	const char *effective = text ? strstr(text, "\nCapEff:") : NULL;
	bool good =
	    uid && gid && sscanf(uid, "\nUid: %*u %u", &ret->uid) == 1 && sscanf(gid, "\nGid: %*u %u", &ret->gid) == 1;

	if (good) {
		read_groups(text, ret);
		ret->overrides = effective && sscanf(effective, "\nCapEff: %llx", &capabilities) == 1 &&
				 capabilities >> CAP_DAC_OVERRIDE & 1 && is_of_our_user_namespace(process);
	}
	free(text);
	return good;
}

/* Where the target's user can't be had (it is not mapped, or we lack the right to become another one), ours stays. */
static int become(const struct user *u, struct error *err)
{
	if (u->uid == geteuid() && u->gid == getegid())
		return 0;
	if (prctl(PR_SET_KEEPCAPS, 1) < 0)
		return error_set(err, errno, "keep capabilities");
	if (setgroups(u->n_groups, u->groups) < 0 && errno != EPERM && errno != EINVAL)
		return error_set(err, errno, "take the groups of the target's process");
	if (setresgid(u->gid, u->gid, u->gid) == 0 && setresuid(u->uid, u->uid, u->uid) < 0 && errno != EPERM && errno != EINVAL)
		return error_set(err, errno, "become the target's user %u", u->uid);
	return 0;
}

int agent_settle(struct entry *e, struct error *err)
{
	struct user user = { .overrides = e->process < 0 }; /* without a process: who enters a namespace by its name */

	if (read_user(e->process, &user) && become(&user, err) < 0)
		return -1;
	fd_closep(&e->process);
	fd_closep(&e->root);
	return capability_keep(user.overrides ? kept | 1ULL << CAP_DAC_OVERRIDE : kept, err);
}
