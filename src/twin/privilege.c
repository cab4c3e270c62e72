// SPDX-License-Identifier: MIT
/* What the calling process may do, and giving it up under sudo. */
#include "twin/privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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

/* The user who called sudo, as this machine knows them. Inside the twin a look-up might ask the target's network (sssd, LDAP). */
static struct {
	char *name, *home, *shell; /* NULL: not known */
	gid_t *groups;
	int n_groups;
} sudo_user;

static void look_up(uid_t uid, gid_t gid)
{
	struct passwd *user = sudo_user.name ? NULL : getpwuid(uid); /* once */

	if (!user)
		return;
	sudo_user.name = strdup(user->pw_name);
	sudo_user.home = strdup(user->pw_dir);
	sudo_user.shell = strdup(user->pw_shell);
	getgrouplist(user->pw_name, gid, NULL, &sudo_user.n_groups);
	sudo_user.groups = calloc((size_t)sudo_user.n_groups, sizeof(gid_t));
	if (!sudo_user.groups || getgrouplist(user->pw_name, gid, sudo_user.groups, &sudo_user.n_groups) < 0)
		sudo_user.n_groups = 0;
}

int privilege_sudo_user(uid_t *ret_uid, gid_t *ret_gid)
{
	unsigned int uid, gid;

	if (geteuid() != 0 || !parse_id(getenv("SUDO_UID"), &uid) || !parse_id(getenv("SUDO_GID"), &gid))
		return -1;
	look_up(uid, gid);
	*ret_uid = uid;
	*ret_gid = gid;
	return 0;
}

static void set_if(const char *name, const char *value)
{
	if (value && value[0])
		setenv(name, value, 1);
}

int privilege_become(uid_t uid, gid_t gid, struct error *err)
{
	bool known = sudo_user.n_groups > 0;

	if (setgroups(known ? (size_t)sudo_user.n_groups : 1, known ? sudo_user.groups : &gid) < 0)
		return error_set(err, errno, "take the groups of user %u", uid);
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return error_set(err, errno, "become the user %u who called sudo", uid);
	set_if("HOME", sudo_user.home);
	set_if("USER", sudo_user.name);
	set_if("LOGNAME", sudo_user.name);
	set_if("SHELL", sudo_user.shell);
	return 0;
}

void privilege_drop(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { 0 };

	if (geteuid() != 0)
		syscall(SYS_capset, &header, none);
}
