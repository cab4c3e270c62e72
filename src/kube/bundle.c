// SPDX-License-Identifier: MIT
/* The loader itself tells what it would load (ld.so(8), LD_TRACE_LOADED_OBJECTS):
 *
 *	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f…)
 *	/lib64/ld-linux-x86-64.so.2 (0x00007f…)
 *
 * What the agent loads when it is needed (TLS, jq) is named as to be preloaded; what of that isn't here is left out. */
#include "kube/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "target/agent_program.h"

enum { LISTING_MAX = 64 << 10, FILE_MAX_BYTES = 64 << 20 };

static int add(struct bundle *b, const char *name, const char *path, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END), at = 0;
	struct bundle_file *f = &b->files[b->n];

	if (size < 0)
		return error_set(err, errno, "read %s", path);
	if (b->n == BUNDLE_FILES || size > FILE_MAX_BYTES || strlen(name) >= sizeof(f->name))
		return error_set(err, 0, "%s is too much for a bundle", path);
	strcpy(f->name, name);
	f->at = b->blocks;
	f->blocks = ((size_t)size + BUNDLE_BLOCK - 1) / BUNDLE_BLOCK;
	lseek(b->fd, (off_t)(b->blocks * BUNDLE_BLOCK), SEEK_SET);
	while (at < size)
		if (sendfile(b->fd, fd, &at, (size_t)(size - at)) <= 0)
			return error_set(err, errno, "copy %s", path);
	b->blocks += f->blocks;
	b->n++;
	return ftruncate(b->fd, (off_t)(b->blocks * BUNDLE_BLOCK)) < 0 ? error_set(err, errno, "copy %s", path) : 0;
}

static _Noreturn void run_loader(const char *program, int out)
{
	static char trace[] = "LD_TRACE_LOADED_OBJECTS=1", later[] = "LD_PRELOAD=libssl.so.3 libjq.so.1";
	char *const argv[] = { (char *)program, NULL }, *const environment[] = { trace, later, NULL };

	fd_drop_stderr();
	dup2(out, STDOUT_FILENO);
	execve(program, argv, environment);
	_exit(127);
}

/* What the loader says; the caller's. NULL with @err. */
static char *list_libraries(const char *program, struct error *err)
{
	int out[2] = { -1, -1 };
	char *text;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		error_set(err, errno, "list the libraries of %s", program);
		fd_closep(&out[0]);
		fd_closep(&out[1]);
		return NULL;
	}
	if (pid == 0)
		run_loader(program, out[1]);
	close(out[1]);
	text = fd_read_all(out[0], LISTING_MAX, NULL);
	if (!text)
		error_set(err, errno, "list the libraries of %s", program);
	close(out[0]);
	waitpid(pid, NULL, 0);
	return text;
}

/* A line of the listing. The kernel's own (linux-vdso) has no path. */
static int add_line(struct bundle *b, char *line, struct error *err)
{
	char name[NAME_MAX + 1], path[PATH_MAX];

	if (sscanf(line, " %255s => %4095s (", name, path) == 2 && path[0] == '/')
		return add(b, name, path, err);
	if (sscanf(line, " %4095s (", path) == 1 && path[0] == '/')
		return add(b, "loader", path, err);
	return 0;
}

static int fill(struct bundle *b, struct error *err)
{
	char program[PATH_MAX], *text, *rest, *line;
	int r;

	if (agent_program_find(program, err) < 0 || add(b, "agent", program, err) < 0)
		return -1;
	text = list_libraries(program, err);
	r = text ? 0 : -1;
	rest = text;
	while (r == 0 && (line = strsep(&rest, "\n")))
		r = add_line(b, line, err);
	free(text);
	return r;
}

int bundle_make(struct bundle *ret, struct error *err)
{
	*ret = (struct bundle){ .fd = memfd_create("bundle", MFD_CLOEXEC) };
	if (ret->fd < 0)
		return error_set(err, errno, "make room for the agent");
	if (fill(ret, err) == 0)
		return 0;
	bundle_fini(ret);
	return -1;
}

void bundle_fini(struct bundle *b)
{
	fd_closep(&b->fd);
}
