// SPDX-License-Identifier: MIT
/* The pods are watched for a while, then what selects them is asked for again: a watch begins with all that there are. Where nothing may be
 * watched they are listed. */
#include "kube/replicas.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "kube/json.h"
#include "kube/open.h"
#include "kube/resolve.h"

enum { ROUND_MS = 10000, PAUSE_MS = 2000 };

struct replicas {
	const struct kube_replicas_options *options;
	struct kube *kube;
	const char *namespace;
	int fd;
};

bool kube_has_replicas(const struct target *t)
{
	return target_is_in_cluster(t) && t->kind != TARGET_POD && t->kind != TARGET_TARGETLESS;
}

static void tell(struct replicas *r, const json_t *pod)
{
	const json_t *metadata = json_object_get(pod, "metadata");
	struct kube_replica m = { 0 };

	if (!kube_pod_runs(pod, r->options->target->container))
		return;
	snprintf(m.pod, sizeof(m.pod), "%s", kube_text(metadata, "name"));
	snprintf(m.uid, sizeof(m.uid), "%s", kube_text(metadata, "uid"));
	if (send(r->fd, &m, sizeof(m), MSG_NOSIGNAL) < 0)
		_exit(0);
}

static int on_pod(void *arg, const char *type, json_t *pod, struct error *err)
{
	if (strcmp(type, "DELETED") != 0)
		tell(arg, pod);
	return 0;
}

static int list_once(struct replicas *r, const char *path, struct error *err)
{
	struct kube_call c = { 0 };
	json_t *list, *pod;
	size_t i;

	snprintf(c.path, sizeof(c.path), "%s", path);
	if (kube_do(r->kube, &c, &list, "list the target's pods", err) < 0)
		return -1;
	json_array_foreach(json_object_get(list, "items"), i, pod)
	{
		tell(r, pod);
	}
	json_decref(list);
	return 0;
}

static bool reader_waits(const struct replicas *r, int ms)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };

	return poll(&p, 1, ms) <= 0;
}

static void look(struct replicas *r)
{
	struct kube_watch watch = { .on_object = on_pod, .arg = r };
	struct error err = { 0 }, ignored = { 0 };
	int rc = kube_pods_path(r->kube, r->options->target, r->namespace, watch.path, &err);

	if (rc == 0 && kube_watch(r->kube, &watch, 1, ROUND_MS, &ignored) < 0)
		rc = list_once(r, watch.path, &err);
	else if (rc == 0)
		return;
	if (rc < 0)
		log_debug("kube: %s", err.text);
	reader_waits(r, PAUSE_MS);
}

static _Noreturn void run(const struct kube_replicas_options *o, int fds[2])
{
	struct replicas r = { .options = o };
	struct error err = { 0 };

	signal(SIGCHLD, SIG_DFL); /* the credential plugin's */
	fd_drop_stderr();
	log_init("mirrord-pods", o->log_level, fds[1] >= 0 ? fds[1] : STDERR_FILENO);
	r.fd = fds[0];
	r.kube = kube_open(o->settings, &err);
	if (!r.kube)
		log_warn("kube: the target's pods are not watched: %s", err.text);
	else
		r.namespace = o->settings->namespace ? o->settings->namespace : kube_access_of(r.kube)->namespace;
	if (r.kube)
		kube_set_cancel(r.kube, r.fd);
	while (r.kube && reader_waits(&r, 0))
		look(&r);
	_exit(0);
}

int kube_replicas_start(const struct kube_replicas_options *options, int *ret_fd, struct error *err)
{
	int kept[] = { -1, options->log_fd };
	pid_t pid = fd_fork_connected("mirrord-pods", SOCK_SEQPACKET, kept, 2, ret_fd);

	if (pid == 0)
		run(options, kept);
	return pid < 0 ? error_set(err, errno, "watch the target's pods") : 0;
}
