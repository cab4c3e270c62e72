// SPDX-License-Identifier: MIT
/* Listeners and bound UDP sockets.
 *
 * A UDP socket doesn't listen, and a client's is bound, too. One counts that has no peer and was bound to a port which the program named: the
 * keeper reports those, and outside of the range that the kernel chooses from there are no others. */
#include "session/services.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A UDP socket that the keeper reported. */
struct reported {
	struct table_node node;
	uint64_t cookie;
	bool seen; /* by the list that is being made */
};

static bool reported_equal(const struct table_node *node, const void *key)
{
	return container_of(node, const struct reported, node)->cookie == *(const uint64_t *)key;
}

static void read_chosen_ports(struct services *s, const struct target_info *info)
{
	unsigned int from = 32768, to = 60999;

	for (size_t i = 0; i < info->n_sysctls; i++)
		if (strcmp(info->sysctls[i].name, "ipv4/ip_local_port_range") == 0)
			sscanf(info->sysctls[i].value, "%u %u", &from, &to);
	s->chosen_from = (uint16_t)from;
	s->chosen_to = (uint16_t)to;
}

int services_init(struct services *s, struct sock_diag *diag, const struct target_info *info)
{
	s->n = 0;
	s->diag = diag;
	read_chosen_ports(s, info);
	return table_init(&s->reported, reported_equal);
}

static void forget(struct services *s, struct table_node *n)
{
	table_remove(&s->reported, n);
	free(container_of(n, struct reported, node));
}

void services_fini(struct services *s)
{
	for (struct table_node *n; (n = table_first(&s->reported));)
		forget(s, n);
	table_fini(&s->reported);
}

/* It is there still, when it is there at all. */
static bool is_reported(const struct services *s, uint64_t cookie)
{
	struct table_node *n = table_find(&s->reported, &cookie, sizeof(cookie));

	if (n)
		container_of(n, struct reported, node)->seen = true;
	return n != NULL;
}

void services_report(struct services *s, uint64_t cookie)
{
	struct reported *r = s->reported.n < SERVICES_MAX && !is_reported(s, cookie) ? calloc(1, sizeof(*r)) : NULL;

	if (!r)
		return;
	r->cookie = cookie;
	table_add(&s->reported, &r->node, &r->cookie, sizeof(r->cookie));
}

struct listing {
	struct services *services;
	uint64_t were_full[FULL_MAX];
	size_t n_were_full;
};

/* Whether it has been full for a while. */
static bool stays_full(struct listing *l, const struct diag_socket *one)
{
	struct services *s = l->services;

	if (!one->full || s->n_full == FULL_MAX)
		return false;
	s->full[s->n_full++] = one->cookie;
	for (size_t i = 0; i < l->n_were_full; i++)
		if (l->were_full[i] == one->cookie)
			return true;
	return false;
}

static void keep(void *arg, const struct diag_socket *one)
{
	struct listing *l = arg;
	struct services *s = l->services;
	bool chosen = one->local.port >= s->chosen_from && one->local.port <= s->chosen_to;
	bool reported = one->protocol == IPPROTO_UDP && is_reported(s, one->cookie);

	if (one->local.port && (one->protocol == IPPROTO_TCP || !chosen || reported)) {
		struct diag_socket listed = *one;

		listed.full = stays_full(l, one);
		services_add(s, &listed);
	}
}

/* Reported sockets that no list had since the last time are closed. */
static void forget_unseen(struct services *s)
{
	for (struct table_node *n = table_first(&s->reported), *next; n; n = next) {
		struct reported *r = container_of(n, struct reported, node);

		next = table_after(&s->reported, n);
		if (!r->seen)
			forget(s, n);
		else
			r->seen = false;
	}
}

bool services_list(struct services *s)
{
	struct listing l = { .services = s, .n_were_full = s->n_full };

	memcpy(l.were_full, s->full, sizeof(l.were_full));
	s->n = s->n_full = 0;
	if (sock_diag_list_services(s->diag, IPPROTO_TCP, keep, &l) < 0 || sock_diag_list_services(s->diag, IPPROTO_UDP, keep, &l) < 0)
		return false;
	forget_unseen(s);
	return true;
}

/* A socket of MPTCP's is known by where it stands. */
static bool is_meant(const struct diag_socket *one, const struct notify_event *e)
{
	return one->cookie == e->cookie || (!e->protocol && one->protocol == IPPROTO_TCP && endpoint_equal(&one->local, &e->local));
}

const struct diag_socket *services_find(const struct services *s, const struct notify_event *e)
{
	for (size_t i = 0; i < s->n; i++)
		if (is_meant(&s->sockets[i], e))
			return &s->sockets[i];
	return NULL;
}

const struct diag_socket *services_add(struct services *s, const struct diag_socket *one)
{
	if (s->n == SERVICES_MAX)
		return NULL;
	s->sockets[s->n] = *one;
	return &s->sockets[s->n++];
}
