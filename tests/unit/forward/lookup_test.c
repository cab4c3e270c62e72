// SPDX-License-Identifier: MIT
/* Names asked of the target's name servers, over an egress that the test plays: servers that fail for one family, answers that are cut off. */
#include "forward/lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/bytes.h"
#include "net/dns_build.h"
#include "clock.h"
#include "tap.h"

/* What the server does with a question, by its family. */
enum deed { NOTHING, ADDRESS, NONE, FAILS, CUT, CUT_EMPTY };

static struct loop *loop;
static const struct port_events *events;
static void *events_arg;
static struct port port;
static struct dial dial;
static struct deferred answering;
static struct watch connection;
static enum deed deeds[2];
static bool tcp_works;
static int asked, by_tcp;
static uint8_t waiting[2][600];
static size_t waiting_len[2];
static char outcome[200];

/* The first address only, of those by TCP two: so it shows which answer counted. Returns the length. */
static size_t make_answer(const uint8_t *question, size_t len, bool tcp, uint8_t *out, size_t room)
{
	struct dns_message m;
	struct dns_cursor c;
	struct dns_question q;
	struct ip ips[4];
	enum deed deed;
	size_t n;

	ip_parse("10.0.0.1", &ips[0]);
	ip_parse("fd00::1", &ips[1]);
	ip_parse("10.0.0.2", &ips[2]);
	ip_parse("fd00::2", &ips[3]);
	if (dns_parse(question, len, &m) < 0)
		abort();
	c = dns_questions(&m);
	dns_next_question(&c, &q);
	deed = deeds[q.type == DNS_AAAA];
	if (deed == NOTHING)
		return 0;
	n = tcp ? 4 : deed == ADDRESS || deed == CUT ? 2 : 0;
	len = dns_build_answer(&m, &(struct dns_answer){ .rcode = deed == FAILS ? DNS_SERVFAIL : 0, .ttl = 9, .ips = ips, .n = n }, out, room);
	if (!tcp && (deed == CUT || deed == CUT_EMPTY))
		out[2] |= 2;
	return len;
}

static void answer(struct deferred *d)
{
	struct endpoint server = { .port = 53 };

	ip_parse("10.96.0.10", &server.ip);
	for (int i = 0; i < 2; i++) {
		uint8_t out[600];
		size_t len = waiting_len[i] ? make_answer(waiting[i], waiting_len[i], false, out, sizeof(out)) : 0;

		waiting_len[i] = 0;
		if (len)
			events->on_datagram(events_arg, &server, (struct packet_marks){ 0 }, out, len);
	}
}

static int open_port(struct egress *e, enum port_kind kind, const struct endpoint *local, const struct port_events *ev, void *arg, struct port **ret)
{
	events = ev;
	events_arg = arg;
	port.egress = e;
	*ret = &port;
	return 0;
}

static int send_port(struct port *p, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	int i = waiting_len[0] ? 1 : 0;

	asked++;
	memcpy(waiting[i], data, len);
	waiting_len[i] = len;
	if (!answering.node.next)
		loop_defer(loop, &answering, answer);
	return 0;
}

static void close_port(struct port *p)
{
}

static int start_dial(struct egress *e, const struct endpoint *local, const struct endpoint *remote, dial_done_fn done, void *arg, struct dial **ret)
{
	by_tcp++;
	if (!tcp_works)
		return ECONNREFUSED;
	dial.egress = e;
	*ret = &dial;
	return 0;
}

static void on_connection(struct watch *w, uint32_t ready)
{
	uint8_t question[600], out[602];
	ssize_t n = recv(w->fd, question, sizeof(question), MSG_DONTWAIT);
	size_t len = n > 2 ? make_answer(question + 2, (size_t)n - 2, true, out + 2, sizeof(out) - 2) : 0;

	put16(out, (uint16_t)len);
	if (len && send(w->fd, out, 1, 0) == 1 && send(w->fd, out + 1, len + 1, 0) < 0)
		abort();
	if (n <= 0)
		loop_close(loop, w);
}

static int take_dial(struct dial *d)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	loop_watch(loop, &connection, pair[0], EPOLLIN, on_connection);
	return pair[1];
}

static void on_done(void *arg, const struct ip *ips, size_t n, const char *why)
{
	char text[IP_TEXT];
	size_t len = (size_t)snprintf(outcome, sizeof(outcome), "%s", why ? why : "");

	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(outcome + len, sizeof(outcome) - len, "%s%s", i ? " " : "", ip_format(&ips[i], text));
	loop_stop(loop);
}

static const struct {
	const char *name;
	enum deed deeds[2];
	bool tcp;
	const char *want;
	int asked, by_tcp;
} rows[] = {
	{ "both", { ADDRESS, ADDRESS }, true, "10.0.0.1 fd00::1", 2, 0 },
	{ "one of them", { ADDRESS, NONE }, true, "10.0.0.1", 2, 0 },
	{ "neither", { NONE, NONE }, true, "the target knows no such name", 2, 0 },
	{ "a server that fails for AAAA", { ADDRESS, FAILS }, true, "10.0.0.1", 2, 0 },
	{ "a server that fails for A", { FAILS, ADDRESS }, true, "fd00::1", 2, 0 },
	{ "a server that fails for AAAA, and has no A", { NONE, FAILS }, true, "the target's name servers give no answer to it", 8, 0 },
	{ "a server that says nothing to AAAA", { ADDRESS, NOTHING }, true, "10.0.0.1", 2, 0 },
	{ "a server that says nothing", { NOTHING, NOTHING }, true, "no name server of the target's answers", 8, 0 },
	{ "an answer that is cut off", { CUT, NONE }, true, "10.0.0.1 10.0.0.2", 2, 1 },
	{ "… before its first record", { CUT_EMPTY, ADDRESS }, true, "10.0.0.1 10.0.0.2 fd00::1", 2, 1 },
	{ "… where TCP is refused", { CUT, NONE }, false, "10.0.0.1", 2, 1 },
	{ "… and nothing is left", { CUT_EMPTY, NONE }, false, "the target's name servers give no answer to it", 8, 4 },
};

int main(void)
{
	static const struct egress_ops ops = { .open = open_port, .send = send_port, .close = close_port, .dial = start_dial, .take = take_dial };
	struct egress target = { .ops = &ops };
	char resolv_conf[] = "nameserver 10.96.0.10\n";
	const struct target_info info = { .resolv_conf = resolv_conf };
	struct error err = { 0 };

	loop = loop_new(&err);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lookup *l = lookup_new(loop, &target, &info);

		memcpy(deeds, rows[i].deeds, sizeof(deeds));
		tcp_works = rows[i].tcp;
		asked = by_tcp = 0;
		outcome[0] = '\0';
		lookup_ask(l, "shop.test.", on_done, NULL);
		tap_int(loop_run(loop, &err), 0, "%s: runs", rows[i].name);
		tap_str(outcome, rows[i].want, "%s: what came of it", rows[i].name);
		tap_int(asked, rows[i].asked, "%s: questions", rows[i].name);
		tap_int(by_tcp, rows[i].by_tcp, "%s: connections", rows[i].name);
		lookup_free(l);
		if (connection.added)
			loop_close(loop, &connection);
		waiting_len[0] = waiting_len[1] = 0;
	}
	loop_free(loop);
	return tap_done();
}
