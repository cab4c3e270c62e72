// SPDX-License-Identifier: MIT
/* The kubelet's probes. */
#include "kube/probes.h"

#include <stdio.h>
#include <string.h>

/* A port is a number, or the name that the container gives it. 0: neither. */
static json_int_t port_of(const json_t *container, const json_t *port)
{
	json_t *declared;
	size_t i;

	if (json_is_integer(port))
		return json_integer_value(port);
	json_array_foreach(json_object_get(container, "ports"), i, declared)
	{
		if (json_is_string(port) && json_equal(json_object_get(declared, "name"), port))
			return json_integer_value(json_object_get(declared, "containerPort"));
	}
	return 0;
}

/* One probe, unless the list has it already: readiness and liveness are often the same. */
static void add(const json_t *container, const json_t *probe, char *out, size_t room)
{
	const json_t *http = json_object_get(probe, "httpGet"), *tcp = json_object_get(probe, "tcpSocket"), *grpc = json_object_get(probe, "grpc");
	const json_t *kind = http ? http : tcp ? tcp : grpc;
	json_int_t port = port_of(container, json_object_get(kind, "port"));
	const char *path = json_string_value(json_object_get(http, "path"));
	size_t n = strlen(out);
	char one[300];

	snprintf(one, sizeof(one), "%lld (%s%s)", (long long)port, http ? "GET " : tcp ? "TCP" : "gRPC", http ? path ? path : "/" : "");
	if (port > 0 && !strstr(out, one) && n + strlen(one) + 3 < room)
		snprintf(out + n, room - n, "%s%s", n ? ", " : "", one);
}

void kube_probes_print(const json_t *pod, char *out, size_t room)
{
	static const char *const lists[] = { "containers", "initContainers" };
	static const char *const probes[] = { "readinessProbe", "livenessProbe", "startupProbe" };
	json_t *container;
	size_t i;

	out[0] = '\0';
	for (size_t l = 0; l < 2; l++)
		json_array_foreach(json_object_get(json_object_get(pod, "spec"), lists[l]), i, container)
		{
			for (size_t k = 0; k < sizeof(probes) / sizeof(probes[0]); k++)
				add(container, json_object_get(container, probes[k]), out, room);
		}
}
