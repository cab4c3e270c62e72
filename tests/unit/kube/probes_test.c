// SPDX-License-Identifier: MIT
/* Probes of a pod as words. */
#include "kube/probes.h"

#include "tap.h"

#define POD(containers) "{\"spec\":{\"containers\":[" containers "]}}"

static const struct {
	const char *name, *pod, *text;
} rows[] = {
	{ "none", POD("{\"name\":\"a\"}"), "" },
	{ "by number", POD("{\"readinessProbe\":{\"httpGet\":{\"path\":\"/ready\",\"port\":8080}}}"), "8080 (GET /ready)" },
	{ "without a path", POD("{\"livenessProbe\":{\"httpGet\":{\"port\":80}}}"), "80 (GET /)" },
	{ "by name", POD("{\"ports\":[{\"name\":\"m\",\"containerPort\":1},{\"name\":\"http\",\"containerPort\":8080}],"
			 "\"readinessProbe\":{\"httpGet\":{\"path\":\"/r\",\"port\":\"http\"}}}"),
	  "8080 (GET /r)" },
	{ "by a name that isn't there", POD("{\"readinessProbe\":{\"tcpSocket\":{\"port\":\"http\"}}}"), "" },
	{ "of each kind", POD("{\"readinessProbe\":{\"grpc\":{\"port\":9000}},\"livenessProbe\":{\"tcpSocket\":{\"port\":5432}},"
			      "\"startupProbe\":{\"exec\":{\"command\":[\"true\"]}}}"),
	  "9000 (gRPC), 5432 (TCP)" },
	{ "the same twice", POD("{\"readinessProbe\":{\"tcpSocket\":{\"port\":1}},\"livenessProbe\":{\"tcpSocket\":{\"port\":1}}}"), "1 (TCP)" },
	{ "of two containers", POD("{\"readinessProbe\":{\"tcpSocket\":{\"port\":1}}},{\"livenessProbe\":{\"tcpSocket\":{\"port\":2}}}"),
	  "1 (TCP), 2 (TCP)" },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *pod = json_loads(rows[i].pod, 0, NULL);
		char text[200], little[8];

		kube_probes_print(pod, text, sizeof(text));
		tap_str(text, rows[i].text, "%s", rows[i].name);
		kube_probes_print(pod, little, sizeof(little));
		tap_ok(strlen(little) < sizeof(little), "%s: in a small place", rows[i].name);
		json_decref(pod);
	}
	return tap_done();
}
