// SPDX-License-Identifier: MIT
/* Fresh namespaces. An ordinary user gets a user namespace first, in which only their own uid and gid are mapped: the program sees the
 * same user, and nothing more can be done in it than they could before. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "twin/build.h"
#include "twin/privilege.h"

static int write_file(const char *path, const char *text)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static int explain_user_namespace(struct error *err, int saved)
{
	error_set(err, saved, "make a user namespace");
	if (saved == ENOSPC)
		return error_hint(err, "there may be no more of them: see `sysctl user.max_user_namespaces`; `sudo sysctl -w "
				       "user.max_user_namespaces=10000` allows some");
	return error_hint(err, "user namespaces are not allowed for you here (in a chroot nobody gets one): `sudo sysctl -w "
			       "kernel.unprivileged_userns_clone=1` (Debian) or "
			       "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu) allows them; in a container, a seccomp "
			       "profile without it (--security-opt seccomp=unconfined); or do without them: `sudo setcap "
			       "cap_sys_admin,cap_net_admin,cap_net_raw,cap_sys_ptrace+ep $(command -v mirrord)`, or run mirrord with sudo");
}

static int enter_user_namespace(uid_t uid, gid_t gid, struct error *err)
{
	char map[64];

	if (unshare(CLONE_NEWUSER) < 0)
		return explain_user_namespace(err, errno);
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (write_file("/proc/self/setgroups", "deny") < 0 || write_file("/proc/self/uid_map", map) < 0)
		return explain_user_namespace(err, errno);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	if (write_file("/proc/self/gid_map", map) < 0)
		return explain_user_namespace(err, errno);
	return 0;
}

static int own_namespace(const char *name, struct error *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "open %s", path) : fd;
}

static int explain_net_namespace(struct error *err, int saved)
{
	error_set(err, saved, "make a network namespace");
	if (saved == EPERM)
		error_hint(err, "a new user namespace has no rights here (Ubuntu 23.10 and later: `sudo sysctl -w "
				"kernel.apparmor_restrict_unprivileged_userns=0`); or do without one: `sudo setcap "
				"cap_sys_admin,cap_net_admin,cap_net_raw,cap_sys_ptrace+ep $(command -v mirrord)`, or run mirrord with sudo");
	return -1;
}

/* Ours alone is made, unless we may do without one. Returns it, or -1 where there is none, with @err when it should be. */
static int user_namespace(const struct twin_owner *owner, struct error *err)
{
	if (owner->user_ns >= 0) {
		if (setns(owner->user_ns, CLONE_NEWUSER) < 0)
			return error_set(err, errno, "enter the user namespace of the container engine");
	} else if (privilege_may_make_namespaces() || enter_user_namespace(owner->uid, owner->gid, err) < 0) {
		return -1;
	}
	return own_namespace("user", err);
}

int twin_unshare(const struct twin_owner *owner, struct twin *ret, struct error *err)
{
	*ret = TWIN_NONE;
	ret->user_ns = user_namespace(owner, err);
	if (error_is_set(err))
		return -1;
	if (unshare(CLONE_NEWNET | CLONE_NEWUTS) < 0)
		return explain_net_namespace(err, errno);
	if ((ret->net_ns = own_namespace("net", err)) < 0 || (ret->uts_ns = own_namespace("uts", err)) < 0)
		return -1;
	if (unshare(CLONE_NEWNET) < 0)
		return explain_net_namespace(err, errno);
	return (ret->relay_ns = own_namespace("net", err)) < 0 ? -1 : 0;
}
