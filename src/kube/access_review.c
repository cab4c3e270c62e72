// SPDX-License-Identifier: MIT
/* Asking for permissions. */
#include "kube/access_review.h"

#include <stdio.h>
#include <string.h>

void kube_ask_access(struct kube_call *c, const char *namespace, const char *group, const char *resource, const char *verb)
{
	const char *slash = strchr(resource, '/');
	char plain[128];

	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(resource, "/"), resource);
	c->method = "POST";
	snprintf(c->path, sizeof(c->path), "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
	c->body = json_pack("{s:s, s:s, s:{s:{s:s, s:s, s:s, s:s, s:s}}}", "apiVersion", "authorization.k8s.io/v1", "kind", "SelfSubjectAccessReview",
			    "spec", "resourceAttributes", "namespace", namespace, "group", group, "resource", plain, "subresource",
			    slash ? slash + 1 : "", "verb", verb);
}

bool kube_may(const struct kube_call *c)
{
	const json_t *status = json_object_get(c->answer, "status");

	return !kube_call_succeeded(c) || !status || json_is_true(json_object_get(status, "allowed"));
}
