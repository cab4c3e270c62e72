// SPDX-License-Identifier: MIT
/* Into the twin.
 *
 * The mount namespace is made here and not by the keeper: unshare(2) carries the working directory over into the copy, whatever it is,
 * where setns(2) would put the program at the root. It is a slave of the host's: what is mounted there later shows here too.
 */
#include "twin/enter.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

/* What we mount must not show on the host. In a new user namespace the kernel has seen to that. */
static int detach_mounts(bool detached, struct error *err)
{
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0 || detached)
		return 0;
	error_set(err, errno, "make the mounts of our own namespace private");
	if (errno == EINVAL)
		error_hint(err, "the root directory is no mount point, as in a chroot: `mount --bind DIR DIR` makes it one before chroot");
	return -1;
}

int twin_enter(const struct twin_entry *entry, struct twin_files *ret_files, struct error *err)
{
	if (entry->user_ns >= 0 && setns(entry->user_ns, CLONE_NEWUSER) < 0)
		return error_set(err, errno, "enter the twin's user namespace");
	if (setns(entry->net_ns, CLONE_NEWNET) < 0 || setns(entry->uts_ns, CLONE_NEWUTS) < 0)
		return error_set(err, errno, "enter the twin");
	if (unshare(CLONE_NEWNS) < 0)
		return error_set(err, errno, "make a mount namespace");
	if (detach_mounts(entry->user_ns >= 0, err) < 0)
		return -1;
	return twin_files_mount(entry->info, entry->remote_dns, ret_files, err);
}
