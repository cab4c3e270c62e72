// SPDX-License-Identifier: MIT
/* The words and variables of the twin's processes, by proc(5). */
#include "session/debugger_search.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "config/debugger_ports.h"
#include "net/loop.h"

enum { WORDS_MAX = 4 << 20 }; /* bytes of a command, or of its variables; execve(2) takes so much only with a large stack */

void debugger_search_init(struct debugger_search *d, struct config *config, int net_ns)
{
	struct stat st = { 0 };

	fstat(net_ns, &st);
	*d = (struct debugger_search){ .config = config, .dev = st.st_dev, .ino = st.st_ino };
}

/* The strings of @file below @process, and NULL behind them; of what can't be read there are none. One block, which the caller frees. NULL
 * without memory. */
static char **read_words(int process, const char *file)
{
	_cleanup_fd_ int fd = openat(process, file, O_RDONLY | O_CLOEXEC);
	size_t len = 0, n = 0;
	char *text = fd < 0 ? NULL : fd_read_all(fd, WORDS_MAX, &len);
	char **words, *copy;

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\0';
	words = malloc((n + 2) * sizeof(*words) + len + 1);
	if (words) {
		copy = (char *)(words + n + 2);
		memcpy(copy, text ? text : "", len + 1);
		n = 0;
		for (char *at = copy; at < copy + len; at += strlen(at) + 1)
			words[n++] = at;
		words[n] = NULL;
	}
	free(text);
	return words;
}

static void look_at(struct debugger_search *d, int proc, const char *pid)
{
	_cleanup_fd_ int process = openat(proc, pid, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char **argv, **env;
	const struct config_strings *ports = &d->config->debugger_ports;
	struct stat st;

	if (process < 0 || fstatat(process, "ns/net", &st, 0) < 0 || st.st_dev != d->dev || st.st_ino != d->ino)
		return;
	argv = read_words(process, "cmdline");
	env = read_words(process, "environ");
	if (argv && env && debugger_ports_detect(d->config, argv, env))
		log_info("a debugger's port, by the command of process %s: %s", pid, ports->items[ports->n - 1]);
	free(argv);
	free(env);
}

/* Whether @port has been asked for within this second. */
static bool asked(struct debugger_search *d, uint16_t port, uint64_t now)
{
	uint8_t bit = (uint8_t)(1 << port % 8), before;

	if (now >= d->forget_at) {
		memset(d->asked, 0, sizeof(d->asked));
		d->forget_at = now + LOOP_SECOND;
	}
	before = d->asked[port / 8];
	d->asked[port / 8] |= bit;
	return before & bit;
}

void debugger_search_for(struct debugger_search *d, uint16_t port, uint64_t now)
{
	DIR *proc;

	if (d->config->detect_debugger == DEBUGGER_NONE)
		return;
	if (port && (debugger_ports_has(&d->config->debugger_ports, port) || asked(d, port, now)))
		return;
	proc = opendir("/proc");
	for (struct dirent *e; proc && (e = readdir(proc));)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			look_at(d, dirfd(proc), e->d_name);
	if (proc)
		closedir(proc);
}
