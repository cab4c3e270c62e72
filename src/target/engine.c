// SPDX-License-Identifier: MIT
/* Containers, asked for over the engine's API socket.
 *
 * The engine's word alone is not enough: it names the container's process by its number, and that number is of the
 * engine's own pid namespace. Docker Desktop's engine runs in a virtual machine, and in a development container with
 * the host's socket mounted into it the engine runs outside; there the number would be no process of ours, or, worse,
 * another one. So the process must carry the container's id: in its control group, or in the sources of its mounts
 * (resolv.conf, hosts, the root). */
#include "target/engine.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "target/engine_internal.h"
#include "target/http.h"

enum { ID_MIN = 12, PROC_FILE_MAX = 4 << 20, LIST_MAX = 900 };

/* What the engines themselves allow, which needs no escapes in a URL. */
static bool is_container_name(const char *name)
{
	for (const char *c = name; *c; c++) {
		if (!isalnum((unsigned char)*c) && (c == name || !strchr("_.-", *c)))
			return false;
	}
	return name[0] != '\0';
}

/* Appends @item to the comma-separated list in @buf. */
static void append(char *buf, size_t size, const char *item)
{
	size_t n = strlen(buf);

	if (n + strlen(item) + 3 < size)
		snprintf(buf + n, size - n, "%s%s", n ? ", " : "", item);
}

/* Appends the names of the containers that run. Where they can't be had, there is an error already that says more. */
static void list_running(const char *socket, char *buf, size_t size)
{
	struct http_answer answer;
	struct error ignored = { 0 };
	json_t *all, *one;
	size_t i;

	if (http_get(socket, "/containers/json", HTTP_TOTAL_MS, &answer, &ignored) != 0)
		return;
	all = answer.status == 200 ? json_loadb(answer.body, answer.len, 0, NULL) : NULL;
	json_array_foreach(all, i, one)
	{
		const char *name = json_string_value(json_array_get(json_object_get(one, "Names"), 0));

		if (name && is_container_name(name + (name[0] == '/')))
			append(buf, size, name + (name[0] == '/'));
	}
	json_decref(all);
	http_answer_fini(&answer);
}

/* An answer other than 200 and 404: as JSON {"message": …}, or any text. */
static int refuse_status(const char *word, const char *socket, const struct http_answer *answer, struct error *err)
{
	json_t *root = json_loadb(answer->body, answer->len, 0, NULL);
	const char *message = json_string_value(json_object_get(root, "message"));
	char line[301];

	snprintf(line, sizeof(line), "%s", message ? message : answer->body);
	for (char *c = line; *c; c++) {
		if (iscntrl((unsigned char)*c))
			*c = ' ';
	}
	json_decref(root);
	return error_set(err, 0, "%s answers on %s with HTTP status %ld: %s", word, socket, answer->status,
			 line[0] ? line : "(nothing)");
}

static int refuse_unknown(enum engine engine, const char *name, const struct engine_sockets *s, struct error *err)
{
	char list[LIST_MAX] = "", asked[512] = "";

	for (size_t i = 0; i < s->n; i++) {
		if (s->at[i].error)
			continue;
		list_running(s->at[i].path, list, sizeof(list));
		append(asked, sizeof(asked), s->at[i].path);
	}
	error_set(err, 0, "%s has no container \"%s\" (asked on %s)", engine_word(engine), name, asked);
	if (list[0])
		return error_hint(err, "running are: %s", list);
	if (engine == ENGINE_PODMAN)
		return error_hint(err, "no container is running there; %s",
				  geteuid() ? "root's containers: sudo mirrord exec -t podman/NAME -- …"
					    : "a user's rootless ones need no sudo");
	return error_hint(err, "no container is running there");
}

/* 1 when @file of process @pid holds @id, 0 when not, -1 with errno when it can't be read. */
static int proc_file_holds(int pid, const char *file, const char *id)
{
	char path[64], *text;
	_cleanup_fd_ int fd = -1;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	text = fd < 0 ? NULL : fd_read_all(fd, PROC_FILE_MAX, NULL);
	if (!text)
		return -1;
	r = strstr(text, id) != NULL;
	free(text);
	return r;
}

/* Where it can't be told, it is left to target entry, which says why the process can't be looked at. */
static int check_process(enum engine engine, const char *name, const char *id, int pid, struct error *err)
{
	int group = proc_file_holds(pid, "cgroup", id), mounts;

	if (group == 1)
		return 0;
	mounts = proc_file_holds(pid, "mountinfo", id);
	if (mounts == 1 || (mounts < 0 && (errno == EACCES || errno == EPERM)))
		return 0;
	error_set(err, 0, "%s says that container \"%s\" is process %d, but that is %s here", engine_word(engine), name,
		  pid, mounts < 0 ? "no process" : "another process");
	return error_hint(
	    err,
	    "the container ended just now, or %s runs elsewhere: in a virtual machine (Docker Desktop), or outside "
	    "of the container that you are in",
	    engine_word(engine));
}

/* Reads what the engine tells of the container. Returns the process id, or -1 with @err. */
static int read_container(enum engine engine, const char *name, const char *socket, const struct http_answer *answer,
			  struct error *err)
{
	const char *word = engine_word(engine), *id = NULL, *status = NULL;
	int running = 0;
	json_int_t pid = 0;
	json_t *root = json_loadb(answer->body, answer->len, 0, NULL);
	int r = -1;

	if (json_unpack(root, "{s:s, s:{s:b, s:I, s?s}}", "Id", &id, "State", "Running", &running, "Pid", &pid,
			"Status", &status) < 0 ||
	    strlen(id) < ID_MIN) {
		error_set(err, 0, "%s's answer on %s is not one about a container", word, socket);
	} else if (!running) {
		error_set(err, 0, "container \"%s\" is not running%s%s%s", name, status ? " (" : "",
			  status ? status : "", status ? ")" : "");
		error_hint(err, "%s start %s", word, name);
	} else if (pid < 1 || pid > INT_MAX) {
		error_set(err, 0, "%s on %s tells no process of container \"%s\"", word, socket, name);
		error_hint(err, "name a process of the container as pid/N");
	} else if (check_process(engine, name, id, (int)pid, err) == 0) {
		r = (int)pid;
	}
	json_decref(root);
	return r;
}

int engine_container_pid(enum engine engine, const char *name, struct error *err)
{
	struct engine_sockets s;
	struct http_answer answer;
	bool asked = false;
	char path[300];

	if (!is_container_name(name)) {
		error_set(err, 0, "\"%s\" is not a name of a container", name);
		return error_hint(err, "%s ps lists those that run", engine_word(engine));
	}
	if (engine_find_sockets(engine, &s, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "/containers/%s/json", name);
	for (size_t i = 0; i < s.n; i++) {
		int r = http_get(s.at[i].path, path, HTTP_TOTAL_MS, &answer, err);

		if (r < 0)
			return error_wrap(err, "asking %s", engine_word(engine));
		s.at[i].error = r;
		if (r > 0)
			continue;
		asked = true;
		if (answer.status == 200)
			r = read_container(engine, name, s.at[i].path, &answer, err);
		else if (answer.status != 404)
			r = refuse_status(engine_word(engine), s.at[i].path, &answer, err);
		http_answer_fini(&answer);
		if (r != 0)
			return r;
	}
	return asked ? refuse_unknown(engine, name, &s, err) : engine_refuse_sockets(engine, name, &s, err);
}
