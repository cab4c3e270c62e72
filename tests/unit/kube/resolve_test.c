// SPDX-License-Identifier: MIT
/* Which pod of a list, which container of a pod, and selectors as text. */
#include "kube/resolve.h"

#include <stdlib.h>

#include "kube/kinds.h"
#include "tap.h"

#define RUNNING(name, ready)                                                                                           \
	"{\"name\":\"" name "\",\"ready\":" ready ",\"containerID\":\"containerd://id-of-" name                        \
	"\",\"state\":{\"running\":{}}}"
#define WAITING(name)                                                                                                  \
	"{\"name\":\"" name "\",\"ready\":false,\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}}"
#define POD(meta, containers, statuses)                                                                                \
	"{\"metadata\":{\"name\":\"p\"" meta "},\"spec\":{\"containers\":[" containers                                 \
	"]},\"status\":{\"phase\":\"Running\","                                                                        \
	"\"containerStatuses\":[" statuses "]}}"
#define C(name) "{\"name\":\"" name "\"}"

static const struct {
	const char *name, *pod, *wanted, *container, *error; /* parts that must be there */
} pods[] = {
	{ "the only one", POD("", C("app"), RUNNING("app", "true")), "", "app", NULL },
	{ "the first", POD("", C("app") "," C("cache"), RUNNING("cache", "true") "," RUNNING("app", "true")), "", "app", NULL },
	{ "the one that is named", POD("", C("app") "," C("cache"), RUNNING("app", "true") "," RUNNING("cache", "true")), "cache", "cache",
	  NULL },
	{ "kubectl's default",
	  POD(",\"annotations\":{\"kubectl.kubernetes.io/default-container\":\"cache\"}", C("app") "," C("cache"),
	      RUNNING("app", "true") "," RUNNING("cache", "true")),
	  "", "cache", NULL },
	{ "a default that isn't there",
	  POD(",\"annotations\":{\"kubectl.kubernetes.io/default-container\":\"x\"}", C("app"), RUNNING("app", "true")), "", "app", NULL },
	{ "not the mesh's", POD("", C("istio-proxy") "," C("app"), RUNNING("istio-proxy", "true") "," RUNNING("app", "true")), "", "app",
	  NULL },
	{ "the mesh's when there is no other", POD("", C("istio-proxy"), RUNNING("istio-proxy", "true")), "", "istio-proxy", NULL },
	{ "one that isn't there", POD("", C("app") "," C("cache"), RUNNING("app", "true")), "web", NULL, "no container called \"web\"" },
	{ "one that isn't there, nor any status", POD("", C("app"), ""), "web", NULL, "no container called \"web\"" },
	{ "one whose pod has no node",
	  "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[" C("app") "]},\"status\":{\"phase\":\"Pending\",\"conditions\":[{\"type\":"
	  "\"PodScheduled\",\"status\":\"False\",\"reason\":\"Unschedulable\",\"message\":\"0/2 nodes\"}]}}",
	  "", NULL, "container app of pod p is not running: Unschedulable: 0/2 nodes" },
	{ "one that was evicted",
	  "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[" C("app") "]},\"status\":{\"phase\":\"Failed\",\"reason\":\"Evicted\","
	  "\"message\":\"low on memory\"}}",
	  "", NULL, "container app of pod p is not running: Evicted: low on memory" },
	{ "one that has ended",
	  POD("", C("app"),
	      "{\"name\":\"app\",\"state\":{\"terminated\":{\"reason\":\"Completed\",\"exitCode\":0}},\"containerID\":\"containerd://x\"}"),
	  "", NULL, "container app of pod p is not running: it ended (Completed, status 0)" },
	{ "one that crashes", POD("", C("app"), WAITING("app")), "", NULL, "container app of pod p is not running: CrashLoopBackOff" },
};

static void test_containers(void)
{
	for (size_t i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
		struct kube_place p = { 0 };
		struct error err = { 0 };
		json_t *pod = json_loads(pods[i].pod, 0, NULL);
		char id[100];

		tap_int(kube_choose_container(pod, pods[i].wanted, &p, &err), pods[i].container ? 0 : -1, "%s", pods[i].name);
		if (pods[i].container) {
			snprintf(id, sizeof(id), "id-of-%s", pods[i].container);
			tap_str(p.container, pods[i].container, "%s: its name", pods[i].name);
			tap_str(p.container_id, id, "%s: its id", pods[i].name);
		} else {
			tap_ok(strstr(err.text, pods[i].error), "%s: %s", pods[i].name, err.text);
		}
		json_decref(pod);
	}
}

#define NAMED(name, meta, status)                                                                                                          \
	"{\"metadata\":{\"name\":\"" name "\"" meta                                                                                        \
	"},\"spec\":{\"containers\":[" C("app") "]},\"status\":{\"containerStatuses\":[" status "]}}"

static const struct {
	const char *what, *items, *chosen; /* NULL: none */
} lists[] = {
	{ "no pods", "", NULL },
	{ "the first of two", NAMED("a", "", RUNNING("app", "true")) "," NAMED("b", "", RUNNING("app", "true")), "a" },
	{ "the one that is ready", NAMED("a", "", RUNNING("app", "false")) "," NAMED("b", "", RUNNING("app", "true")), "b" },
	{ "one that runs", NAMED("a", "", WAITING("app")) "," NAMED("b", "", RUNNING("app", "false")), "b" },
	{ "none runs", NAMED("a", "", WAITING("app")) "," NAMED("b", "", ""), NULL },
	{ "not one that is being deleted",
	  NAMED("a", ",\"deletionTimestamp\":\"x\"", RUNNING("app", "true")) "," NAMED("b", "", RUNNING("app", "false")), "b" },
};

static void test_lists(void)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		char text[2000];
		json_t *list, *pod;
		const char *name;

		snprintf(text, sizeof(text), "{\"items\":[%s]}", lists[i].items);
		list = json_loads(text, 0, NULL);
		pod = kube_choose_pod(list, "");
		name = json_string_value(json_object_get(json_object_get(pod, "metadata"), "name"));
		tap_ok(lists[i].chosen ? name && strcmp(name, lists[i].chosen) == 0 : !pod, "%s: %s", lists[i].what, name ? name : "none");
		json_decref(list);
	}
}

static const struct {
	const char *selector, *text;
} selectors[] = {
	{ "{\"matchLabels\":{\"app\":\"web\"}}", "app=web" },
	{ "{\"matchLabels\":{\"app\":\"web\",\"a.b/tier\":\"\"}}", "app=web,a.b/tier=" },
	{ "{\"matchExpressions\":[{\"key\":\"tier\",\"operator\":\"In\",\"values\":[\"a\",\"b\"]}]}", "tier in (a,b)" },
	{ "{\"matchLabels\":{\"app\":\"web\"},\"matchExpressions\":[{\"key\":\"x\",\"operator\":\"NotIn\",\"values\":[\"a\"]},"
	  "{\"key\":\"y\",\"operator\":\"Exists\"},{\"key\":\"z\",\"operator\":\"DoesNotExist\"}]}",
	  "app=web,x notin (a),y,!z" },
	{ "{}", "" },
};

static void test_selectors(void)
{
	for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
		json_t *selector = json_loads(selectors[i].selector, 0, NULL);
		char text[200], cut[8];

		kube_selector_print(selector, text, sizeof(text));
		tap_str(text, selectors[i].text, "%s", selectors[i].selector);
		kube_selector_print(selector, cut, sizeof(cut));
		tap_ok(strlen(cut) < sizeof(cut), "cut where there is no room");
		json_decref(selector);
	}
}

static void test_paths(void)
{
	char path[1024], little[12];

	kube_kind_path(path, TARGET_DEPLOYMENT, "shop", "web");
	tap_str(path, "/apis/apps/v1/namespaces/shop/deployments/web", "a deployment");
	kube_kind_path(path, TARGET_POD, "shop", NULL);
	tap_str(path, "/api/v1/namespaces/shop/pods", "all pods");
	kube_path(path, sizeof(path), "/x/%s?labelSelector=%s", "a/b", "app in (a,b)&c=ü");
	tap_str(path, "/x/a%2Fb?labelSelector=app%20in%20%28a%2Cb%29%26c%3D%C3%BC", "what is put in is escaped");
	kube_path(little, sizeof(little), "/x/%s/y", "aaaaaaaaaaaaaaaaaaaaaaa");
	tap_ok(strlen(little) < sizeof(little), "what is too long is cut: %s", little);
}

int main(void)
{
	test_containers();
	test_lists();
	test_selectors();
	test_paths();
	return tap_done();
}
