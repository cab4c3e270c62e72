// SPDX-License-Identifier: MIT
/* Into the twin.
 *
 * The mount namespace is made here and not by the keeper: unshare(2) carries the working directory over into the copy, whatever it is,
 * where setns(2) would put the program at the root. It is a slave of the host's: what is mounted there later shows here too.
 *
 * The anchor: a filter of one instruction that allows every call costs nothing (the kernel keeps a bitmap of calls that are always
 * allowed). Its listener tells when the last process below is gone. */
#include "twin/enter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/syscall.h>
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

int twin_anchor(struct error *err)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = { .len = 1, .filter = &allow };
	/* Before Linux 5.16 a filter would switch on mitigations that slow the program down. */
	const unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

	if (fd >= 0)
		return (int)fd;
	error_set(err, errno, "install a seccomp filter");
	if (errno == EBUSY)
		return error_hint(err, "another tool's filter with a listener is in force already (a container engine's, or another mirrord's)");
	return error_hint(err, "seccomp(2) is not allowed here: in a container, run it with --security-opt seccomp=unconfined");
}
