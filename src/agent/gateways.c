// SPDX-License-Identifier: MIT
/* Of the main table, which is all that pods have. */
#include "agent/gateways.h"

#include <linux/rtnetlink.h>

#include "base/log.h"
#include "net/loop.h"
#include "net/rtnl_dump.h"

#define ASK_AGAIN (60 * LOOP_SECOND)

static bool find(const struct gateways *g, const struct ip *ip)
{
	for (size_t i = 0; i < g->n; i++)
		if (ip_equal(&g->all[i], ip))
			return true;
	return false;
}

static void add(void *arg, const struct dumped_route *r)
{
	struct gateways *g = arg;

	if (r->has_gateway && g->n < GATEWAYS && !find(g, &r->gateway))
		g->all[g->n++] = r->gateway;
}

bool gateways_have(struct gateways *g, const struct ip *ip, uint64_t now)
{
	struct error err = { 0 };

	if (!g->asked || now - g->asked >= ASK_AGAIN) {
		g->asked = now;
		g->n = 0;
		if (rtnl_dump_routes(RT_TABLE_MAIN, add, g, &err) < 0)
			log_limited(LOG_LEVEL_WARN, "steal: the target's gateways: %s", err.text);
	}
	return find(g, ip);
}
