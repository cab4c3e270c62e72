// SPDX-License-Identifier: MIT
/* Targets without an engine: a process, or a network namespace that ip-netns(8) gave a name. */
#include "target/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "target/process.h"

/* Where ip-netns(8) keeps names; the second is a link to the first nearly everywhere. */
static const char *const name_dirs[] = { "/run/netns", "/var/run/netns" };
enum { NAME_DIRS = sizeof(name_dirs) / sizeof(name_dirs[0]) };

static const char *describe_user(uid_t uid, char *buf, size_t size)
{
	struct passwd *pw = getpwuid(uid);

	snprintf(buf, size, pw ? "user %2$s (uid %1$u)" : "uid %1$u", uid, pw ? pw->pw_name : "");
	return buf;
}

static int refuse_gone(const char *text, int pid, struct error *err)
{
	error_set(err, 0, "target %s: there is no process %d", text, pid);
	return error_hint(err, "`ps -e` lists those that there are");
}

/* @error is why /proc/PID/ns/net could not be opened; @p is NULL for a hidden process. */
static int refuse_foreign(const char *text, int pid, const struct process *p, int error, struct error *err)
{
	char user[128];

	if (p)
		error_set(err, error,
			  "target %s: process %d (%s) belongs to %s, and its network can't be entered by %s", text, pid,
			  p->name, describe_user(p->uid, user, sizeof(user)), geteuid() ? "you" : "this root");
	else
		error_set(err, error, "target %s: process %d is hidden from you", text, pid);
	return target_hint_root(text, err);
}

int local_resolve_process(const char *text, int pid, struct target *ret, struct error *err)
{
	struct process p;
	_cleanup_fd_ int fd = -1;
	int error = process_read(pid, &p);
	char path[64];

	if (error == ESRCH)
		return refuse_gone(text, pid, err);
	if (error == EPERM)
		return refuse_foreign(text, pid, NULL, 0, err);
	if (error)
		return error_set(err, error, "target %s: reading /proc/%d", text, pid);
	if (p.kernel) {
		error_set(err, 0, "target %s: process %d (%s) is a kernel thread", text, pid, p.name);
		return error_hint(err, "name a process whose network you want");
	}
	if (p.leader != pid) {
		error_set(err, 0, "target %s: %d is a thread of process %d (%s)", text, pid, p.leader, p.name);
		return error_hint(err, "use pid/%d", p.leader);
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		error = errno;
	/* Asked first, a process could die before it is opened; then ENOENT has this reason, too. */
	if (p.state == 'Z' || p.state == 'X' || error == ENOENT) {
		error_set(err, 0, "target %s: process %d (%s) has ended", text, pid, p.name);
		return error_hint(err, "name a process that runs");
	}
	if (error)
		return refuse_foreign(text, pid, &p, error, err);
	ret->pid = pid;
	return 0;
}

int local_resolve_pid(const char *name, struct target *ret, struct error *err)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(name, &end, 10);
	if (name[0] < '0' || name[0] > '9' || *end || errno || pid < 1 || pid > INT_MAX) {
		error_set(err, 0, "target %s: \"%s\" is not a process id", ret->text, name);
		return error_hint(err, "a target like pid/4711 names a process by its number, as `ps -e` shows it");
	}
	return local_resolve_process(ret->text, (int)pid, ret, err);
}

/* Appends what @dir holds to the list in @buf. */
static void list_names(const char *dir, char *buf, size_t size)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		size_t n = strlen(buf);

		if (entry->d_name[0] != '.' && n + strlen(entry->d_name) + 3 < size)
			snprintf(buf + n, size - n, "%s%s", n ? ", " : "", entry->d_name);
	}
	if (d)
		closedir(d);
}

static int refuse_unknown_name(const char *text, const char *name, struct error *err)
{
	char list[900] = "";

	error_set(err, 0, "target %s: there is no network namespace called \"%s\" (looked in %s)", text, name,
		  name_dirs[0]);
	for (size_t i = 0; i < NAME_DIRS && !list[0]; i++)
		list_names(name_dirs[i], list, sizeof(list));
	if (list[0])
		return error_hint(err, "there are: %s", list);
	return error_hint(
	    err, "there are none; `ip netns add NAME` makes one; to name a container, use docker/, podman/ or pid/");
}

int local_resolve_netns(const char *name, struct target *ret, struct error *err)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		error_set(err, 0, "target %s: \"%s\" is not a name", ret->text, name);
		return error_hint(err, "netns/NAME names a network namespace as `ip netns list` shows it");
	}
	for (size_t i = 0; i < NAME_DIRS && fd < 0; i++) {
		snprintf(ret->netns, sizeof(ret->netns), "%s/%s", name_dirs[i], name);
		fd = open(ret->netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0 && errno != ENOENT && errno != ENOTDIR) {
			error_set(err, errno, "target %s: opening %s", ret->text, ret->netns);
			return errno == EACCES || errno == EPERM ? target_hint_root(ret->text, err) : -1;
		}
	}
	if (fd < 0)
		return refuse_unknown_name(ret->text, name, err);
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		error_set(err, 0, "target %s: %s is a file, but not a network namespace any more", ret->text,
			  ret->netns);
		return error_hint(err, "`ip netns delete %s` removes the leftover", name);
	}
	snprintf(ret->etc, sizeof(ret->etc), "/etc/netns/%s", name);
	if (stat(ret->etc, &st) < 0 || !S_ISDIR(st.st_mode))
		ret->etc[0] = '\0';
	return 0;
}
