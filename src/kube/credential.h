// SPDX-License-Identifier: MIT
/* Credential plugins: programs that print a token or a certificate (client.authentication.k8s.io v1 and v1beta1). */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "kube/kubeconfig.h"

struct kube_credential {
	char *token, *cert, *key; /* PEM; NULL: not given */
	time_t expires;		  /* 0: never */
};

/* Runs the plugin of @a (a->exec is there) and waits for it; gives up when @cancel (-1: none) is readable. Its standard error is ours,
 * its standard input too when it is a terminal. Returns 0, or -1 with @err (with the kubeconfig's own hint on how to install it). */
int kube_credential_fetch(const struct kube_access *a, int cancel, struct kube_credential *ret, struct error *err);
/* Whether the plugin wants the terminal, or takes it where there is one. */
bool kube_credential_may_ask(const struct kube_access *a);
/* What the plugin printed. Returns 0, or -1 with @err. */
int kube_credential_parse(const char *text, const char *version, struct kube_credential *ret, struct error *err);
void kube_credential_fini(struct kube_credential *c);
/* Whether it is still good at @now, with ten seconds to spare. */
bool kube_credential_holds(const struct kube_credential *c, time_t now);
