// SPDX-License-Identifier: MIT
/* Capabilities, by the system calls themselves. */
#include "agent/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int capability_keep(uint64_t keep, struct error *err)
{
	struct __user_cap_data_struct data[2] = { 0 };

	if (get_capabilities(data) < 0)
		return error_set(err, errno, "read capabilities");
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (set_capabilities(data) < 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(err, errno, "drop capabilities");
	return 0;
}

int capability_need(int capability, const char *name, const char *what, const char *instead, struct error *err)
{
	struct __user_cap_data_struct data[2] = { 0 };

	if (get_capabilities(data) == 0 && data[capability / 32].effective >> capability % 32 & 1)
		return 0;
	error_set(err, 0, "%s needs the capability %s over the target's network, and the agent doesn't have it", what, name);
	return error_hint(err, "%s; on this machine run mirrord as root (sudo), in a cluster let the agent have %s", instead, name);
}
