// SPDX-License-Identifier: MIT
/* What we may do (SelfSubjectAccessReview). */
#pragma once

#include "kube/client.h"

/* Makes @c the question; its body is to be released with json_decref(). @resource may have a subresource: "pods/exec". */
void kube_ask_access(struct kube_call *c, const char *namespace, const char *group, const char *resource, const char *verb);
/* The answer. What could not be asked counts as allowed: the attempt will tell. */
bool kube_may(const struct kube_call *c);
