// SPDX-License-Identifier: MIT
/* The table.
 *
 *   pre, after DNAT: a SYN to a stolen port of this host ─► tproxy ─► the port's own listener of the agent's, else the common one. After DNAT
 *        the port is the one that the target's program listens on: where a mesh redirects a port to its proxy, the connection that the proxy
 *        then makes (over lo) is the one that is taken. A port is stolen for the families and at the addresses that somebody listens at: who
 *        asks for another one is answered, or refused, by the target's own kernel.
 *        An ACK goes the same way: with SYN cookies (the listener's queue of SYNs is full, be it by a flood or since it is short; or
 *        net.ipv4.tcp_syncookies is 2) the kernel keeps nothing of a client, and looks for a listener when the last packet of the handshake
 *        comes. That one may be lost, so a client's first data may be it, too, or its end. What belongs to a connection tproxy finds before it
 *        looks for a listener: so those that were there before stay as they are.
 *   full, a part of it: while the queue of the program that has a port is full, its SYNs are dropped, as its own kernel would. The client knocks
 *        again. For the handshake is the target's kernel's, and done before the agent, or the program's machine, has heard of the client.
 *   out: what the agent sends in a client's name carries AGENT_MARK, which exempts it from `pre`. Its SYN puts its four addresses into `passed`.
 *        What the target's program answers to these gets the mark too, is routed once more, and so comes back to the agent instead of
 *        leaving for the client. Conntrack would do the same in less text, but it would follow every connection of the target's from
 *        then on, and drop packets when its table is full.
 *
 * tproxy gives a packet to a listener that is there and lets it pass otherwise. The table goes with our socket (`flags owner`). Either is enough
 * for the target's port to be its own again when we die.
 *
 * Where tproxy can't take them, the kernel's look-up of listeners does, from the same ports (steal_lookup.c).
 *
 * Without tproxy in the kernel, `redirect` does it (NAT, so conntrack is on then): for new connections alone, too, since it looks at SYNs.
 * conntrack leads what follows to where the SYN went. The listener is on the wildcard address then, and the original destination is asked for. UDP
 * can't be stolen so. */
#include "agent/steal_rules.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/layout.h"
#include "agent/steal_lookup.h"
#include "base/list.h"
#include "base/log.h"
#include "net/nft.h"

#define TABLE "mirrord"
enum { AFTER_DNAT = -99, PASSED_MAX = 262144, PORTS = 65536, WORD = 64 };
enum set { TCP, UDP, FULL, SETS }; /* of ports: what is taken, and what isn't answered */

struct steal_rules {
	struct nft *nft;
	struct steal_lookup *lookup; /* or NULL */
	const char *family; /* of the table: inet; ip on a kernel without IPv6 */
	bool paused, has[2];		    /* @has: listeners, by family */
	uint64_t ports[SETS][2][PORTS / WORD]; /* [set][family] */
	uint16_t own[2][PORTS]; /* [family]: the port's own listener, or 0 */
	struct list left;
};

/* A place that stays the target's, of a port that is taken. */
struct left {
	struct list node;
	uint8_t protocol;
	struct endpoint at;
};

static const struct {
	const char *nfproto, *ip, *address, *own_address, *set, *ports[SETS], *left[2], *own, *chain;
} families[] = {
	[STEAL_V4] = { "ipv4", "ip", AGENT_ADDRESS4, AGENT_ADDRESS4, "passed4", { "tcp_ports4", "udp_ports4", "tcp_full4" },
		       { "tcp_left4", "udp_left4" }, "tcp_own4", "tcp4" },
	[STEAL_V6] = { "ipv6", "ip6", "[" AGENT_ADDRESS6 "]", "[::ffff:" AGENT_ADDRESS4 "]", "passed6", { "tcp_ports6", "udp_ports6", "tcp_full6" },
		       { "tcp_left6", "udp_left6" }, "tcp_own6", "tcp6" },
};

/* Link-local addresses mean nothing without their link; they stay with the target's program. */
#define NOT_LINK_LOCAL "ip6 daddr != fe80::/10 ip6 saddr != fe80::/10"
#define SYN "tcp flags & (fin|syn|rst|ack) == syn"
#define ACK "tcp flags & (syn|rst|ack) == ack" /* the client may have ended its side with it */

/* What of a protocol is taken: text for the rules. @flags: of TCP. */
static void write_taken(FILE *f, const char *flags, bool udp, int v)
{
	const char *protocol = udp ? "udp" : "tcp";

	fprintf(f, "%s %s dport @%s %s daddr . %s dport != @%s fib daddr type local", flags, protocol, families[v].ports[udp], families[v].ip,
		protocol, families[v].left[udp]);
}

/* A table of one family's knows no other, and nftables minds the question. */
static const char *of_family(const struct steal_listeners *l, int v)
{
	if (!l->tcp[STEAL_V6])
		return "";
	return v == STEAL_V4 ? "meta nfproto ipv4" : "meta nfproto ipv6";
}

static void write_sets(FILE *f, const struct steal_listeners *l)
{
	for (int v = 0; v < 2; v++) {
		if (!l->tcp[v])
			continue;
		for (int set = 0; set < SETS; set++)
			fprintf(f, "  set %s { type inet_service; }\n", families[v].ports[set]);
		for (int udp = 0; udp < 2; udp++)
			fprintf(f, "  set %s { type %s_addr . inet_service; }\n", families[v].left[udp], families[v].nfproto);
		fprintf(f, "  map %s { type inet_service : inet_service; }\n", families[v].own);
		fprintf(f, "  set %s { type %s_addr . inet_service . %s_addr . inet_service; flags dynamic; size %d; }\n", families[v].set,
			families[v].nfproto, families[v].nfproto, PASSED_MAX);
	}
}

/* Before what is taken: its beginning. */
static void write_full(FILE *f, const char *only, int v)
{
	fprintf(f, "    %s " SYN " tcp dport @%s ", only, families[v].ports[FULL]);
	write_taken(f, "", false, v);
	fprintf(f, " drop\n");
}

/* Where what may begin a connection to a stolen port goes: to the port's own listener, else to the common one. */
static void write_tcp(FILE *f, const struct steal_listeners *l, int v)
{
	const char *ip = families[v].ip;

	fprintf(f, "  chain %s {\n", families[v].chain);
	fprintf(f, "    %s daddr . tcp dport @%s accept\n    fib daddr type != local accept\n", ip, families[v].left[TCP]);
	fprintf(f, "    " SYN " tcp dport @%s drop\n", families[v].ports[FULL]);
	fprintf(f, "    meta l4proto tcp tproxy %s to %s : tcp dport map @%s accept\n", ip, families[v].own_address, families[v].own);
	fprintf(f, "    meta l4proto tcp tproxy %s to %s:%u accept\n  }\n", ip, families[v].address, l->tcp[v]);
}

static void write_pre(FILE *f, const struct steal_listeners *l)
{
	static const char *const flags[] = { ACK, SYN };

	for (int v = 0; v < 2; v++)
		if (l->tcp[v])
			write_tcp(f, l, v);
	fprintf(f, "  chain pre { type filter hook prerouting priority %d; policy accept;\n    meta mark %d accept\n", AFTER_DNAT, AGENT_MARK);
	for (int v = 0; v < 2; v++) {
		const char *only = v == STEAL_V6 ? NOT_LINK_LOCAL : of_family(l, v);

		for (int i = 0; i < 2 && l->tcp[v]; i++)
			fprintf(f, "    %s %s tcp dport @%s goto %s\n", only, flags[i], families[v].ports[TCP], families[v].chain);
		if (!l->udp[v])
			continue;
		fprintf(f, "    %s ", only);
		write_taken(f, "", true, v);
		fprintf(f, " tproxy %s to %s:%u accept\n", families[v].ip, families[v].address, l->udp[v]);
	}
	fprintf(f, "  }\n");
}

static void write_redirect(FILE *f, const struct steal_listeners *l)
{
	static const char *const hooks[] = { "prerouting", "output" };

	for (int h = 0; h < 2; h++) {
		fprintf(f, "  chain nat_%s { type nat hook %s priority %d; policy accept;\n    meta mark %d accept\n", hooks[h], hooks[h],
			AFTER_DNAT, AGENT_MARK);
		for (int v = 0; v < 2; v++) {
			if (!l->tcp[v])
				continue;
			write_full(f, of_family(l, v), v);
			fprintf(f, "    %s ", of_family(l, v));
			write_taken(f, SYN, false, v);
			fprintf(f, " redirect to :%u\n", l->tcp[v]);
		}
		fprintf(f, "  }\n");
	}
}

static void write_out(FILE *f, const struct steal_listeners *l)
{
	fprintf(f, "  chain out { type route hook output priority mangle; policy accept;\n");
	for (int v = 0; v < 2; v++)
		if (l->tcp[v])
			fprintf(f,
				"    meta mark %d " SYN " add @%s { %s saddr . tcp sport . %s daddr . tcp dport }\n",
				AGENT_MARK, families[v].set, families[v].ip, families[v].ip);
	fprintf(f, "    meta mark %d accept\n", AGENT_MARK);
	for (int v = 0; v < 2; v++)
		if (l->tcp[v])
			fprintf(f, "    %s daddr . tcp dport . %s saddr . tcp sport @%s meta mark set %d\n", families[v].ip, families[v].ip,
				families[v].set, AGENT_MARK);
	fprintf(f, "  }\n");
}

/* The text is the caller's; NULL without memory. */
static char *table_text(const char *family, const struct steal_listeners *l, bool redirect)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, "table %s " TABLE " {\n  flags owner;\n", family);
	write_sets(f, l);
	if (redirect)
		write_redirect(f, l);
	else
		write_pre(f, l);
	write_out(f, l);
	fprintf(f, "}\n");
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

struct steal_rules *steal_rules_new(const struct steal_listeners *listeners, bool redirect, struct steal_lookup *lookup, struct error *err)
{
	struct steal_rules *r = calloc(1, sizeof(*r));
	char *text = NULL;
	int rc = -1;

	if (r) {
		list_init(&r->left);
		r->lookup = lookup;
		r->family = listeners->tcp[STEAL_V6] ? "inet" : "ip";
		for (int v = 0; v < 2; v++)
			r->has[v] = listeners->tcp[v] != 0;
		text = table_text(r->family, listeners, redirect);
	}
	if (!text)
		error_set(err, ENOMEM, "make the rules");
	else if ((r->nft = nft_open(err)))
		rc = nft_run(r->nft, text, err);
	free(text);
	if (rc == 0)
		return r;
	steal_rules_free(r);
	return NULL;
}

void steal_rules_free(struct steal_rules *r)
{
	if (!r)
		return;
	nft_close(r->nft);
	while (!list_empty(&r->left))
		free(container_of(list_pop(&r->left), struct left, node));
	free(r);
}

static enum set taken_of(uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? UDP : TCP;
}

static bool is_in(const struct steal_rules *r, enum set set, int family, unsigned int port)
{
	return r->ports[set][family][port / WORD] >> port % WORD & 1;
}

static void note(struct steal_rules *r, enum set set, int family, unsigned int port, bool in)
{
	uint64_t bit = 1ULL << port % WORD, *word = &r->ports[set][family][port / WORD];

	*word = in ? *word | bit : *word & ~bit;
}

/* A command of nft(8); nothing for a family without a listener. Returns its length. */
static size_t write_change(const struct steal_rules *r, const char *how, enum set set, int family, unsigned int port, char *out, size_t size)
{
	if (!r->has[family])
		return 0;
	return (size_t)snprintf(out, size, "%s element %s " TABLE " %s { %u }\n", how, r->family,
				families[family].ports[set], port);
}

static bool is_left(const struct steal_port *p, const struct ip *ip)
{
	for (size_t i = 0; i < p->n_left; i++)
		if (ip_equal(&p->left[i], ip))
			return true;
	return false;
}

static bool was_left(const struct steal_rules *r, const struct steal_port *p, const struct ip *ip)
{
	for (const struct list *n = r->left.next; n != &r->left; n = n->next) {
		const struct left *l = container_of(n, const struct left, node);

		if (l->protocol == p->protocol && l->at.port == p->port && ip_equal(&l->at.ip, ip))
			return true;
	}
	return false;
}

static void write_left(const struct steal_rules *r, FILE *f, const char *how, const struct steal_port *p, const struct ip *ip)
{
	int v = ip_is_v4(ip) ? STEAL_V4 : STEAL_V6;

	if (r->has[v]) {
		char text[IP_TEXT];

		fprintf(f, "%s element %s " TABLE " %s { %s . %u }\n", how, r->family, families[v].left[p->protocol == IPPROTO_UDP],
			ip_format(ip, text), p->port);
	}
}

static void write_membership(const struct steal_rules *r, enum set set, int family, uint16_t port, bool in, FILE *f)
{
	char command[128];

	if (in != is_in(r, set, family, port) && write_change(r, in ? "add" : "delete", set, family, port, command, sizeof(command)))
		fputs(command, f);
}

static void write_own_change(const struct steal_rules *r, int family, const struct steal_port *p, FILE *f)
{
	uint16_t was = r->own[family][p->port], is = p->own[family];

	if (!r->has[family] || was == is)
		return;
	if (was)
		fprintf(f, "delete element %s " TABLE " %s { %u : %u }\n", r->family, families[family].own, p->port, was);
	if (is)
		fprintf(f, "add element %s " TABLE " %s { %u : %u }\n", r->family, families[family].own, p->port, is);
}

static void write_port(struct steal_rules *r, const struct steal_port *p, FILE *f)
{
	for (int v = 0; v < 2; v++) {
		if (!r->paused)
			write_membership(r, taken_of(p->protocol), v, p->port, p->taken[v], f);
		if (p->protocol == IPPROTO_TCP) {
			write_membership(r, FULL, v, p->port, p->full[v], f);
			write_own_change(r, v, p, f);
		}
	}
	for (const struct list *n = r->left.next; n != &r->left; n = n->next) {
		const struct left *l = container_of(n, const struct left, node);

		if (l->protocol == p->protocol && l->at.port == p->port && !is_left(p, &l->at.ip))
			write_left(r, f, "delete", p, &l->at.ip);
	}
	for (size_t i = 0; i < p->n_left; i++)
		if (!was_left(r, p, &p->left[i]))
			write_left(r, f, "add", p, &p->left[i]);
}

static void tell_taken(const struct steal_rules *r, enum set set, int family, uint16_t port, bool taken)
{
	if (r->lookup && set == TCP)
		steal_lookup_set(r->lookup, family, port, taken);
}

static void tell_left(const struct steal_rules *r, const struct left *l, bool left)
{
	if (r->lookup && l->protocol == IPPROTO_TCP)
		steal_lookup_leave(r->lookup, &l->at, left);
}

static void note_port(struct steal_rules *r, const struct steal_port *p)
{
	for (int v = 0; v < 2; v++) {
		note(r, taken_of(p->protocol), v, p->port, p->taken[v]);
		if (p->protocol == IPPROTO_TCP) {
			note(r, FULL, v, p->port, p->full[v]);
			r->own[v][p->port] = p->own[v];
		}
		tell_taken(r, taken_of(p->protocol), v, p->port, p->taken[v] && !r->paused);
	}
	for (struct list *n = r->left.next, *next; n != &r->left; n = next) {
		struct left *l = container_of(n, struct left, node);

		next = n->next;
		if (l->protocol != p->protocol || l->at.port != p->port || is_left(p, &l->at.ip))
			continue;
		tell_left(r, l, false);
		list_remove(n);
		free(l);
	}
	for (size_t i = 0; i < p->n_left; i++) {
		struct left *l = was_left(r, p, &p->left[i]) ? NULL : malloc(sizeof(*l));

		if (!l)
			continue;
		*l = (struct left){ .protocol = p->protocol, .at = { .ip = p->left[i], .port = p->port } };
		list_append(&r->left, &l->node);
		tell_left(r, l, true);
	}
}

/* Of both families at once. */
int steal_rules_set(struct steal_rules *r, const struct steal_port *p, struct error *err)
{
	char *commands = NULL;
	size_t len;
	FILE *f = open_memstream(&commands, &len);
	int rc = -1;

	if (f) {
		write_port(r, p, f);
		rc = fclose(f);
	}
	if (rc != 0)
		error_set(err, ENOMEM, "change the rules");
	else if (len)
		rc = nft_run(r->nft, commands, err);
	free(commands);
	if (rc == 0)
		note_port(r, p);
	return rc == 0 ? 0 : -1;
}

static void change_or_log(struct steal_rules *r, const char *how, enum set set, int family, unsigned int port)
{
	struct error err = { 0 };
	char command[128];

	if (write_change(r, how, set, family, port, command, sizeof(command)) && nft_run(r->nft, command, &err) < 0)
		log_warn("steal: %s port %u: %s", how, port, err.text);
}

/* All that are taken, for good or for a while. */
static void change_family(struct steal_rules *r, const char *how, enum set set, int family)
{
	for (unsigned int port = 0; port < PORTS; port++)
		if (is_in(r, set, family, port)) {
			change_or_log(r, how, set, family, port);
			tell_taken(r, set, family, (uint16_t)port, !r->paused);
		}
}

void steal_rules_pause(struct steal_rules *r, bool on)
{
	if (r->paused == on)
		return;
	r->paused = on;
	for (int v = 0; v < 2; v++) {
		change_family(r, on ? "delete" : "add", TCP, v);
		change_family(r, on ? "delete" : "add", UDP, v);
	}
}

void steal_rules_pass(struct steal_rules *r, const struct endpoint *from, bool on)
{
	if (r->lookup)
		steal_lookup_pass(r->lookup, from, on);
}

static void write_key(FILE *f, const struct pass_key *k, bool more)
{
	char client[IP_TEXT], destination[IP_TEXT];

	fprintf(f, "%s%s . %u . %s . %u", more ? ", " : "", ip_format(&k->client.ip, client), k->client.port,
		ip_format(&k->destination.ip, destination), k->destination.port);
}

/* One transaction. */
static int forget(struct steal_rules *r, const struct pass_key *keys, size_t n, enum steal_family family, struct error *err)
{
	char *text = NULL;
	size_t len, used = 0;
	FILE *f = open_memstream(&text, &len);
	int rc;

	if (!f)
		return error_set(err, ENOMEM, "forget connections");
	fprintf(f, "delete element %s " TABLE " %s { ", r->family, families[family].set);
	for (size_t i = 0; i < n; i++)
		if (ip_is_v4(&keys[i].client.ip) == (family == STEAL_V4))
			write_key(f, &keys[i], used++ > 0);
	fprintf(f, " }");
	rc = fclose(f) == 0 && used ? nft_run(r->nft, text, err) : 0;
	free(text);
	return rc;
}

/* A transaction fails as a whole when one of them isn't there (its SYN never left): then they are tried one by one. */
void steal_rules_forget(struct steal_rules *r, const struct pass_key *keys, size_t n)
{
	for (int v = 0; v < 2; v++) {
		struct error err = { 0 };

		if (forget(r, keys, n, v, &err) == 0 || n == 1)
			continue;
		for (size_t i = 0; i < n; i++)
			forget(r, &keys[i], 1, v, &err);
	}
}
