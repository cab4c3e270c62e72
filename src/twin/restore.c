// SPDX-License-Identifier: MIT
/* Who replaces a file by rename(2), as all do who write a resolv.conf, takes away what other mount namespaces have mounted on the old one:
 * the kernel detaches it from the directory's entry. The program would read the host's file from then on. So the directories are watched
 * and the file is mounted again.
 *
 * A mount that is ready to be put in place is kept for each file: it takes one system call then. The next one is made in a mount
 * namespace of a moment's, where a tmpfs over /tmp disturbs nobody: a process with our memory and descriptors goes there, and leaves us the
 * detached mount.
 *
 * A path may be a symbolic link: then the directory of the link is watched, and that of the file. A directory that isn't there is stood for
 * by the one above it. Watching one twice is watching it once, so all is watched again after every event. */
#include "twin/restore.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* glibc has them from 2.36 on. */
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x04
#define MOVE_MOUNT_T_SYMLINKS 0x10
#endif

enum { LINKS_MAX = 8, STACK_SIZE = 64 << 10 };

static const uint32_t CHANGES = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

int detached_mount(const char *path)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC);
}

struct maker {
	const char *content;
	bool directory;
	int mount; /* the result */
};

static int make(void *arg)
{
	struct maker *m = arg;
	const char *stage = twin_files_stage();
	char path[64];
	int fd = -1;

	if (!stage || unshare(CLONE_NEWNS) < 0 || mount("mirrord", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=16m") < 0)
		_exit(0);
	snprintf(path, sizeof(path), "%s/file", stage);
	umask(022);
	if (m->directory ? mkdir(path, 0755) == 0 : (fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) >= 0) {
		if (fd < 0 || !m->content || fd_write_all(fd, m->content, strlen(m->content)) == 0)
			m->mount = detached_mount(path);
	}
	fd_closep(&fd);
	_exit(0);
}

/* Our own process stands still until that one has ended. */
static int make_mount(const char *content, bool directory)
{
	static _Alignas(64) char stack[STACK_SIZE];
	struct maker m = { .content = content, .directory = directory, .mount = -1 };
	pid_t pid = clone(make, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &m);

	if (pid > 0)
		waitpid(pid, NULL, 0);
	return m.mount;
}

/* Also where the file came back by itself: what was mounted went along with an old file that was renamed, and that came back. */
static bool in_place(const struct placed_file *f, const struct stat *there)
{
	return there->st_dev == f->device;
}

static void restore(struct placed_file *f)
{
	struct stat there;
	bool directory;

	if (stat(f->path, &there) < 0 || in_place(f, &there))
		return;
	directory = S_ISDIR(there.st_mode);
	if (directory && f->content)
		return;
	if (f->spare < 0)
		f->spare = make_mount(f->content, directory);
	if (f->spare >= 0 && syscall(SYS_move_mount, f->spare, "", AT_FDCWD, f->path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) == 0 &&
	    stat(f->path, &there) == 0)
		f->device = there.st_dev;
	fd_closep(&f->spare);
	if (f->content)
		f->spare = make_mount(f->content, false);
}

/* The deepest directory above @path that exists. */
static void watch_above(int watch, const char *path)
{
	char dir[PATH_MAX], *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	while ((slash = strrchr(dir, '/'))) {
		slash[slash == dir] = '\0';
		if (inotify_add_watch(watch, dir, CHANGES) >= 0 || slash == dir)
			return;
	}
}

/* Returns false when @path is no link. */
static bool follow(char path[PATH_MAX])
{
	char link[PATH_MAX], *name = strrchr(path, '/') + 1;
	ssize_t n = readlink(path, link, sizeof(link) - 1);

	if (n <= 0 || (link[0] != '/' && (size_t)(name - path) + (size_t)n >= PATH_MAX))
		return false;
	link[n] = '\0';
	memcpy(link[0] == '/' ? path : name, link, (size_t)n + 1);
	return true;
}

static void watch_all(const struct twin_files *files, int watch)
{
	for (size_t i = 0; i < files->n; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s", files->files[i].path);
		watch_above(watch, path);
		for (int links = 0; links < LINKS_MAX && follow(path); links++)
			watch_above(watch, path);
	}
}

int restore_watch(const struct twin_files *files)
{
	int watch = files->n ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;

	if (watch >= 0)
		watch_all(files, watch);
	return watch;
}

void restore_all(struct twin_files *files, int watch)
{
	_Alignas(struct inotify_event) char events[4096];

	while (watch >= 0 && read(watch, events, sizeof(events)) > 0)
		;
	if (watch >= 0)
		watch_all(files, watch);
	for (size_t i = 0; i < files->n; i++)
		restore(&files->files[i]);
}
