// SPDX-License-Identifier: MIT
/* Where pods may be watched, one is; else the pod is listed again and again, which is what the target needed anyway. */
#include "kube/pod_watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kube/json.h"

enum { LOOK_AGAIN_MS = 2000, WATCH_MS = 3600 * 1000 };

struct pod_watch {
	struct kube *kube;
	const struct kube_place *place;
	int fd;
	int told; /* the last news */
};

/* One that was evicted has ended, and stays as an object. */
static int news_of(const struct kube_place *p, const json_t *pod)
{
	const char *phase = kube_text(json_object_get(pod, "status"), "phase");

	if (strcmp(kube_text(json_object_get(pod, "metadata"), "uid"), p->uid) != 0 || strcmp(phase, "Failed") == 0 ||
	    strcmp(phase, "Succeeded") == 0)
		return KUBE_POD_GONE;
	if (kube_dig(pod, "metadata.deletionTimestamp"))
		return KUBE_POD_GOING;
	return kube_container_is_same(pod, p) ? 0 : KUBE_POD_RESTARTED;
}

static void make_path(const struct kube_place *p, char *out, size_t room)
{
	char field[300];

	snprintf(field, sizeof(field), "metadata.name=%s", p->pod);
	kube_path(out, room, "/api/v1/namespaces/%s/pods?fieldSelector=%s", p->namespace, field);
}

int kube_pod_look(struct kube *k, const struct kube_place *p)
{
	struct kube_call c = { 0 };
	struct error err = { 0 };
	int news = -1;

	make_path(p, c.path, sizeof(c.path));
	if (kube_perform(k, &c, 1, &err) == 0 && kube_call_succeeded(&c)) {
		const json_t *items = json_object_get(c.answer, "items");

		news = json_array_size(items) ? news_of(p, json_array_get(items, 0)) : KUBE_POD_GONE;
		kube_call_fini(&c);
		return news;
	}
	if (error_is_set(&err))
		return -1;
	kube_call_fini(&c); /* whose target is a pod may know that one alone */
	kube_path(c.path, sizeof(c.path), "/api/v1/namespaces/%s/pods/%s", p->namespace, p->pod);
	if (kube_perform(k, &c, 1, &err) < 0)
		return -1;
	if (kube_call_succeeded(&c))
		news = news_of(p, c.answer);
	else if (c.status == 404)
		news = KUBE_POD_GONE;
	kube_call_fini(&c);
	return news;
}

/* Returns whether that was the last one. */
static bool tell(struct pod_watch *w, int news)
{
	char byte = (char)news;

	if (news == KUBE_POD_RESTARTED)
		return false;
	if (news > 0 && news != w->told && send(w->fd, &byte, 1, MSG_NOSIGNAL) < 0)
		_exit(0);
	if (news > 0)
		w->told = news;
	return news == KUBE_POD_GONE;
}

static int on_pod(void *arg, const char *type, json_t *object, struct error *err)
{
	struct pod_watch *w = arg;

	return tell(w, strcmp(type, "DELETED") == 0 ? KUBE_POD_GONE : news_of(w->place, object));
}

/* stderr is the program's: who waits for its end isn't to wait for us. */
static _Noreturn void run(struct kube *k, const struct kube_place *p, enum log_level level, int fds[2])
{
	struct pod_watch w = { .kube = k, .place = p };
	struct kube_watch watch = { .on_object = on_pod, .arg = &w };
	struct error err = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd_drop_stderr();
	log_init("mirrord-pod", level, fds[1] >= 0 ? fds[1] : STDERR_FILENO);
	w.fd = fds[0];
	if (kube_after_fork(k) < 0)
		_exit(1);
	kube_set_cancel(w.kube, w.fd);
	make_path(p, watch.path, sizeof(watch.path));
	while (!tell(&w, kube_pod_look(w.kube, p))) {
		struct pollfd reader = { .fd = w.fd };

		err = (struct error){ 0 };
		if (kube_watch(w.kube, &watch, 1, WATCH_MS, &err) >= 0)
			continue;
		log_debug("kube: watch the pod: %s", err.text);
		if (poll(&reader, 1, LOOK_AGAIN_MS) > 0)
			break;
	}
	_exit(0);
}

int kube_pod_watch_start(struct kube *k, const struct kube_place *p, enum log_level level, int log_fd, int *ret_fd, struct error *err)
{
	int kept[] = { -1, log_fd };
	pid_t pid = fd_fork_connected("mirrord-pod", SOCK_STREAM, kept, 2, ret_fd);

	if (pid == 0)
		run(k, p, level, kept);
	return pid < 0 ? error_set(err, errno, "watch the pod") : 0;
}
