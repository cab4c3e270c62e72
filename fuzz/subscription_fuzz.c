// SPDX-License-Identifier: MIT
/* What a session wants of the target's traffic, and what the agent says to it: within the limits, the same when it is encoded again, and
 * no connection is sent astray. The first byte chooses the message. */
#include "tunnel/subscription.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "net/loopback.h"

#include "fuzz.h"

static void check_delivery(const struct subscription *s)
{
	struct endpoint client = { IP_ANY4, 40000 }, destination = { IP_ANY4, 80 }, local, remote;
	bool known = false;

	memcpy(client.ip.b + 12, "\xcb\0\x71\x09", 4);
	memcpy(destination.ip.b + 12, "\x0a\0\0\x07", 4);
	if (!subscription_deliver(s, &client, &destination, &local, &remote))
		return;
	for (size_t i = 0; i < s->n_listeners; i++)
		known |= s->listeners[i].at.port == remote.port;
	fuzz_check(known && local.port == client.port && ip_is_v4(&local.ip) == ip_is_v4(&remote.ip));
	fuzz_check(!ip_is_any(&remote.ip) && !ip_is_loopback(&remote.ip) && !ip_is_loopback(&local.ip));
	fuzz_check(ip_equal(&remote.ip, &destination.ip) || ip_is_loopback_alias(&remote.ip));
}

static void decode_subscription(const uint8_t *data, size_t size)
{
	struct subscription s, again;
	struct error err = { 0 };
	uint8_t *first, *second;
	size_t len, len2;

	if (subscription_decode(data, size, &s, &err) < 0) {
		fuzz_check(error_is_set(&err));
		return;
	}
	fuzz_check(s.n_listeners <= SUBSCRIPTION_LISTENERS && s.port &&
		   (s.protocol == IPPROTO_TCP || s.protocol == IPPROTO_UDP));
	fuzz_check(!s.http_filter || strlen(s.http_filter) <= SUBSCRIPTION_FILTER_MAX);
	fuzz_check(!s.who || (strlen(s.who) <= SUBSCRIPTION_WHO_MAX && !strchr(s.who, '\033')));
	check_delivery(&s);
	first = subscription_encode(&s, &len);
	fuzz_check(first && subscription_decode(first, len, &again, &err) == 0);
	second = subscription_encode(&again, &len2);
	fuzz_check(second && len == len2 && memcmp(first, second, len) == 0);
	subscription_fini(&s);
	subscription_fini(&again);
	free(first);
	free(second);
}

static void decode_subscribed(const uint8_t *data, size_t size)
{
	struct subscribed s, again;
	struct error err = { 0 };
	uint8_t *bytes;
	size_t len;

	if (subscribed_decode(data, size, &s, &err) < 0)
		return;
	fuzz_check(!strchr(s.refused.text, '\033') && !strchr(s.refused.hint, '\r'));
	bytes = subscribed_encode(&s, &len);
	fuzz_check(bytes && subscribed_decode(bytes, len, &again, &err) == 0 && again.id == s.id);
	fuzz_check(strcmp(s.refused.text, again.refused.text) == 0);
	free(bytes);
}

static void decode_rest(const uint8_t *data, size_t size)
{
	uint64_t totals[COUNTERS], again[COUNTERS];
	uint8_t bytes[COUNTERS_MAX];
	char text[NOTICE_MAX + 1];
	struct error err = { 0 };
	uint32_t id;

	notice_decode(data, size, text);
	fuzz_check(strlen(text) <= NOTICE_MAX && !strchr(text, '\033'));
	unsubscribe_decode(data, size, &id, &err);
	if (counters_decode(data, size, totals, &err) < 0)
		return;
	fuzz_check(counters_decode(bytes, counters_encode(totals, bytes, sizeof(bytes)), again, &err) == 0);
	fuzz_check(memcmp(totals, again, sizeof(totals)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] == 0)
		decode_subscription(data + 1, size - 1);
	else if (data[0] == 1)
		decode_subscribed(data + 1, size - 1);
	else
		decode_rest(data + 1, size - 1);
	return 0;
}
