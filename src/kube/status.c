// SPDX-License-Identifier: MIT
/* Kubernetes' errors. The forbidden verb and resource stand in the message alone, whose wording is as old as RBAC. */
#include "kube/status.h"

#include <stdio.h>
#include <string.h>

/* Copies what stands between @before and the next quotation mark. */
static int between(const char *text, const char *before, char *out, size_t room)
{
	const char *at = strstr(text, before), *end = at ? strchr(at + strlen(before), '"') : NULL;

	if (!end || (size_t)(end - at) - strlen(before) >= room)
		return -1;
	at += strlen(before);
	memcpy(out, at, (size_t)(end - at));
	out[end - at] = '\0';
	return 0;
}

int kube_refusal_parse(const char *message, struct kube_refusal *ret)
{
	struct kube_refusal r = { 0 };
	const char *verb = strstr(message, " cannot ");

	if (!verb || sscanf(verb, " cannot %31[a-z] resource", r.verb) != 1 || between(verb, " resource \"", r.resource, sizeof(r.resource)) < 0 ||
	    between(verb, " in API group \"", r.group, sizeof(r.group)) < 0)
		return -1;
	if (between(verb, " in the namespace \"", r.namespace, sizeof(r.namespace)) < 0 && !strstr(verb, "at the cluster scope"))
		return -1;
	*ret = r;
	return 0;
}

int kube_refusal_hint(const struct kube_refusal *r, struct error *err)
{
	return error_hint(err,
			  "this rule in a %s%s allows it (docs/permissions.md has all that mirrord needs):\n"
			  "    - apiGroups: [\"%s\"]\n      resources: [\"%s\"]\n      verbs: [\"%s\"]",
			  r->namespace[0] ? "Role of namespace " : "ClusterRole", r->namespace, r->group, r->resource, r->verb);
}

bool kube_status_is_denial(const char *message)
{
	return message && (strstr(message, " denied the request") || strstr(message, " denied request: "));
}

int kube_status_hint_denial(struct error *err)
{
	return error_hint(err, "an admission rule of the cluster forbids it: who runs the cluster knows which");
}

static int hint_forbidden(const char *message, struct error *err)
{
	struct kube_refusal r;

	if (strstr(message, "exceeded quota"))
		return error_hint(err, "the namespace's ResourceQuota is used up (`kubectl describe quota`); agent.namespace puts the agent "
				       "elsewhere");
	if (strstr(message, "violates PodSecurity"))
		return error_hint(err, "Pod Security of that namespace forbids such a pod: agent.namespace names one that allows it, or "
				       "agent.ephemeral puts the agent into the target's pod; docs/permissions.md says what each way needs");
	if (kube_refusal_parse(message, &r) < 0)
		return kube_status_hint_denial(err);
	return kube_refusal_hint(&r, err);
}

int kube_status_refuse(long status, const json_t *answer, const char *origin, const char *what, struct error *err)
{
	const char *message = json_string_value(json_object_get(answer, "message"));
	char line[700];

	snprintf(line, sizeof(line), "%s", message ? message : "");
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' && *c != '\n')
			*c = ' ';
	if (message)
		error_set(err, 0, "%s: %s", what, line);
	else if (status >= 200 && status < 300)
		error_set(err, 0, "%s: the server answers with something else than JSON", what);
	else
		error_set(err, 0, "%s: the server answers with HTTP status %ld", what, status);
	if (!message && status < 500 && status != 401 && status != 429)
		return error_hint(err, "Kubernetes answers otherwise: is something else at the address that %s has, or in between (a proxy, a "
				       "login page)?", origin);
	switch (status) {
	case 401:
		return error_hint(err,
				  "the cluster doesn't know who asks: the credentials of %s are wrong or have expired; log in again as for kubectl",
				  origin);
	case 403:
		return hint_forbidden(line, err);
	case 404:
		return error_hint(err, "that is %s; --context and --target-namespace name others", origin);
	case 429:
		return error_hint(err, "the cluster is too busy, and was asked several times; try again later");
	default:
		if (kube_status_is_denial(message))
			return kube_status_hint_denial(err);
		return status >= 500 ? error_hint(err, "the cluster has a problem of its own; `kubectl get --raw /readyz` says more") : -1;
	}
}
