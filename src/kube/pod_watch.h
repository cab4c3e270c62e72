// SPDX-License-Identifier: MIT
/* A process that keeps an eye on a pod, so that nobody else has to wait for the cluster. */
#pragma once

#include "base/log.h"
#include "kube/resolve.h"

enum kube_pod_news { KUBE_POD_GOING = 'g', KUBE_POD_GONE = 'd', KUBE_POD_RESTARTED = 'r' };

/* *ret_fd yields a byte for each news, then its end. The process logs to @log_fd (-1: nowhere), and ends with its reader, or with ours.
 * Returns 0, or -1 with @err. */
int kube_pod_watch_start(struct kube *k, const struct kube_place *p, enum log_level level, int log_fd, int *ret_fd, struct error *err);

/* What the cluster says now: a kube_pod_news (the one of the container, too, which the process doesn't tell), or 0: it is there. -1: it isn't
 * known. */
int kube_pod_look(struct kube *k, const struct kube_place *p);
