// SPDX-License-Identifier: MIT
/* Finding and executing the program. */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* 0: can be executed; else the errno that says why not. */
static int try_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	return access(path, X_OK) == 0 ? 0 : errno;
}

static int refuse(const char *name, int why, struct error *err)
{
	error_set(err, why == ENOENT && !strchr(name, '/') ? 0 : why, "run %s%s", name,
		  why == ENOENT && !strchr(name, '/') ? ": command not found" : "");
	err->status = why == ENOENT || why == ENOTDIR ? NOT_FOUND : NOT_EXECUTABLE;
	if (err->status == NOT_FOUND)
		return error_hint(err, strchr(name, '/') ? "check the path" : "check the spelling, or give its path: it is in no directory of PATH");
	return error_hint(err, why == EISDIR ? "name a program in it" : "`chmod +x %s` makes a file executable", name);
}

int command_find(const char *name, char ret_path[PATH_MAX], struct error *err)
{
	const char *path = getenv("PATH");
	int worst = ENOENT, rc;

	if (strchr(name, '/')) {
		snprintf(ret_path, PATH_MAX, "%s", name);
		rc = try_path(name);
		return rc ? refuse(name, rc, err) : 0;
	}
	if (!path)
		path = "/bin:/usr/bin";
	for (const char *p = path;; p++) {
		size_t len = strcspn(p, ":");

		snprintf(ret_path, PATH_MAX, "%.*s%s%s", (int)len, p, len ? "/" : "", name);
		rc = *name ? try_path(ret_path) : ENOENT;
		if (rc == 0)
			return 0;
		if (rc == EACCES && access(ret_path, F_OK) == 0) /* the file, not a directory on the way to it */
			worst = EACCES;
		p += len;
		if (!*p)
			return refuse(name, worst, err);
	}
}

static int exec_script(const char *path, char *const argv[])
{
	size_t n = 0;
	const char **args;

	while (argv[n])
		n++;
	args = calloc(n + 2, sizeof(*args));
	if (!args)
		return -1;
	args[0] = "sh";
	args[1] = path;
	for (size_t i = 1; i < n; i++)
		args[i + 1] = argv[i];
	execv("/bin/sh", (char **)args);
	free(args);
	return -1;
}

int command_exec(const char *path, char *const argv[], struct error *err)
{
	execv(path, argv);
	if (errno == ENOEXEC)
		exec_script(path, argv);
	error_set(err, errno, "run %s", path);
	err->status = errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
	if (errno == ENOENT)
		error_hint(err, "the file is there, but its interpreter (the first line of a script, or the loader of a binary) is not");
	return -1;
}
