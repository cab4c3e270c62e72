// SPDX-License-Identifier: MIT
/* Real processes with a debugger's port among their words, in this network namespace. */
#include "session/debugger_search.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/arena.h"
#include "config/debugger_ports.h"
#include "net/loop.h"
#include "tap.h"

enum { OTHERS = 7777 };

/* A process that waits until it is killed, or this one ends. Its words are there when this returns: execve(2) closes @begun. */
static pid_t start(const char *word)
{
	static int alive[2];
	int begun[2];
	char any;
	pid_t pid;

	if ((!alive[1] && pipe2(alive, O_CLOEXEC) < 0) || pipe2(begun, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		exit(99);
	if (pid == 0) {
		dup2(alive[0], STDIN_FILENO);
		execl("/bin/sh", "sh", "-c", "read -r line; :", word, NULL);
		_exit(127);
	}
	close(begun[1]);
	if (read(begun[0], &any, 1) != 0)
		exit(99);
	close(begun[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	struct config c = { .arena = arena_new(), .detect_debugger = DEBUGGER_NODEINSPECTOR };
	_cleanup_fd_ int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), elsewhere = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct debugger_search d, of_others;
	uint64_t now = LOOP_SECOND;
	pid_t pid;

	debugger_search_init(&d, &c, here);
	debugger_search_init(&of_others, &c, elsewhere);
	debugger_search_for(&d, OTHERS, now);
	tap_int((int)c.debugger_ports.n, 0, "nobody names a port");

	pid = start("--inspect=7701");
	debugger_search_for(&of_others, 7701, now);
	tap_int((int)c.debugger_ports.n, 0, "processes of another namespace are not looked at");
	debugger_search_for(&d, OTHERS, now + LOOP_SECOND - 1);
	tap_int((int)c.debugger_ports.n, 0, "a port that was asked for within the second is not searched for");
	debugger_search_for(&d, 7701, now + LOOP_SECOND - 1);
	tap_ok(debugger_ports_has(&c.debugger_ports, 7701), "another one is");
	end(pid);

	pid = start("--inspect=7702");
	debugger_search_for(&d, OTHERS, now + LOOP_SECOND);
	tap_ok(debugger_ports_has(&c.debugger_ports, 7702), "and the first one again a second later");
	end(pid);

	pid = start("--inspect=7703");
	for (int i = 0; i < 2; i++)
		debugger_search_for(&d, 0, now + LOOP_SECOND);
	tap_ok(debugger_ports_has(&c.debugger_ports, 7703), "an unknown port always is");
	end(pid);
	tap_int((int)c.debugger_ports.n, 3, "each is there once");

	c.detect_debugger = DEBUGGER_NONE;
	pid = start("--inspect=7704");
	debugger_search_for(&d, 7704, now + 3 * LOOP_SECOND);
	tap_int((int)c.debugger_ports.n, 3, "nothing is searched for unless asked to");
	end(pid);
	arena_free(c.arena);
	return tap_done();
}
