// SPDX-License-Identifier: MIT
/* Questions for this machine's name servers, over an egress that the test plays: ids, answers that aren't, a port that breaks, TCP and its
 * failure. */
#include "session/dns_forward.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/bytes.h"
#include "clock.h"
#include "tap.h"

static struct loop *loop;
static struct dns_forwarder *forwarder;
static struct egress *host;
static int answers, closed, opened, dial_error, tcp[2];
static uint8_t got[70000], sent[4096];
static size_t got_len, sent_len;
static struct endpoint sent_to;
static const struct port_events *events;
static void *events_arg;
static struct port port;
static struct dial dial;

static int open_port(struct egress *e, enum port_kind kind, const struct endpoint *local, const struct port_events *ev, void *arg, struct port **ret)
{
	opened++;
	events = ev;
	events_arg = arg;
	port.egress = e;
	*ret = &port;
	return 0;
}

static int send_port(struct port *p, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	memcpy(sent, data, len);
	sent_len = len;
	sent_to = *to;
	return 0;
}

static void close_port(struct port *p)
{
	closed++;
}

static int start_dial(struct egress *e, const struct endpoint *local, const struct endpoint *remote, dial_done_fn done, void *arg, struct dial **ret)
{
	if (dial_error)
		return dial_error;
	dial.egress = e;
	*ret = &dial;
	return 0;
}

static int take_dial(struct dial *d)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, tcp) < 0)
		abort();
	fd_set_nonblocking(tcp[0], false);
	return tcp[1];
}

static const struct egress_ops ops = { .open = open_port, .send = send_port, .close = close_port, .dial = start_dial, .take = take_dial };

static void on_answer(void *arg, const struct dns_asker *who, const uint8_t *message, size_t len)
{
	answers++;
	got_len = len;
	if (len)
		memcpy(got, message, len);
	loop_stop(loop);
}

/* "x." TXT, with the id 0x1234 */
static const uint8_t question[] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 16, 0, 1 };

static void ask(bool by_tcp)
{
	struct dns_asker who = { .connection = by_tcp ? &host : NULL };
	struct dns_message m;
	struct dns_cursor c;
	struct dns_question q;

	answers = 0;
	sent_len = 0;
	if (dns_parse(question, sizeof(question), &m) < 0)
		abort();
	c = dns_questions(&m);
	if (dns_next_question(&c, &q) <= 0)
		abort();
	dns_forwarder_ask(forwarder, &who, &q, question, sizeof(question));
}

static void answer_udp(uint8_t flip)
{
	uint8_t answer[sizeof(question)];

	memcpy(answer, sent, sizeof(answer));
	answer[2] |= 0x80;
	answer[13] ^= flip;
	events->on_datagram(events_arg, &sent_to, (struct packet_marks){ 0 }, answer, sizeof(answer));
}

static void run(void)
{
	struct error err = { 0 };

	loop_run(loop, &err);
}

static void on_pause(struct timer *t)
{
	loop_stop(loop);
}

/* Lets the loop work off what is there. */
static void settle(void)
{
	struct timer pause = { .on_due = on_pause };

	loop_arm(loop, &pause, loop_now(loop) + 50 * (uint64_t)LOOP_MS);
	run();
	loop_disarm(loop, &pause);
}

static void test_udp(void)
{
	uint16_t id;

	ask(false);
	tap_int(sent_len, sizeof(question), "the question is sent");
	id = get16(sent);
	tap_ok(memcmp(sent + 2, question + 2, sizeof(question) - 2) == 0, "as it is, but for its id");
	answer_udp(1);
	tap_int(answers, 0, "an answer to another question is none");
	answer_udp(0);
	tap_int(answers, 1, "the answer");
	tap_int(get16(got), 0x1234, "under the id that was asked with");
	answer_udp(0);
	tap_int(answers, 1, "once");
	ask(false);
	tap_ok(get16(sent) != id, "the next one has another id");
	answer_udp(0);
	tap_int(opened, 1, "one port for all");
	settle();
}

static void test_broken(void)
{
	events->on_broken(events_arg, EMFILE);
	ask(false);
	tap_ok(closed == 1 && opened == 2 && sent_len, "a port that broke is closed, and the next question has another one");
	answer_udp(0);
	tap_int(answers, 1, "by which the answer comes");
	settle();
}

static void test_tcp(size_t len, size_t piece)
{
	static uint8_t answer[2 + 65535];
	uint8_t head[2 + sizeof(question)];

	dial_error = 0;
	ask(true);
	settle();
	tap_ok(recv(tcp[0], head, sizeof(head), MSG_WAITALL) == (ssize_t)sizeof(head) && get16(head) == sizeof(question) && !sent_len,
	       "by TCP, and not by UDP");
	memcpy(answer, head, sizeof(head));
	put16(answer, (uint16_t)len);
	answer[4] |= 0x80;
	for (size_t at = 0; at < 2 + len; at += piece) {
		send(tcp[0], answer + at, piece < 2 + len - at ? piece : 2 + len - at, 0);
		if (2 + len < 200)
			settle();
	}
	if (!answers)
		run();
	tap_int(got_len, len, "an answer of %zu bytes, in pieces of %zu", len, piece);
	tap_ok(get16(got) == 0x1234 && answers == 1, "under the id that was asked with, once");
	close(tcp[0]);
	settle();
}

static void test_tcp_fails(void)
{
	dial_error = ECONNREFUSED;
	ask(true);
	tap_int(sent_len, sizeof(question), "refused by TCP: by UDP");
	answer_udp(0);
	tap_int(answers, 1, "and its answer");
	settle();
	dial_error = 0;
	ask(true);
	close(tcp[0]);
	settle();
	tap_int(sent_len, sizeof(question), "closed without an answer: by UDP");
	answer_udp(0);
	tap_int(answers, 1, "and its answer");
	settle();
}

int main(void)
{
	struct egress egress = { .ops = &ops };
	struct error err = { 0 };

	host = &egress;
	loop = loop_new(&err);
	forwarder = dns_forwarder_new(loop, &host, on_answer, NULL);
	test_udp();
	test_broken();
	test_tcp(sizeof(question), 1000);
	test_tcp(sizeof(question), 1);
	test_tcp(65535, 1000);
	test_tcp_fails();
	ask(true);
	ask(false);
	dns_forwarder_free(forwarder);
	loop_free(loop);
	tap_int(answers, 0, "freed with questions out: no answer");
	return tap_done();
}
