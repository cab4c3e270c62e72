// SPDX-License-Identifier: MIT
/* Kubernetes' errors as it words them, and the rule to paste. */
#include "kube/status.h"

#include "tap.h"

static const struct {
	const char *message; /* NULL verb: it is not worded so */
	const char *verb, *resource, *group, *namespace;
} refusals[] = {
	{ "pods is forbidden: User \"dev\" cannot list resource \"pods\" in API group \"\" in the namespace \"shop\"", "list", "pods", "",
	  "shop" },
	{ "jobs.batch is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"x\"",
	  "create", "jobs", "batch", "x" },
	{ "pods \"web-1\" is forbidden: User \"dev\" cannot get resource \"pods/exec\" in API group \"\" in the namespace \"shop\": RBAC: no role",
	  "get", "pods/exec", "", "shop" },
	{ "nodes is forbidden: User \"dev\" cannot list resource \"nodes\" in API group \"\" at the cluster scope", "list", "nodes", "",
	  "" },
	{ "pods \"x\" is forbidden: exceeded quota: small, requested: pods=1", NULL, NULL, NULL, NULL },
	{ "admission webhook \"policy\" denied the request: cannot list resource", NULL, NULL, NULL, NULL },
	{ "User \"a\" cannot list resource \"pods", NULL, NULL, NULL, NULL },
	{ "", NULL, NULL, NULL, NULL },
};

static void test_refusals(void)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct kube_refusal r = { 0 };

		if (!refusals[i].verb) {
			tap_int(kube_refusal_parse(refusals[i].message, &r), -1, "row %zu: is none", i);
			continue;
		}
		tap_int(kube_refusal_parse(refusals[i].message, &r), 0, "row %zu", i);
		tap_str(r.verb, refusals[i].verb, "row %zu: verb", i);
		tap_str(r.resource, refusals[i].resource, "row %zu: resource", i);
		tap_str(r.group, refusals[i].group, "row %zu: group", i);
		tap_str(r.namespace, refusals[i].namespace, "row %zu: namespace", i);
	}
}

static const struct {
	long status;
	const char *message, *text, *hint;
} statuses[] = {
	{ 403, "jobs.batch is forbidden: User \"dev\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"shop\"",
	  "try: jobs.batch is forbidden: User \"dev\" cannot create",
	  "in a Role of namespace shop allows it (docs/permissions.md has all that mirrord needs):\n    - apiGroups: [\"batch\"]\n"
	  "      resources: [\"jobs\"]\n      verbs: [\"create\"]" },
	{ 403, "nodes is forbidden: User \"dev\" cannot list resource \"nodes\" in API group \"\" at the cluster scope", "nodes",
	  "in a ClusterRole allows" },
	{ 403, "pods \"x\" is forbidden: exceeded quota: small", "exceeded quota", "ResourceQuota" },
	{ 403, "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": hostPID", "hostPID", "Pod Security" },
	{ 403, "admission webhook \"policy\" denied the request: no", "denied the request", "admission rule" },
	{ 400, "admission webhook \"policy\" denied the request without explanation", "without explanation", "admission rule" },
	{ 422, "The jobs \"x\" is invalid: : ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no", "denied request: no",
	  "admission rule" },
	{ 401, "Unauthorized", "try: Unauthorized", "context dev of file are wrong or have expired" },
	{ 404, "namespaces \"x\" not found", "try: namespaces \"x\" not found", "--target-namespace" },
	{ 429, "too many requests", "too many", "busy" },
	{ 500, "etcd\tis\x1bgone", "try: etcd is gone", "/readyz" },
	{ 502, NULL, "try: the server answers with HTTP status 502", "/readyz" },
	{ 200, NULL, "try: the server answers with something else than JSON", "context dev of file" },
	{ 302, NULL, "try: the server answers with HTTP status 302", "login page" },
	{ 403, NULL, "try: the server answers with HTTP status 403", "a proxy" },
	{ 401, NULL, "try: the server answers with HTTP status 401", "log in again" },
	{ 409, "already exists", "try: already exists", "" },
};

static void test_statuses(void)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		json_t *answer = statuses[i].message ? json_pack("{s:s}", "message", statuses[i].message) : NULL;
		struct error err = { 0 };

		tap_int(kube_status_refuse(statuses[i].status, answer, "context dev of file", "try", &err), -1, "status %ld",
			statuses[i].status);
		tap_ok(strstr(err.text, statuses[i].text), "status %ld: says %s", statuses[i].status, err.text);
		tap_ok(strstr(err.hint, statuses[i].hint), "status %ld: advises %s", statuses[i].status, err.hint);
		json_decref(answer);
	}
}

int main(void)
{
	test_refusals();
	test_statuses();
	return tap_done();
}
