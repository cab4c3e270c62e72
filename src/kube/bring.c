// SPDX-License-Identifier: MIT
/* All files go through one exec, one after the other (bundle.c), to a shell script, which needs cat, dd, wc, chmod, mkdir and rm: any small
 * image with a shell has them. Where it may write, and run what it wrote, the script finds out and says. */
#include "kube/bring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kube/bundle.h"
#include "kube/exec.h"

#define DIRECTORIES "/tmp /var/tmp /dev/shm /run \"$HOME\""

const char kube_bring_wait[] = "i=0; while [ $i -lt $1 ]; do\n"
			       "for d in " DIRECTORIES "; do\n"
			       "[ -d \"$d/.$0/go\" ] && exec \"$d/.$0/mirrord-agent\" idle --name \"$0\" --wait \"$2\"\n"
			       "done\n"
			       "sleep 0.1 2>/dev/null || sleep 1\n"
			       "i=$((i+1)); done; exit 1";

/* NAME BYTES, and FILE BLOCK BLOCKS for each. Prints the directory and the machine. */
static const char unpack[] = "n=$0 all=$1; shift\n"
			     "for p in " DIRECTORIES "; do d=$p/.$n\n"
			     "mkdir -p \"$d\" && echo '#!/bin/sh' >\"$d/try\" && chmod 755 \"$d/try\" && \"$d/try\" && break\n"
			     "d=; done 2>/dev/null\n"
			     "[ \"$d\" ] || { echo 'it has no directory that programs can be put into and run from' >&2; exit 1; }\n"
			     "cd \"$d\" && cat >all && [ $(wc -c <all) -eq $all ] || exit 1\n"
			     "while [ $# -gt 0 ]; do\n"
			     "dd if=all of=$1 bs=4096 skip=$2 count=$3 2>/dev/null && chmod 755 $1 || exit 1\n"
			     "shift 3; done\n"
			     "rm all try\n"
			     "printf '#!/bin/sh\\nexec \"%s/loader\" --library-path \"%s\" \"%s/agent\" \"$@\"\\n' "
			     "\"$d\" \"$d\" \"$d\" >mirrord-agent\n"
			     "chmod 755 mirrord-agent && mkdir go && uname -m && echo \"$d\"";

struct bringing {
	struct bundle bundle;
	struct loop *loop;
	struct kube_exec *exec;
	struct watch ours; /* what we write and read, at the exec's local side */
	int fd;
	off_t sent, size;
	char said[400], complaint[400]; /* its output, its errors */
	size_t n_said, n_complaint;
};

static void append(char *text, size_t room, size_t *n, const char *more, size_t len)
{
	len = len < room - 1 - *n ? len : room - 1 - *n;
	memcpy(text + *n, more, len);
	*n += len;
}

static void on_stderr(void *arg, const char *text, size_t len)
{
	struct bringing *b = arg;

	append(b->complaint, sizeof(b->complaint), &b->n_complaint, text, len);
}

/* All that it has said is in the socket. */
static void on_end(void *arg, const struct error *why)
{
	struct bringing *b = arg;
	char text[sizeof(b->said)];
	ssize_t n;

	while ((n = recv(b->fd, text, sizeof(text), MSG_DONTWAIT)) > 0)
		append(b->said, sizeof(b->said), &b->n_said, text, (size_t)n);
	loop_stop(b->loop);
}

static void on_ours(struct watch *w, uint32_t events)
{
	struct bringing *b = container_of(w, struct bringing, ours);
	ssize_t n = sendfile(w->fd, b->bundle.fd, &b->sent, (size_t)(b->size - b->sent));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && b->sent < b->size)
		return;
	shutdown(w->fd, SHUT_WR);
	loop_unwatch(b->loop, w);
}

static struct kube_exec *start(struct kube *k, const struct bundle *b, const struct kube_exec_target *where, struct error *err)
{
	static const char *const shell[] = { "sh", "-c", unpack };
	const char *command[3 + 2 + 3 * BUNDLE_FILES + 1] = { shell[0], shell[1], shell[2], where->container };
	char numbers[1 + 2 * BUNDLE_FILES][24];
	struct kube_exec_target target = *where;
	size_t n = 4, m = 0;

	snprintf(numbers[m], sizeof(numbers[0]), "%zu", b->blocks * BUNDLE_BLOCK);
	command[n++] = numbers[m++];
	for (size_t i = 0; i < b->n; i++) {
		snprintf(numbers[m], sizeof(numbers[0]), "%zu", b->files[i].at);
		snprintf(numbers[m + 1], sizeof(numbers[0]), "%zu", b->files[i].blocks);
		command[n++] = b->files[i].name;
		command[n++] = numbers[m++];
		command[n++] = numbers[m++];
	}
	target.command = command;
	return kube_exec_start(k, &target, err);
}

static int carry(struct bringing *b, struct error *err)
{
	static const struct kube_exec_events events = { .on_stderr = on_stderr, .on_end = on_end };
	_cleanup_fd_ int ours = -1;
	int pair[2], r;

	if (fd_bulk_pair(pair) < 0)
		return error_set(err, errno, "make a socket pair");
	ours = pair[1];
	if (kube_exec_join(b->exec, b->loop, pair[0], &events, b, err) < 0)
		return -1;
	fd_set_nonblocking(ours, true);
	b->fd = ours;
	b->size = (off_t)(b->bundle.blocks * BUNDLE_BLOCK);
	r = loop_watch(b->loop, &b->ours, ours, EPOLLOUT, on_ours);
	r = r < 0 ? error_set(err, -r, "watch a socket") : loop_run(b->loop, err);
	loop_unwatch(b->loop, &b->ours);
	return r;
}

/* "x86_64\n/tmp/.NAME\n" */
static int read_answer(struct bringing *b, char ret[300], struct error *err)
{
	const struct error *why = kube_exec_why(b->exec);
	char machine[65], directory[256];
	struct utsname here;

	if (error_is_set(why)) {
		b->complaint[strcspn(b->complaint, "\n")] = '\0';
		return error_set(err, 0, "%s", b->n_complaint ? b->complaint : why->text);
	}
	if (sscanf(b->said, "%64s %255[^\n]", machine, directory) != 2)
		return error_set(err, 0, "its shell answered \"%s\"", b->said);
	uname(&here);
	if (strcmp(machine, here.machine) != 0)
		return error_set(err, 0, "it is one for %s, and this machine's agent is for %s", machine, here.machine);
	snprintf(ret, 300, "%s/mirrord-agent", directory);
	return 0;
}

int kube_bring(struct kube *k, const char *namespace, const char *pod, const char *container, char ret[300], struct error *err)
{
	const struct kube_exec_target where = { namespace, pod, container, NULL };
	struct bringing b = { .bundle.fd = -1 };
	int r = -1;

	if (bundle_make(&b.bundle, err) == 0 && (b.loop = loop_new(err)) && (b.exec = start(k, &b.bundle, &where, err)) && carry(&b, err) == 0)
		r = read_answer(&b, ret, err);
	log_debug("kube: bring the agent: %zu KiB in %zu files: %s", b.bundle.blocks * BUNDLE_BLOCK / 1024, b.bundle.n, r < 0 ? "failed" : ret);
	kube_exec_free(b.exec);
	loop_free(b.loop);
	bundle_fini(&b.bundle);
	if (r == 0)
		return 0;
	error_wrap(err, "bring the agent into a container of the target's image");
	return error_hint(err, "agent.image: target needs a shell in that image, and a directory that programs may be run from; an image of the "
			       "agent's own needs neither (docs/kubernetes.md)");
}
