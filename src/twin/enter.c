// SPDX-License-Identifier: MIT
/* Into the twin.
 *
 * The mount namespace is made here and not by the keeper: unshare(2) carries the working directory over into the copy, whatever it is,
 * where setns(2) would put the program at the root. It is a slave of the host's: what is mounted there later shows here too.
 */
#include "twin/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* A root directory that is no mount point, as a chroot may be, lies on a mount that its own paths don't lead to. Who has another root below the
 * working directory climbs out of it: from up there all mounts are to be had. */
static int detach_from_above(void)
{
	const char *stage = twin_files_stage();
	_cleanup_fd_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat here, above;
	int rc, saved;

	if (root < 0 || cwd < 0 || !stage || chroot(stage) < 0)
		return -1;
	rc = fchdir(root);
	do {
		if (rc == 0 && stat(".", &here) == 0 && chdir("..") == 0)
			rc = stat(".", &above);
		else
			rc = -1;
	} while (rc == 0 && (here.st_ino != above.st_ino || here.st_dev != above.st_dev));
	if (rc == 0)
		rc = mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL);
	saved = errno;
	if (fchdir(root) < 0 || chroot(".") < 0 || fchdir(cwd) < 0)
		_exit(1); /* the program must not be run elsewhere */
	errno = saved;
	return rc;
}

/* What we mount must not show on the host. In a new user namespace the kernel has seen to that. */
static int detach_mounts(bool detached, struct error *err)
{
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0 || detached || (errno == EINVAL && detach_from_above() == 0))
		return 0;
	return error_set(err, errno, "make the mounts of our own namespace private");
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
