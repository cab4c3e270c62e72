// SPDX-License-Identifier: MIT
#include "cli/engine_cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/orphan.h"

static size_t count(const char *const *words)
{
	size_t n = 0;

	while (words[n])
		n++;
	return n;
}

/* What a process of its own runs. */
struct command {
	const struct engine_cli *engine;
	const char *const *words;
	int in, out;
};

static void execute(void *arg)
{
	const struct command *c = arg;
	const struct engine_cli *e = c->engine;
	const char **all = calloc(e->run + count(c->words) + 1, sizeof(*all));

	if (!all)
		_exit(127);
	memcpy(all, e->argv, e->run * sizeof(*all));
	memcpy(all + e->run, c->words, count(c->words) * sizeof(*all));
	dup2(c->in, STDIN_FILENO);
	dup2(c->out, STDOUT_FILENO);
	dup2(c->out, STDERR_FILENO);
	execvpe(all[0], (char *const *)all, e->environment);
	_exit(127);
}

/* Returns its pid, 0 when it is nobody's child, -1 with errno. */
static pid_t run_apart(struct command *c, bool detached)
{
	pid_t pid = detached ? orphan_start(execute, c) : fork();

	if (pid == 0 && !detached)
		execute(c);
	return pid;
}

int engine_cli_start(const struct engine_cli *e, const char *const *words, bool detached, struct engine_call *ret, struct error *err)
{
	struct command command = { .engine = e, .words = words };
	struct engine_call c;
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) < 0)
		return error_set(err, errno, "start %s", e->argv[0]);
	if (pipe2(out, O_CLOEXEC) < 0) {
		error_set(err, errno, "start %s", e->argv[0]);
		close(in[0]);
		close(in[1]);
		return -1;
	}
	command.in = in[0];
	command.out = out[1];
	c = (struct engine_call){ .pid = run_apart(&command, detached), .in = in[1], .out = out[0] };
	if (c.pid < 0)
		error_set(err, errno, "start %s", e->argv[0]);
	close(in[0]);
	close(out[1]);
	if (c.pid < 0) {
		engine_cli_end(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

/* True when @word is a line of @text. */
static bool has_line(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, word, len) == 0 && line[len] == '\n')
			return true;
	}
	return false;
}

int engine_cli_hear(struct engine_call *c, const char *word, char said[ENGINE_SAYS_MAX])
{
	size_t n = 0;

	for (;;) {
		char beyond[256];
		bool full = n == ENGINE_SAYS_MAX - 1;
		ssize_t got = read(c->out, full ? beyond : said + n, full ? sizeof(beyond) : ENGINE_SAYS_MAX - 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		n += got > 0 && !full ? (size_t)got : 0;
		said[n] = '\0';
		if (got <= 0)
			return word ? -1 : 0;
		if (word && has_line(said, word))
			return 0;
	}
}

int engine_cli_end(struct engine_call *c)
{
	int status = -1;

	fd_closep(&c->in);
	fd_closep(&c->out);
	while (c->pid > 0 && waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	return c->pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int engine_cli_ask(const struct engine_cli *e, const char *const *words, char said[ENGINE_SAYS_MAX], struct error *err)
{
	struct engine_call c;

	if (engine_cli_start(e, words, false, &c, err) < 0)
		return -1;
	fd_closep(&c.in);
	engine_cli_hear(&c, NULL, said);
	return engine_cli_end(&c);
}
