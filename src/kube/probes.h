// SPDX-License-Identifier: MIT
/* The kubelet's probes of a pod. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"

enum { KUBE_PROBED_PORTS = 32, KUBE_NODE_ADDRESSES = 8 };

struct kube_probes {
	struct kube_probed_port {
		uint16_t port;
		uint8_t kinds; /* a set of PROBE_… (http/probe.h) */
	} ports[KUBE_PROBED_PORTS];
	size_t n;
	struct ip nodes[KUBE_NODE_ADDRESSES]; /* of the node, whose kubelet asks */
	size_t n_nodes;
};

/* Probes that run a command in the container are no business of the network's. */
void kube_probes_read(const json_t *pod, struct kube_probes *ret);
/* The ports that are probed and how, as words: "8080 (GET /ready), 9000 (TCP)"; "" when there are none. */
void kube_probes_print(const json_t *pod, char *out, size_t room);
