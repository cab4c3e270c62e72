// SPDX-License-Identifier: MIT
/* The routes of the table "local": what a packet must be for to be given to a socket here, whole prefixes included (AnyIP). */
#include "agent/local_addresses.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/loop.h"
#include "net/rtnl.h"
#include "net/rtnl_dump.h"

enum { LOCAL_PREFIXES = 4096 };

struct prefix {
	struct ip ip;
	uint8_t len;
};

struct local_addresses {
	struct prefix *prefixes;
	size_t n, room;
	uint64_t asked;
	int news;   /* of routes; -1: to be asked from time to time */
	bool blind; /* the kernel didn't tell when it was asked last, or there were too many */
};

struct local_addresses *local_addresses_new(void)
{
	struct local_addresses *l = calloc(1, sizeof(*l));
	struct error err = { 0 };

	if (!l)
		return NULL;
	l->news = rtnl_listen(&err);
	if (l->news < 0)
		log_warn("mirror: own addresses: %s", err.text);
	return l;
}

static void add(void *arg, const struct dumped_route *r)
{
	struct local_addresses *l = arg;

	if (r->type != RTN_LOCAL || l->blind)
		return;
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		struct prefix *more = room > LOCAL_PREFIXES ? NULL : realloc(l->prefixes, room * sizeof(*more));

		l->blind = !more;
		if (!more)
			return;
		l->prefixes = more;
		l->room = room;
	}
	l->prefixes[l->n++] = (struct prefix){ r->prefix, r->prefix_len };
}

static void ask(struct local_addresses *l)
{
	struct error err = { 0 };

	l->n = 0;
	l->blind = false;
	if (rtnl_dump_routes(RT_TABLE_LOCAL, add, l, &err) < 0) {
		log_limited(LOG_LEVEL_WARN, "mirror: own addresses: %s", err.text);
		l->blind = true;
	}
}

static bool find(const struct local_addresses *l, const struct ip *ip)
{
	for (size_t i = 0; i < l->n; i++)
		if (ip_is_v4(ip) == ip_is_v4(&l->prefixes[i].ip) && ip_in_prefix(ip, &l->prefixes[i].ip, l->prefixes[i].len))
			return true;
	return l->blind;
}

/* Routes have come or gone since the last time. */
static bool has_news(struct local_addresses *l)
{
	bool some = false;
	char byte;

	while (recv(l->news, &byte, 1, 0) >= 0 || errno == ENOBUFS)
		some = true;
	return some;
}

bool local_addresses_has(struct local_addresses *l, const struct ip *ip, uint64_t now)
{
	bool due = !l->asked || now - l->asked >= LOOP_SECOND;

	if (ip_is_loopback(ip) || (find(l, ip) && !(l->blind && due)))
		return true;
	if (!has_news(l) && !due)
		return false;
	l->asked = now;
	ask(l);
	return find(l, ip);
}
