// SPDX-License-Identifier: MIT
/* From a target's name to the pod and the container that are meant. */
#pragma once

#include "kube/client.h"
#include "target/target.h"

/* Where the agent is to go. Of targetless, the namespace alone. */
struct kube_place {
	char namespace[64], pod[254], uid[64], node[254], container[64];
	char container_id[128]; /* without "containerd://" */
	bool ready;		/* the container is */
	json_t *object;		/* the pod, owned */
};

/* Finds @t in namespace @namespace: a pod that is ready, else one that runs, and in it the container that was named, else the one that
 * kubectl would take (annotation kubectl.kubernetes.io/default-container), else the first that is no side-car of a mesh. Returns 0, or -1
 * with @err, which lists what there is. */
int kube_resolve(struct kube *k, const struct target *t, const char *namespace, struct kube_place *ret, struct error *err);
void kube_place_fini(struct kube_place *p);

/* The container of @pod to go into; "" chooses. Returns 0, or -1 with @err. */
int kube_choose_container(const json_t *pod, const char *wanted, struct kube_place *p, struct error *err);
/* What @pod's specification says of the container; one that runs beside the others all the time may stand among those that start before them.
 * NULL without one. */
const json_t *kube_container(const json_t *pod, const char *name);
/* Whether a container of that name is a mesh's or the like, or ours: nobody's target unless it is named. */
bool kube_is_sidecar(const char *name);
/* Whether the container that @p names runs in @pod as it did when @p was found: it wasn't started anew. */
bool kube_container_is_same(const json_t *pod, const struct kube_place *p);
/* Its container runs, the one that is named or else the one to be chosen, and it isn't being deleted. */
bool kube_pod_runs(const json_t *pod, const char *container);
/* The collection of the pods that @t selects, for a list or a watch. Not for a pod, nor for targetless. Returns 0, or -1 with @err. */
int kube_pods_path(struct kube *k, const struct target *t, const char *namespace, char ret[1024], struct error *err);
/* The best of a PodList; NULL when none runs. */
json_t *kube_choose_pod(const json_t *list, const char *container);
