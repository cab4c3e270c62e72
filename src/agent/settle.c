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
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/enter.h"
#include "base/fd.h"

enum { STATUS_MAX = 65536 };
static const uint64_t kept = 1ULL << CAP_NET_RAW | 1ULL << CAP_NET_BIND_SERVICE;

static int get_capabilities(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return (int)syscall(SYS_capget, &header, data);
}

static int set_capabilities(const struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return (int)syscall(SYS_capset, &header, data);
}

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
	struct __user_cap_data_struct data[2] = { 0 };
	uid_t uid;
	gid_t gid;

	if (read_user(e->process, &uid, &gid) && become(uid, gid, err) < 0)
		return -1;
	fd_closep(&e->process);
	fd_closep(&e->root);
	if (get_capabilities(data) < 0)
		return error_set(err, errno, "read capabilities");
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(kept >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (set_capabilities(data) < 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(err, errno, "drop capabilities");
	return 0;
}
