// SPDX-License-Identifier: MIT
/* The kubelet's probes. */
#include "kube/probes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/probe.h"
#include "kube/json.h"

struct probe_of {
	uint16_t port;
	uint8_t kind;
	const char *path; /* of HTTP */
};

typedef void each_probe(void *arg, const struct probe_of *p);

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

static void take(const json_t *container, const json_t *probe, each_probe *each, void *arg)
{
	const json_t *http = json_object_get(probe, "httpGet"), *tcp = json_object_get(probe, "tcpSocket"), *grpc = json_object_get(probe, "grpc");
	bool tls = strcasecmp(kube_text(http, "scheme"), "HTTPS") == 0;
	json_int_t port = port_of(container, json_object_get(http ? http : tcp ? tcp : grpc, "port"));
	const char *path = kube_text_or_null(http, "path");

	if (port > 0 && port <= UINT16_MAX)
		each(arg, &(struct probe_of){ .port = (uint16_t)port,
					      .kind = http ? tls ? PROBE_HTTPS : PROBE_HTTP : tcp ? PROBE_TCP : PROBE_GRPC,
					      .path = path ? path : "/" });
}

static void walk(const json_t *pod, each_probe *each, void *arg)
{
	static const char *const lists[] = { "containers", "initContainers" };
	static const char *const probes[] = { "readinessProbe", "livenessProbe", "startupProbe" };
	json_t *container;
	size_t i;

	for (size_t l = 0; l < 2; l++)
		json_array_foreach(json_object_get(json_object_get(pod, "spec"), lists[l]), i, container)
		{
			for (size_t k = 0; k < sizeof(probes) / sizeof(probes[0]); k++)
				take(container, json_object_get(container, probes[k]), each, arg);
		}
}

static void note(void *arg, const struct probe_of *p)
{
	struct kube_probes *all = arg;
	size_t i = 0;

	while (i < all->n && all->ports[i].port != p->port)
		i++;
	if (i == KUBE_PROBED_PORTS)
		return;
	all->ports[i].port = p->port;
	all->ports[i].kinds |= p->kind;
	all->n += i == all->n;
}

static void note_node(struct kube_probes *all, const char *text)
{
	if (all->n_nodes < KUBE_NODE_ADDRESSES && ip_parse(text, &all->nodes[all->n_nodes]))
		all->n_nodes++;
}

void kube_probes_read(const json_t *pod, struct kube_probes *ret)
{
	const json_t *status = json_object_get(pod, "status"), *all = json_object_get(status, "hostIPs");
	json_t *one;
	size_t i;

	*ret = (struct kube_probes){ 0 };
	walk(pod, note, ret);
	if (json_array_size(all) == 0) /* before Kubernetes 1.29 */
		note_node(ret, kube_text(status, "hostIP"));
	json_array_foreach((json_t *)all, i, one)
	{
		note_node(ret, kube_text(one, "ip"));
	}
}

struct words {
	char *out;
	size_t room;
};

/* One probe, unless the list has it already: readiness and liveness are often the same. */
static void add(void *arg, const struct probe_of *p)
{
	struct words *w = arg;
	size_t n = strlen(w->out);
	char one[300];

	if (p->kind & (PROBE_HTTP | PROBE_HTTPS))
		snprintf(one, sizeof(one), "%u (GET %s%s)", p->port, p->path, p->kind == PROBE_HTTPS ? " by HTTPS" : "");
	else
		snprintf(one, sizeof(one), "%u (%s)", p->port, p->kind == PROBE_TCP ? "TCP" : "gRPC");
	if (!strstr(w->out, one) && n + strlen(one) + 3 < w->room)
		snprintf(w->out + n, w->room - n, "%s%s", n ? ", " : "", one);
}

void kube_probes_print(const json_t *pod, char *out, size_t room)
{
	struct words w = { out, room };

	out[0] = '\0';
	walk(pod, add, &w);
}
