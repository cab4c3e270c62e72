// SPDX-License-Identifier: MIT
/* Which jobs of agents are over and stay. The server's clock says noon. */
#include "kube/left.h"

#include "kube/json.h"
#include "tap.h"

#define NOON "2026-01-01T12:00:00Z"
#define CONDITION(type, status, at)                                                                                    \
	"{\"type\":\"" type "\",\"status\":\"" status "\",\"lastTransitionTime\":\"" at "\"}"
#define OTHER "{\"type\":\"SuccessCriteriaMet\",\"status\":\"True\",\"lastTransitionTime\":\"2020-01-01T00:00:00Z\"}"
#define JOB(spec, type, status, at)                                                                                    \
	"{\"metadata\":{\"name\":\"x\"},\"spec\":{" spec "},\"status\":{\"conditions\":[" OTHER                        \
	"," CONDITION(type, status, at) "]}}"
#define TTL "\"ttlSecondsAfterFinished\":10"

static const struct {
	const char *name, *job;
	bool left;
} jobs[] = {
	{ "it runs", "{\"metadata\":{\"name\":\"x\"},\"spec\":{" TTL "},\"status\":{\"active\":1}}", false },
	{ "it has failed, and has no ttl", JOB("", "Failed", "True", "2026-01-01T11:59:59Z"), true },
	{ "it is complete, and has no ttl", JOB("", "Complete", "True", NOON), true },
	{ "it isn't complete", JOB("", "Complete", "False", "2026-01-01T10:00:00Z"), false },
	{ "its ttl isn't over", JOB(TTL, "Complete", "True", "2026-01-01T11:59:55Z"), false },
	{ "its ttl is over, but not for a minute", JOB(TTL, "Failed", "True", "2026-01-01T11:58:51Z"), false },
	{ "its ttl is over for a minute", JOB(TTL, "Failed", "True", "2026-01-01T11:58:49Z"), true },
	{ "the same in another time zone", JOB(TTL, "Failed", "True", "2026-01-01T13:58:49.5+02:00"), true },
};

static void test_each(void)
{
	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		struct kube_call c = { .status = 200, .date = kube_time(NOON) };
		size_t at = 0;

		c.answer = json_pack("{s:[o]}", "items", json_loads(jobs[i].job, 0, NULL));
		tap_ok((kube_left_next(&c, &at) != NULL) == jobs[i].left, "%s", jobs[i].name);
		json_decref(c.answer);
	}
}

static void test_all(void)
{
	struct kube_call c = { .status = 200, .answer = json_pack("{s:[]}", "items") };
	json_t *items = json_object_get(c.answer, "items");
	size_t at = 0;

	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++)
		json_array_append_new(items, json_loads(jobs[i].job, 0, NULL));
	c.date = kube_time(NOON);
	for (int n = 0; n < 4; n++)
		tap_ok(kube_left_next(&c, &at) != NULL, "number %d", n);
	tap_ok(kube_left_next(&c, &at) == NULL, "no more");
	c.status = 403;
	at = 0;
	tap_ok(kube_left_next(&c, &at) == NULL, "none, where they may not be listed");
	json_decref(c.answer);
}

int main(void)
{
	test_each();
	test_all();
	return tap_done();
}
