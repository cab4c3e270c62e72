// SPDX-License-Identifier: MIT
/* The target's files, by bind mounts.
 *
 * Their contents stand in a tmpfs that is mounted for a moment over a directory that every system has, in our own mount namespace; the bind
 * mounts keep it alive when it is taken off again. A symbolic link (resolv.conf often is one) is followed: the mount lands on the file
 * that programs open. A file that the host doesn't have has no place to mount on; then /etc gets an overlay whose upper layer is in the
 * tmpfs, and the file is made there. */
#include "twin/files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "twin/restore.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const char *const stages[] = { "/tmp", "/run", "/mnt", "/dev/shm", "/var", "/home" };

/* Sockets of nscd, sssd's and systemd's resolvers: glibc's nss modules ask them before, or instead of, the name servers. */
static const char *const masked[] = { "/run/nscd", "/var/run/nscd", "/run/systemd/resolve/io.systemd.Resolve",
				      "/run/systemd/resolve/io.systemd.Resolve.Monitor" };

static int write_file(const char *path, const char *content, size_t len)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd < 0 || fd_write_all(fd, content, len) < 0 ? -1 : 0;
}

/* The host's nsswitch.conf with another line for hosts; malloc'ed. */
static char *nsswitch_content(void)
{
	_cleanup_fd_ int fd = open("/etc/nsswitch.conf", O_RDONLY | O_CLOEXEC);
	char *old = fd < 0 ? NULL : fd_read_all(fd, 1 << 20, NULL), *text = NULL, *save;
	size_t len;
	FILE *out;

	if (!old || !(out = open_memstream(&text, &len))) {
		free(old);
		return NULL;
	}
	for (char *line = strtok_r(old, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strncmp(line + strspn(line, " \t"), "hosts", 5) != 0)
			fprintf(out, "%s\n", line);
	fprintf(out, "hosts: files dns\n");
	fclose(out);
	free(old);
	return text;
}

static int overlay_etc(const char *stage, struct error *err)
{
	char upper[256], work[256], options[1024];

	snprintf(upper, sizeof(upper), "%s/upper", stage);
	snprintf(work, sizeof(work), "%s/work", stage);
	snprintf(options, sizeof(options), "lowerdir=/etc,upperdir=%s,workdir=%s,userxattr", upper, work);
	if (mkdir(upper, 0755) < 0 || mkdir(work, 0755) < 0)
		return error_set(err, errno, "make room for an overlay of /etc");
	if (mount("overlay", "/etc", "overlay", MS_NOSUID | MS_NODEV, options) == 0)
		return 0;
	*strstr(options, ",userxattr") = '\0'; /* before Linux 5.11 */
	if (mount("overlay", "/etc", "overlay", MS_NOSUID | MS_NODEV, options) < 0)
		return error_set(err, errno, "mount an overlay over /etc");
	return 0;
}

/* A file and what it is to hold; NULL leaves it as it is. */
struct etc_file {
	const char *path, *content;
};

/* Makes each a file that can be mounted on. All of them before the first is mounted: an overlay hides what was mounted in /etc before. */
static int ensure_exist(const char *stage, const struct etc_file *files, size_t n, struct error *err)
{
	bool overlaid = false;

	for (size_t i = 0; i < n; i++) {
		const char *path = files[i].path;

		if (!files[i].content || access(path, F_OK) == 0)
			continue;
		if (!overlaid && overlay_etc(stage, err) < 0)
			return error_wrap(err, "put the target's %s in place, which this machine doesn't have", path);
		overlaid = true;
		unlink(path); /* a symbolic link to nowhere */
		if (write_file(path, "", 0) < 0)
			return error_set(err, errno, "make %s", path);
	}
	return 0;
}

/* @content is owned. */
static void note(struct twin_files *all, const char *path, char *content, int spare)
{
	struct stat st = { 0 };

	(void)!stat(path, &st);
	all->files[all->n++] = (struct placed_file){ .path = path, .content = content, .device = st.st_dev, .spare = spare };
}

static int place(const char *stage, const struct etc_file *file, struct twin_files *all, struct error *err)
{
	char source[256], *copy;

	if (!file->content)
		return 0;
	snprintf(source, sizeof(source), "%s/%s", stage, strrchr(file->path, '/') + 1);
	copy = strdup(file->content);
	if (!copy || write_file(source, copy, strlen(copy)) < 0 || mount(source, file->path, NULL, MS_BIND, NULL) < 0) {
		error_set(err, errno, "put the target's %s in place", file->path);
		free(copy);
		return -1;
	}
	note(all, file->path, copy, detached_mount(source));
	return 0;
}

static void mask(const char *stage, const char *path, struct twin_files *all)
{
	char source[256];
	struct stat st;

	if (stat(path, &st) == 0) {
		snprintf(source, sizeof(source), "%s/%s", stage, S_ISDIR(st.st_mode) ? "empty" : "none");
		(void)!mount(source, path, NULL, MS_BIND, NULL);
	}
	note(all, path, NULL, -1);
}

static int place_all(const char *stage, const struct target_info *info, struct twin_files *all, struct error *err)
{
	char *nsswitch = nsswitch_content(), hostname[sizeof(info->hostname) + 1], path[256];
	const struct etc_file files[] = {
		{ "/etc/resolv.conf", info->resolv_conf ? info->resolv_conf : "" },
		{ "/etc/hosts", info->hosts ? info->hosts : "" },
		{ "/etc/hostname", info->hostname[0] ? hostname : NULL },
		{ "/etc/nsswitch.conf", nsswitch },
	};
	const size_t n = N(files);
	int rc;

	static_assert(N(files) + N(masked) <= TWIN_FILES_MAX, "room for all");
	snprintf(hostname, sizeof(hostname), "%s\n", info->hostname);
	rc = ensure_exist(stage, files, n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = place(stage, &files[i], all, err);
	free(nsswitch);
	snprintf(path, sizeof(path), "%s/empty", stage);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/none", stage);
	write_file(path, "", 0);
	for (size_t i = 0; rc == 0 && i < N(masked); i++)
		mask(stage, masked[i], all);
	return rc;
}

/* sysfs shows the network namespace of whoever mounted it, so programs that read /sys/class/net would see the host's links. Where we may
 * not mount it (parts of /sys are masked, as in a container) they do. */
static void place_links(const char *stage)
{
	static const char *const places[] = { "class/net", "devices/virtual/net" };
	char sys[64], source[128], path[64];

	snprintf(sys, sizeof(sys), "%s/sys", stage);
	if (mkdir(sys, 0755) < 0 || mount("sysfs", sys, "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) < 0)
		return;
	for (size_t i = 0; i < N(places); i++) {
		snprintf(source, sizeof(source), "%s/%s", sys, places[i]);
		snprintf(path, sizeof(path), "/sys/%s", places[i]);
		(void)!mount(source, path, NULL, MS_BIND, NULL);
	}
}

/* It must not be the working directory, or above a file that is mounted on. */
const char *twin_files_stage(void)
{
	struct stat st;

	for (size_t i = 0; i < N(stages); i++)
		if (stat(stages[i], &st) == 0 && S_ISDIR(st.st_mode))
			return stages[i];
	return NULL;
}

int twin_files_mount(const struct target_info *info, bool resolver, struct twin_files *ret, struct error *err)
{
	const char *stage = twin_files_stage();
	mode_t mask_before = umask(022);
	int rc = -1;

	ret->n = 0;
	if (!stage)
		error_set(err, 0, "find a directory to mount on (/tmp, /run, /mnt, /dev/shm, /var, /home)");
	else if (mount("mirrord", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=16m") < 0)
		error_set(err, errno, "mount a tmpfs in a mount namespace of our own");
	else
		rc = resolver ? place_all(stage, info, ret, err) : 0;
	if (rc == 0)
		place_links(stage);
	if (stage)
		umount2(stage, MNT_DETACH);
	umask(mask_before);
	return rc;
}

void twin_files_fini(struct twin_files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		free(files->files[i].content);
		fd_closep(&files->files[i].spare);
	}
	files->n = 0;
}
