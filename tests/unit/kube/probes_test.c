// SPDX-License-Identifier: MIT
/* Probes of a pod as words. */
#include "kube/probes.h"

#include "http/probe.h"

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
	{ "by HTTPS", POD("{\"livenessProbe\":{\"httpGet\":{\"port\":443,\"scheme\":\"HTTPS\"}}}"), "443 (GET / by HTTPS)" },
	{ "the same twice", POD("{\"readinessProbe\":{\"tcpSocket\":{\"port\":1}},\"livenessProbe\":{\"tcpSocket\":{\"port\":1}}}"), "1 (TCP)" },
	{ "of two containers", POD("{\"readinessProbe\":{\"tcpSocket\":{\"port\":1}}},{\"livenessProbe\":{\"tcpSocket\":{\"port\":2}}}"),
	  "1 (TCP), 2 (TCP)" },
};

static void test_read(void)
{
	static const char text[] = "{\"spec\":{\"containers\":[{\"readinessProbe\":{\"httpGet\":{\"port\":8080}},\"livenessProbe\":{\"tcpSocket\":"
				   "{\"port\":8080}}},{\"readinessProbe\":{\"grpc\":{\"port\":9000}},\"livenessProbe\":{\"httpGet\":{\"port\":443,"
				   "\"scheme\":\"HTTPS\"}},\"startupProbe\":{\"httpGet\":{\"port\":70000}}}]},\"status\":{\"hostIP\":\"10.0.0.1\","
				   "\"hostIPs\":[{\"ip\":\"10.0.0.1\"},{\"ip\":\"fd00::1\"},{\"ip\":\"none\"}]}}";
	json_t *pod = json_loads(text, 0, NULL), *old = json_loads("{\"status\":{\"hostIP\":\"10.0.0.1\"}}", 0, NULL);
	struct kube_probes p;
	char address[IP_TEXT];

	kube_probes_read(pod, &p);
	tap_int(p.n, 3, "ports that are probed");
	tap_ok(p.ports[0].port == 8080 && p.ports[0].kinds == (PROBE_HTTP | PROBE_TCP), "two probes of one port");
	tap_ok(p.ports[1].port == 9000 && p.ports[1].kinds == PROBE_GRPC, "gRPC");
	tap_ok(p.ports[2].port == 443 && p.ports[2].kinds == PROBE_HTTPS, "HTTPS");
	tap_int(p.n_nodes, 2, "addresses of the node");
	tap_str(ip_format(&p.nodes[1], address), "fd00::1", "of both families");
	kube_probes_read(old, &p);
	tap_ok(p.n == 0 && p.n_nodes == 1, "a pod of an older Kubernetes, without probes");
	json_decref(pod);
	json_decref(old);
}

int main(void)
{
	test_read();
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
