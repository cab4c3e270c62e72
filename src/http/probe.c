// SPDX-License-Identifier: MIT
/* The kubelet's clients: Go's net/http ("User-Agent: kube-probe/1.37", which a probe's httpHeaders may replace), grpc-go (the same), and a
 * connect(2). */
#include "http/probe.h"

#include <strings.h>

#include "http/h1.h"
#include "http/sniff.h"

bool probe_is_request(const struct http_request *r)
{
	static const char agent[] = "kube-probe/";

	for (size_t i = 0; i < r->n_fields; i++) {
		struct span value = http_field_value(&r->fields[i]);

		if (span_is(http_field_name(&r->fields[i]), "user-agent"))
			return value.len >= sizeof(agent) - 1 && strncasecmp(value.at, agent, sizeof(agent) - 1) == 0;
	}
	return false;
}

static enum probe look_http1(const uint8_t *data, size_t len)
{
	static struct h1_view view; /* large */
	struct h1_scan scan = { 0 };
	struct h1_message m;
	ssize_t n = h1_find_head(&scan, data, len);

	if (n == 0)
		return len < PROBE_LOOK ? PROBE_MORE : PROBE_NO;
	if (n < 0 || h1_parse_request(data, (size_t)n, &m, &view) < 0)
		return PROBE_NO;
	return probe_is_request(&view.request) ? PROBE_YES : PROBE_NO;
}

static enum probe look_tls(const uint8_t *data, size_t len)
{
	static struct tls_hello hello;
	int r = sniff_tls_hello(data, len, &hello);

	if (r == 0)
		return len < PROBE_LOOK ? PROBE_MORE : PROBE_NO;
	return r > 0 && !hello.sni.len ? PROBE_YES : PROBE_NO;
}

static enum probe look(unsigned int kinds, bool from_node, const uint8_t *data, size_t len)
{
	switch (sniff_client(data, len)) {
	case SNIFF_MORE:
		return len < PROBE_LOOK ? PROBE_MORE : PROBE_NO;
	case SNIFF_HTTP1:
		return kinds & PROBE_HTTP ? look_http1(data, len) : PROBE_NO;
	case SNIFF_HTTP2:
		return kinds & PROBE_GRPC && from_node ? PROBE_STREAMS : PROBE_NO;
	case SNIFF_TLS:
		return kinds & PROBE_HTTPS && from_node ? look_tls(data, len) : PROBE_NO;
	case SNIFF_NEITHER:
		break;
	}
	return PROBE_NO;
}

enum probe probe_look(unsigned int kinds, bool from_node, const uint8_t *data, size_t len, bool ended)
{
	enum probe p = look(kinds, from_node, data, len);

	if (len == 0 && ended)
		return kinds & PROBE_TCP && from_node ? PROBE_YES : PROBE_NO;
	return p == PROBE_MORE && ended ? PROBE_NO : p;
}
