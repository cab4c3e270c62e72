// SPDX-License-Identifier: MIT
/* What the calling process may do, and giving it up under sudo. */
#include "twin/privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

bool privilege_may_make_namespaces(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	const uint32_t needed = 1U << CAP_SYS_ADMIN | 1U << CAP_NET_ADMIN;

	return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed;
}

static bool parse_id(const char *text, unsigned int *ret)
{
	char *end;
	unsigned long v;

	if (!text || !*text)
		return false;
	v = strtoul(text, &end, 10);
	if (*end || v == 0 || v >= UINT32_MAX)
		return false;
	*ret = (unsigned int)v;
	return true;
}

int privilege_sudo_user(uid_t *ret_uid, gid_t *ret_gid)
{
	unsigned int uid, gid;

	if (geteuid() != 0 || !parse_id(getenv("SUDO_UID"), &uid) || !parse_id(getenv("SUDO_GID"), &gid))
		return -1;
	*ret_uid = uid;
	*ret_gid = gid;
	return 0;
}

int privilege_become(uid_t uid, gid_t gid, struct error *err)
{
	struct passwd *user = getpwuid(uid);

	if (user && initgroups(user->pw_name, gid) < 0)
		return error_set(err, errno, "take the groups of %s", user->pw_name);
	if (!user && setgroups(1, &gid) < 0)
		return error_set(err, errno, "take the group %u", gid);
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return error_set(err, errno, "become the user %u who called sudo", uid);
	if (user) {
		setenv("HOME", user->pw_dir, 1);
		setenv("USER", user->pw_name, 1);
		setenv("LOGNAME", user->pw_name, 1);
		if (user->pw_shell[0])
			setenv("SHELL", user->pw_shell, 1);
	}
	return 0;
}

void privilege_drop(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { 0 };

	if (geteuid() != 0)
		syscall(SYS_capset, &header, none);
}
