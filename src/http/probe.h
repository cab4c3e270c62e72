// SPDX-License-Identifier: MIT
/* Is a connection one of the kubelet's probes? By what its client says first. Pure; bytes are given from the start each time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/request.h"

/* What the kubelet may ask a port, as a set; on the wire as well (SUBSCRIBE). */
enum { PROBE_HTTP = 1, PROBE_HTTPS = 2, PROBE_GRPC = 4, PROBE_TCP = 8 };

enum probe { PROBE_MORE, PROBE_NO, PROBE_YES, PROBE_STREAMS };

/* An HTTP probe says who it is, wherever it comes from. The others don't, before they are answered: they are the kubelet's when they come
 * @from_node and look like it. A TCP probe ends without a word; one by HTTPS asks for no server name. PROBE_STREAMS: HTTP/2, whose
 * requests will say it. PROBE_MORE only while nothing is known; @ended: no more will come. */
enum probe probe_look(unsigned int kinds, bool from_node, const uint8_t *data, size_t len, bool ended);
enum { PROBE_LOOK = 8 << 10 }; /* more bytes than that are not needed */

/* Does the request say that the kubelet asks? */
bool probe_is_request(const struct http_request *r);
