// SPDX-License-Identifier: MIT
/* Subscriptions: there and back, cut at every place, what is refused; and where a connection goes. */
#include "tunnel/subscription.h"

#include <netinet/in.h>

#include "net/bytes.h"

#include "guard.h"
#include "tap.h"

static struct endpoint endpoint(const char *ip, uint16_t port)
{
	struct endpoint e = { .port = port };

	if (!ip_parse(ip, &e.ip))
		abort();
	return e;
}

static struct subscription example(size_t listeners, char *filter)
{
	struct subscription s = { .id = 0xfffffffe,
				  .protocol = IPPROTO_UDP,
				  .port = 8080,
				  .mode = SUBSCRIPTION_STEAL,
				  .on_concurrent = CONCURRENT_OVERRIDE,
				  .flush = true,
				  .http_filter = filter,
				  .http_options = filter ? strdup("{\"inject_headers\":true}") : NULL,
				  .who = strdup("ann@box (node)"),
				  .listeners = calloc(listeners + 1, sizeof(struct listener)),
				  .n_listeners = listeners,
				  .probes = 5,
				  .nodes = calloc(2, sizeof(struct ip)),
				  .n_nodes = 2 };

	s.nodes[0] = endpoint("10.244.1.1", 0).ip;
	s.nodes[1] = endpoint("fd00::1", 0).ip;

	for (size_t i = 0; i < listeners; i++)
		s.listeners[i] = (struct listener){ endpoint(i % 2 ? "::" : "127.0.0.1", (uint16_t)(8000 + i)), i % 2, i % 3 == 1, i % 5 == 1 };
	return s;
}

static bool same(const struct subscription *a, const struct subscription *b)
{
	if (a->id != b->id || a->protocol != b->protocol || a->port != b->port || a->mode != b->mode ||
	    a->flush != b->flush || a->on_concurrent != b->on_concurrent || strcmp(a->who, b->who) ||
	    !a->http_filter != !b->http_filter || (a->http_filter && strcmp(a->http_filter, b->http_filter)) ||
	    !a->http_options != !b->http_options || (a->http_options && strcmp(a->http_options, b->http_options)) ||
	    a->n_listeners != b->n_listeners || a->probes != b->probes || a->n_nodes != b->n_nodes ||
	    memcmp(a->nodes, b->nodes, a->n_nodes * sizeof(struct ip)) != 0)
		return false;
	for (size_t i = 0; i < a->n_listeners; i++)
		if (!endpoint_equal(&a->listeners[i].at, &b->listeners[i].at) ||
		    a->listeners[i].v6only != b->listeners[i].v6only || a->listeners[i].full != b->listeners[i].full ||
		    a->listeners[i].several != b->listeners[i].several)
			return false;
	return true;
}

static void test_there_and_back(const char *name, struct subscription s)
{
	struct subscription got;
	struct error err = { 0 };
	size_t len;
	uint8_t *data = subscription_encode(&s, &len);

	tap_int(subscription_decode(data, len, &got, &err), 0, "%s (%zu bytes)", name, len);
	tap_ok(same(&s, &got), "%s: the same", name);
	free(data);
	subscription_fini(&s);
	subscription_fini(&got);
	subscription_fini(&got);
}

/* Whole behind the fields that must be there, at each border of a field; malformed everywhere else. */
static void test_cuts(void)
{
	struct subscription s = example(2, strdup("{}")), got;
	struct error err;
	size_t len, wrong = 0, whole = 0;
	uint8_t *data = subscription_encode(&s, &len);

	for (size_t cut = 0; cut <= len; cut++) {
		size_t at = 0, fields = 0;

		for (; at < cut; fields++)
			at += 6 + get32(data + at + 2);
		if (subscription_decode(guard_copy(data, cut), cut, &got, &err) == 0) {
			subscription_fini(&got);
			wrong += at != cut || fields < 4;
			whole++;
		} else {
			wrong += at == cut && fields >= 4;
		}
	}
	tap_int(wrong, 0, "cut inside a field, or before the port, it is malformed");
	tap_int(whole, 11, "between two later fields it isn't");
	free(data);
	subscription_fini(&s);
}

#define TEXT(text) text, sizeof(text) - 1
#define V4	   "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1"
static const struct {
	const char *name;
	uint16_t tag;
	const char *value;
	size_t len;
	int want;
} fields[] = {
	{ "unknown", 99, TEXT("whatever"), 0 },
	{ "id cut", 1, TEXT("\0\0\0"), -1 },
	{ "id that grew", 1, TEXT("\0\0\0\7more"), 0 },
	{ "TCP", 2, TEXT("\6"), 0 },
	{ "UDP", 2, TEXT("\x11"), 0 },
	{ "SCTP", 2, TEXT("\x84"), -1 },
	{ "no protocol", 2, TEXT(""), -1 },
	{ "port 0", 3, TEXT("\0\0"), -1 },
	{ "port 65535", 3, TEXT("\xff\xff"), 0 },
	{ "mode 0", 4, TEXT("\0"), -1 },
	{ "mode 3", 4, TEXT("\3"), 0 },
	{ "mode 4", 4, TEXT("\4"), -1 },
	{ "steal", 4, TEXT("\2"), 0 },
	{ "on concurrent 0", 5, TEXT("\0"), -1 },
	{ "on concurrent 4", 5, TEXT("\4"), -1 },
	{ "flush", 6, TEXT("\1"), 0 },
	{ "flush, empty", 6, TEXT(""), -1 },
	{ "filter", 7, TEXT("{\"path\":\"/\"}"), 0 },
	{ "filter with a 0", 7, TEXT("{\0}"), -1 },
	{ "who", 8, TEXT("ann"), 0 },
	{ "listener", 9, TEXT(V4 "\0\1\0"), 0 },
	{ "listener that grew", 9, TEXT(V4 "\0\1\0more"), 0 },
	{ "listener cut", 9, TEXT(V4 "\0\1"), -1 },
	{ "options", 12, TEXT("{\"inject_headers\":true}"), 0 },
	{ "options with a 0", 12, TEXT("{\0}"), -1 },
	{ "listener on port 0", 9, TEXT(V4 "\0\0\0"), -1 },
};

static size_t put_field(uint8_t *out, uint16_t tag, const void *value, size_t len)
{
	put16(out, tag);
	put32(out + 2, (uint32_t)len);
	if (len)
		memcpy(out + 6, value, len);
	return 6 + len;
}

/* What must be there, without field @but. */
static size_t put_needed(uint8_t *out, uint16_t but)
{
	static const struct {
		const char *value;
		size_t len;
	} needed[] = { { TEXT("\0\0\0\5") }, { TEXT("\6") }, { TEXT("\0\x50") }, { TEXT("\1") } };
	size_t at = 0;

	for (uint16_t tag = 1; tag <= 4; tag++)
		if (tag != but)
			at += put_field(out + at, tag, needed[tag - 1].value, needed[tag - 1].len);
	return at;
}

static void test_fields(void)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct subscription got = { .port = 77 };
		struct error err = { 0 };
		uint8_t data[256];
		size_t len = put_needed(data, fields[i].tag);
		int r;

		len += put_field(data + len, fields[i].tag, fields[i].value, fields[i].len);
		r = subscription_decode(guard_copy(data, len), len, &got, &err);
		tap_int(r, fields[i].want, "field: %s", fields[i].name);
		if (r == 0)
			subscription_fini(&got);
		else
			tap_ok(got.port == 77 && error_is_set(&err), "field: %s: an error, and nothing is set",
			       fields[i].name);
	}
}

static void test_needed(void)
{
	for (uint16_t but = 0; but <= 4; but++) {
		struct subscription got;
		struct error err = { 0 };
		uint8_t data[256];
		size_t len = put_needed(data, but);
		int r = subscription_decode(data, len, &got, &err);

		tap_int(r, but ? -1 : 0, "without field %u", but);
		if (r == 0) {
			tap_ok(got.on_concurrent == CONCURRENT_ABORT && !got.flush && !got.http_filter && !got.who,
			       "what is left out has its default");
			subscription_fini(&got);
		}
	}
}

/* The needed fields and @n times another. */
static int decode_repeated(uint16_t tag, const void *value, size_t len, size_t n)
{
	struct subscription got = { 0 };
	struct error err;
	uint8_t *data = malloc(256 + n * (6 + len));
	size_t at = put_needed(data, 0);
	int r;

	for (size_t i = 0; i < n; i++)
		at += put_field(data + at, tag, value, len);
	r = subscription_decode(data, at, &got, &err);
	if (r == 0)
		subscription_fini(&got);
	free(data);
	return r;
}

static void test_limits(void)
{
	char *text = malloc(SUBSCRIPTION_FILTER_MAX + 1);

	memset(text, 'x', SUBSCRIPTION_FILTER_MAX + 1);
	tap_int(decode_repeated(9, V4 "\0\1\0", 19, SUBSCRIPTION_LISTENERS), 0, "most listeners");
	tap_int(decode_repeated(9, V4 "\0\1\0", 19, SUBSCRIPTION_LISTENERS + 1), -1, "one too many");
	tap_int(decode_repeated(7, text, SUBSCRIPTION_FILTER_MAX, 1), 0, "longest filter");
	tap_int(decode_repeated(7, text, SUBSCRIPTION_FILTER_MAX + 1, 1), -1, "one byte too many");
	tap_int(decode_repeated(7, "{}", 2, 2), -1, "a filter twice");
	tap_int(decode_repeated(8, text, SUBSCRIPTION_WHO_MAX, 1), 0, "longest name");
	tap_int(decode_repeated(8, text, SUBSCRIPTION_WHO_MAX + 1, 1), -1, "one byte too many");
	free(text);
}

static void test_who_is_harmless(void)
{
	struct subscription got;
	struct error err;
	uint8_t data[256];
	size_t len = put_needed(data, 0);

	len += put_field(data + len, 8, "a\033[2J", 5);
	tap_int(subscription_decode(data, len, &got, &err), 0, "a name with an escape");
	tap_str(got.who, "a?[2J", "does nothing to a terminal");
	subscription_fini(&got);
}

static void test_unsubscribe(void)
{
	uint8_t data[UNSUBSCRIBE_LEN];
	struct error err = { 0 };
	uint32_t id = 7;

	tap_int(unsubscribe_encode(0x01020304, data), 4, "the end of a subscription");
	tap_int(unsubscribe_decode(guard_copy(data, 3), 3, &id, &err), -1, "cut");
	tap_int(id, 7, "sets nothing");
	tap_int(unsubscribe_decode(guard_copy(data, 4), 4, &id, &err), 0, "whole");
	tap_int(id, 0x01020304, "names it");
}

static void test_subscribed(void)
{
	struct subscribed s = { .id = 9 }, got;
	struct error err = { 0 };
	size_t len, decoded = 0;
	uint8_t *data = subscribed_encode(&s, &len);

	tap_int(subscribed_decode(guard_copy(data, len), len, &got, &err), 0, "a port is subscribed");
	tap_ok(got.id == 9 && !error_is_set(&got.refused), "without an error");
	free(data);
	error_set(&s.refused, 0, "port 80 is stolen by ann since 12:00");
	error_hint(&s.refused, "ask her");
	data = subscribed_encode(&s, &len);
	tap_int(subscribed_decode(data, len, &got, &err), 0, "one that isn't");
	tap_str(got.refused.text, s.refused.text, "says why");
	tap_str(got.refused.hint, s.refused.hint, "and what to do");
	for (size_t cut = 0; cut < len; cut++)
		decoded += subscribed_decode(guard_copy(data, cut), cut, &got, &err) == 0;
	tap_int(decoded, 2, "cut, it is whole between the fields");
	tap_int(subscribed_decode(data + 10, len - 10, &got, &err), -1, "without its id it is malformed");
	free(data);
}

static void test_counters(void)
{
	uint64_t totals[COUNTERS] = { [COUNTER_STOLEN] = 1ULL << 40, [COUNTER_MIRROR_LOST] = 3, [COUNTERS - 1] = 4 },
		 got[COUNTERS];
	uint8_t data[COUNTERS_MAX], foreign[20] = { 0xff, 0xff, [9] = 1, [11] = COUNTER_MIRRORED, [19] = 2 };
	struct error err = { 0 };
	size_t len = counters_encode(totals, data, sizeof(data));

	tap_int(len, 30, "counters that are 0 take no room");
	tap_int(counters_decode(guard_copy(data, len), len, got, &err), 0, "counters");
	tap_ok(memcmp(got, totals, sizeof(got)) == 0, "the same");
	tap_int(counters_encode(totals, data, 29), 20, "in less room, whole ones");
	tap_int(counters_decode(data, 19, got, &err), -1, "cut");
	tap_int(counters_decode(guard_copy(foreign, 20), 20, got, &err), 0, "an unknown one");
	tap_ok(got[COUNTER_MIRRORED] == 2 && got[COUNTER_STOLEN] == 0, "is passed over");
	for (unsigned int i = 0; i < COUNTERS; i++)
		totals[i] = i + 1;
	tap_int(counters_encode(totals, data, sizeof(data)), COUNTERS_MAX, "all of them");
	tap_ok(strstr(counter_text(COUNTER_STOLEN), "stolen") != NULL, "a counter's words");
	tap_ok(!counter_text(0) && !counter_text(COUNTERS - 1) && !counter_text(COUNTERS), "an unknown one has none");
}

static void test_notice(void)
{
	char text[NOTICE_MAX + 1], filled[NOTICE_MAX + 9];

	memset(filled, 'x', sizeof(filled));
	notice_decode(guard_copy("two\nlines\t\x7f", 11), 11, text);
	tap_str(text, "two\nlines??", "a notice");
	notice_decode(guard_copy(filled, sizeof(filled)), sizeof(filled), text);
	tap_int(strlen(text), NOTICE_MAX, "a long one is cut");
	notice_decode(NULL, 0, text);
	tap_str(text, "", "an empty one");
}

/* Listeners are "address" or "address!" (v6only), all on port 3000; the target's port is 80. */
static const struct {
	const char *name, *listeners[3], *client, *destination, *local, *remote;
} deliveries[] = {
	{ "wildcard", { "0.0.0.0" }, "203.0.113.9", "10.0.0.7", "203.0.113.9", "10.0.0.7" },
	{ "the address itself", { "10.0.0.7" }, "203.0.113.9", "10.0.0.7", "203.0.113.9", "10.0.0.7" },
	{ "another of the target's addresses", { "10.0.0.8" }, "203.0.113.9", "10.0.0.7", NULL, NULL },
	{ "both families", { "::" }, "203.0.113.9", "10.0.0.7", "203.0.113.9", "10.0.0.7" },
	{ "IPv6 alone", { "::!" }, "203.0.113.9", "10.0.0.7", NULL, NULL },
	{ "IPv6", { "::!" }, "2001:db8::9", "fd00::7", "2001:db8::9", "fd00::7" },
	{ "IPv4 alone, from IPv6", { "0.0.0.0" }, "2001:db8::9", "fd00::7", NULL, NULL },
	{ "loopback alone", { "127.0.0.1" }, "203.0.113.9", "10.0.0.7", "243.0.0.1", "244.0.0.1" },
	{ "another loopback address", { "127.0.0.9" }, "203.0.113.9", "10.0.0.7", "243.0.0.1", "244.0.0.9" },
	{ "IPv6 loopback alone", { "::1" }, "2001:db8::9", "fd00::7", "fd00:6d::2", "fd00:6d::1" },
	{ "loopback of the other family", { "::1" }, "203.0.113.9", "10.0.0.7", "fd00:6d::2", "fd00:6d::1" },
	{ "loopback of the other family, the other way",
	  { "127.0.0.1" },
	  "2001:db8::9",
	  "fd00::7",
	  "243.0.0.1",
	  "244.0.0.1" },
	{ "loopback of both families", { "::1", "127.0.0.1" }, "203.0.113.9", "10.0.0.7", "243.0.0.1", "244.0.0.1" },
	{ "the address goes before loopback",
	  { "127.0.0.1", "10.0.0.7" },
	  "203.0.113.9",
	  "10.0.0.7",
	  "203.0.113.9",
	  "10.0.0.7" },
	{ "wildcard goes before loopback",
	  { "127.0.0.1", "0.0.0.0" },
	  "203.0.113.9",
	  "10.0.0.7",
	  "203.0.113.9",
	  "10.0.0.7" },
	{ "from the target's localhost", { "0.0.0.0" }, "127.0.0.1", "127.0.0.1", "243.0.0.1", "244.0.0.1" },
	{ "from another loopback address", { "127.0.0.1" }, "127.0.0.5", "127.0.0.1", "243.0.0.5", "244.0.0.1" },
	{ "from localhost by IPv6", { "::" }, "::1", "::1", "fd00:6d::2", "fd00:6d::1" },
	{ "from localhost to IPv6 loopback alone", { "::1" }, "127.0.0.1", "127.0.0.1", "fd00:6d::2", "fd00:6d::1" },
	{ "from localhost to the address alone", { "10.0.0.7" }, "127.0.0.1", "127.0.0.1", NULL, NULL },
	{ "from the target's own address", { "0.0.0.0" }, "10.0.0.7", "10.0.0.7", "10.0.0.7", "10.0.0.7" },
	{ "from the own address to localhost", { "127.0.0.1" }, "10.0.0.7", "127.0.0.1", "10.0.0.7", "244.0.0.1" },
	{ "from localhost to the own address", { "0.0.0.0" }, "127.0.0.1", "10.0.0.7", "243.0.0.1", "10.0.0.7" },
	{ "from a link", { "::" }, "fe80::9", "fe80::7", "fd00:6d::2", "fd00:6d::1" },
	{ "nobody listens", { NULL }, "203.0.113.9", "10.0.0.7", NULL, NULL },
};

static void test_deliver(void)
{
	for (size_t i = 0; i < sizeof(deliveries) / sizeof(deliveries[0]); i++) {
		struct listener listeners[3];
		struct subscription s = { .port = 80, .listeners = listeners };
		struct endpoint client = endpoint(deliveries[i].client, 40000),
				destination = endpoint(deliveries[i].destination, 80);
		struct endpoint local = { .port = 1 }, remote = { .port = 2 };
		char text[IP_TEXT];
		bool is;

		for (; s.n_listeners < 3 && deliveries[i].listeners[s.n_listeners]; s.n_listeners++) {
			const char *at = deliveries[i].listeners[s.n_listeners], *mark = strchr(at, '!');

			snprintf(text, sizeof(text), "%.*s", (int)(mark ? mark - at : (int)strlen(at)), at);
			listeners[s.n_listeners] = (struct listener){ .at = endpoint(text, 3000), .v6only = mark != NULL };
		}
		is = subscription_deliver(&s, &client, &destination, &local, &remote);
		tap_ok(!is || subscription_takes(&s, ip_is_v4(&destination.ip)), "%s: of that family", deliveries[i].name);
		tap_int(is, deliveries[i].local != NULL, "%s: somebody takes it", deliveries[i].name);
		if (!is) {
			tap_ok(local.port == 1 && remote.port == 2, "%s: nothing is set", deliveries[i].name);
			continue;
		}
		tap_str(ip_format(&local.ip, text), deliveries[i].local, "%s: from", deliveries[i].name);
		tap_str(ip_format(&remote.ip, text), deliveries[i].remote, "%s: to", deliveries[i].name);
		tap_ok(local.port == 40000 && remote.port == 3000, "%s: the client's port, the listener's port",
		       deliveries[i].name);
	}
}

/* Listeners as above; which families are worth asking for. */
static const struct {
	const char *name;
	const char *ip;
	bool v6only, v4, v6;
} families[] = {
	{ "any IPv4", "0.0.0.0", false, true, false },
	{ "any", "::", false, true, true },
	{ "any IPv6", "::", true, false, true },
	{ "an IPv4 address", "10.0.0.7", false, true, false },
	{ "an IPv6 address", "fd00::7", false, false, true },
	{ "127.0.0.1", "127.0.0.1", false, true, true },
	{ "::1", "::1", true, true, true },
};

static void test_families(void)
{
	struct subscription s = { .port = 80 };

	tap_ok(!subscription_takes(&s, true) && !subscription_takes(&s, false), "no listener takes nothing");
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		struct listener l = { .at = endpoint(families[i].ip, 3000), .v6only = families[i].v6only };

		s.listeners = &l;
		s.n_listeners = 1;
		tap_int(subscription_takes(&s, true), families[i].v4, "%s: IPv4", families[i].name);
		tap_int(subscription_takes(&s, false), families[i].v6, "%s: IPv6", families[i].name);
		tap_ok(!subscription_is_full(&s, true) && !subscription_is_full(&s, false), "%s: has room", families[i].name);
		l.full = true;
		tap_int(subscription_is_full(&s, true), families[i].v4, "%s: full, IPv4", families[i].name);
		tap_int(subscription_is_full(&s, false), families[i].v6, "%s: full, IPv6", families[i].name);
	}
}

/* One that has room is enough; the other family's doesn't count. */
static void test_full(void)
{
	struct listener listeners[] = { { .at = endpoint("0.0.0.0", 1), .full = true }, { .at = endpoint("::", 1), .v6only = true } };
	struct subscription s = { .port = 80, .listeners = listeners, .n_listeners = 2 };

	tap_ok(subscription_is_full(&s, true) && !subscription_is_full(&s, false), "IPv4 alone is full");
	listeners[1].v6only = false;
	tap_ok(!subscription_is_full(&s, true), "a socket of both families has room");
}

/* Listeners: "!" for v6only, "*" for several sockets. Which of them has the only queue for each family, counted from 1. */
static const struct {
	const char *name, *listeners[3];
	int v4, v6;
} queues[] = {
	{ "none", { NULL }, 0, 0 },
	{ "IPv4", { "0.0.0.0" }, 1, 0 },
	{ "both", { "::" }, 1, 1 },
	{ "several of both", { "::*" }, 0, 0 },
	{ "one for each", { "0.0.0.0", "::!" }, 1, 2 },
	{ "one for each, of IPv4 several", { "0.0.0.0*", "::!" }, 0, 2 },
	{ "IPv4, and both", { "0.0.0.0", "::" }, 0, 2 },
	{ "two addresses", { "10.0.0.7", "10.0.0.8" }, 0, 0 },
	{ "localhost", { "127.0.0.1" }, 1, 1 },
	{ "localhost of both", { "127.0.0.1", "::1" }, 1, 2 },
	{ "localhost and all", { "127.0.0.1", "0.0.0.0" }, 0, 1 },
	{ "localhost of the other, and an address", { "::1", "10.0.0.7" }, 2, 1 },
};

static void test_queues(void)
{
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		struct listener listeners[3];
		struct subscription s = { .port = 80, .listeners = listeners };

		for (; s.n_listeners < 3 && queues[i].listeners[s.n_listeners]; s.n_listeners++) {
			const char *text = queues[i].listeners[s.n_listeners];
			char ip[64];

			snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(text, "!*"), text);
			listeners[s.n_listeners] = (struct listener){ .at = endpoint(ip, 80), .v6only = strchr(text, '!'),
								      .several = strchr(text, '*') };
		}
		for (int v4 = 0; v4 < 2; v4++) {
			const struct listener *only = subscription_only_listener(&s, v4);

			tap_int(only ? only - listeners + 1 : 0, v4 ? queues[i].v4 : queues[i].v6, "%s: the queue of IPv%d", queues[i].name,
				v4 ? 4 : 6);
		}
	}
}

/* Ports may differ: that of the listener which takes it. */
static void test_ports(void)
{
	struct listener listeners[] = { { .at = endpoint("127.0.0.1", 1) }, { .at = endpoint("::", 2) }, { .at = endpoint("0.0.0.0", 3) } };
	struct subscription s = { .port = 80, .listeners = listeners, .n_listeners = 3 };
	struct endpoint client = endpoint("203.0.113.9", 40000), destination = endpoint("10.0.0.7", 80), local, remote;

	subscription_deliver(&s, &client, &destination, &local, &remote);
	tap_int(remote.port, 3, "the socket of the family goes before that of both");
}

/* Addresses that the target has got since, and the families that the twin has. */
static void test_twin(void)
{
	static const struct {
		const char *destination, *remote;
	} rows[] = { { "10.0.0.8", "10.0.0.8" }, { "10.0.0.9", "10.0.0.7" }, { "fd00::9", "fd00:6d::1" }, { "127.0.0.1", "244.0.0.1" } };
	struct listener listeners[] = { { .at = endpoint("::", 2) } };
	const struct ip twin[] = { endpoint("10.0.0.7", 0).ip, endpoint("10.0.0.8", 0).ip };
	struct subscription s = { .port = 80, .listeners = listeners, .n_listeners = 1, .twin = twin, .n_twin = 2 };
	char text[IP_TEXT];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct endpoint client = endpoint(strchr(rows[i].destination, ':') ? "fd00::5" : "10.0.0.5", 40000);
		struct endpoint destination = endpoint(rows[i].destination, 80), local, remote;

		tap_ok(subscription_deliver(&s, &client, &destination, &local, &remote), "%s: somebody takes it", rows[i].destination);
		tap_str(ip_format(&remote.ip, text), rows[i].remote, "%s: to", rows[i].destination);
	}
}

int main(void)
{
	test_there_and_back("smallest", example(0, NULL));
	test_there_and_back("example", example(2, strdup("{\"path\":\"^/a\"}")));
	test_there_and_back("largest", example(SUBSCRIPTION_LISTENERS, strdup("")));
	test_cuts();
	test_fields();
	test_needed();
	test_limits();
	test_who_is_harmless();
	test_unsubscribe();
	test_subscribed();
	test_counters();
	test_notice();
	test_deliver();
	test_families();
	test_full();
	test_queues();
	test_ports();
	test_twin();
	return tap_done();
}
