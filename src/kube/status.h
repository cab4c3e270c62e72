// SPDX-License-Identifier: MIT
/* Kubernetes' errors: its own words, what they mean for us, and the RBAC rule that would allow it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

/* What was forbidden, as the API server words it. */
struct kube_refusal {
	char verb[32], resource[128], group[128], namespace[64]; /* namespace "": of the whole cluster */
};

/* Reads `User "dev" cannot create resource "pods/exec" in API group "" in the namespace "shop"`. Returns 0, or -1 when it isn't worded so. */
int kube_refusal_parse(const char *message, struct kube_refusal *ret);
/* Advises the rule that would allow it. Returns -1. */
int kube_refusal_hint(const struct kube_refusal *r, struct error *err);
/* Whether an admission rule (a webhook, a policy) says so; the advice then. Returns -1. */
bool kube_status_is_denial(const char *message);
int kube_status_hint_denial(struct error *err);
/* An HTTP status with its Status object (or NULL) as an error: "what: message", and a hint. Returns -1. */
int kube_status_refuse(long status, const json_t *answer, const char *origin, const char *what, struct error *err);
