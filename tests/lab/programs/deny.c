// SPDX-License-Identifier: MIT
/* deny SYSCALL[:ARGUMENT=VALUE]=ERRNO… -- CMD…: runs CMD with a seccomp filter by which these system calls fail, as a container's
 * profile or an old kernel would have it. ERRNO is a number. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned int nr;
} calls[] = {
	{ "unshare", SYS_unshare }, { "inotify_init1", SYS_inotify_init1 }, { "clone", SYS_clone }, { "clone3", SYS_clone3 },
	{ "setns", SYS_setns }, { "mount", SYS_mount },
	{ "seccomp", SYS_seccomp },
	{ "socket", SYS_socket }, { "pidfd_open", SYS_pidfd_open }, { "memfd_create", SYS_memfd_create }, { "bind", SYS_bind },
	{ "sethostname", SYS_sethostname }, { "prlimit64", SYS_prlimit64 }, { "setsockopt", SYS_setsockopt },
};

static struct sock_filter code[200];
static unsigned short n;

static void emit(unsigned short op, unsigned char yes, unsigned char no, unsigned int k)
{
	code[n++] = (struct sock_filter){ op, yes, no, k };
}

static int add(char *rule)
{
	char *error = strrchr(rule, '='), *argument;
	unsigned int index = 0, value = 0;

	if (!error)
		return -1;
	*error++ = 0;
	argument = strchr(rule, ':');
	if (argument) {
		*argument++ = 0;
		if (sscanf(argument, "%u=%u", &index, &value) != 2 || index > 5)
			return -1;
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i].name, rule) != 0)
			continue;
		emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
		emit(BPF_JMP | BPF_JEQ | BPF_K, 0, argument ? 3 : 1, calls[i].nr);
		if (argument) {
			emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, (unsigned int)(offsetof(struct seccomp_data, args) + 8 * index));
			emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
		}
		emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ((unsigned int)atoi(error) & SECCOMP_RET_DATA));
		return 0;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct sock_fprog program = { .filter = code };
	int i = 1;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (add(argv[i]) < 0) {
			fprintf(stderr, "deny: what is %s?\n", argv[i]);
			return 2;
		}
	}
	if (i + 1 >= argc)
		return 2;
	emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	program.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
		perror("deny");
		return 2;
	}
	execvp(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 127;
}
