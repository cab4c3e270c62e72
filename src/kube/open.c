// SPDX-License-Identifier: MIT
/* Opening a cluster. */
#include "kube/open.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

struct kube *kube_open(const struct kube_settings *s, struct error *err)
{
	struct kube_access access;
	int r;

	if (s->directory && chdir(s->directory) < 0)
		log_debug("kube: %s: %s", s->directory, strerror(errno));
	r = kube_access_load(s->kubeconfig, s->context, &access, err);
	if (s->directory)
		(void)!chdir("/"); /* keeps no file system busy */
	if (r < 0)
		return NULL;
	if (s->insecure != CONFIG_UNSET)
		access.insecure = s->insecure;
	access.no_proxy = s->ignore_proxy;
	access.retries = s->retries;
	access.retry_min_ms = s->retry_min_ms;
	access.retry_max_ms = s->retry_max_ms;
	return kube_new(&access, err);
}
