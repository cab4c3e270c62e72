// SPDX-License-Identifier: MIT
/* Docker lets a container join the network namespace of another one (`--network container:NAME`), which it finds by that one's process, wherever
 * that is then. This is the process: it enters the twin that a process of the host's is in, and stays until its input ends. Docker gives
 * the joining container the other one's resolv.conf and hosts as well, so these are written as the twin has them: they come first,
 *
 *	RESOLV-BYTES HOSTS-BYTES\n  and then the bytes.
 *
 * It prints "ready" when all is done. The namespace's inode shows whether the process that was named is the one that was meant: an engine in a
 * virtual machine has others. */
#include "agent/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int complain(const char *what)
{
	fprintf(stderr, "mirrord-agent: %s: %s\n", what, strerror(errno));
	return -1;
}

/* The engine's own file, which is mounted: it is written, not replaced. */
static int take_file(const char *path, size_t len)
{
	FILE *f = fopen(path, "we");
	int c;

	if (!f)
		return complain(path);
	for (; len > 0 && (c = getchar()) != EOF; len--)
		putc(c, f);
	if (fclose(f) != 0)
		return complain(path);
	errno = ENODATA;
	return len > 0 ? complain("read the twin's files") : 0;
}

static int take_files(void)
{
	size_t resolv, hosts;

	if (scanf("%zu %zu", &resolv, &hosts) != 2 || getchar() != '\n') {
		errno = EBADMSG;
		return complain("read the twin's files");
	}
	return take_file("/etc/resolv.conf", resolv) < 0 || take_file("/etc/hosts", hosts) < 0 ? -1 : 0;
}

static int enter(const char *pid, unsigned long long inode)
{
	char path[64];
	struct stat s;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", atoi(pid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &s) < 0)
		return complain(path);
	if (s.st_ino != inode) {
		fprintf(stderr, "mirrord-agent: the container engine is on another machine\n");
		return -1;
	}
	return setns(fd, CLONE_NEWNET) < 0 ? complain("enter the twin") : 0;
}

int agent_hold(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: mirrord-agent hold PID INODE\n");
		return 2;
	}
	if (take_files() < 0 || enter(argv[1], strtoull(argv[2], NULL, 10)) < 0)
		return 1;
	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
