// SPDX-License-Identifier: MIT
/* Opening a cluster. */
#include "kube/open.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "kube/connection.h"
#include "kube/credential.h"

static int load(const struct kube_settings *s, struct kube_access *ret, struct error *err)
{
	if (kube_access_load(s->kubeconfig, s->context, ret, err) < 0)
		return -1;
	if (s->insecure != CONFIG_UNSET)
		ret->insecure = s->insecure;
	ret->no_proxy = s->ignore_proxy;
	ret->retries = s->retries;
	ret->retry_min_ms = s->retry_min_ms;
	ret->retry_max_ms = s->retry_max_ms;
	return 0;
}

int kube_let_ask(struct kube_settings *s, struct error *err)
{
	struct kube_access access;
	int r = 0;

	if (!isatty(STDIN_FILENO) || kube_credential_holds(&s->credential, time(NULL)))
		return 0;
	if (load(s, &access, err) < 0)
		return -1;
	kube_credential_fini(&s->credential);
	if (access.exec && !access.token && kube_credential_may_ask(&access))
		r = kube_credential_fetch(&access, -1, &s->credential, err);
	kube_access_fini(&access);
	return r;
}

struct kube *kube_open(const struct kube_settings *s, struct error *err)
{
	struct kube_access access;
	struct kube *k;
	int r;

	if (s->directory && chdir(s->directory) < 0)
		log_debug("kube: %s: %s", s->directory, strerror(errno));
	r = load(s, &access, err);
	if (s->directory)
		(void)!chdir("/"); /* keeps no file system busy */
	k = r < 0 ? NULL : kube_new(&access, err);
	if (k)
		kube_use_credential(k, &s->credential);
	return k;
}
