// SPDX-License-Identifier: MIT
/* Datagrams to one of several addresses, over an egress that the test plays: what refuses, what breaks, and that neither is for good. */
#include "forward/talk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

enum { PORTS = 8, LOG = 400 };

/* Ports in the order in which they were opened; their owner is told of what happens to them. */
static struct {
	struct port port;
	void *arg;
	const struct port_events *events;
} ports[PORTS];
static int n_ports, failing_family;
static char told[LOG];
static struct talk talk;

static void tell(const char *what, const char *which)
{
	size_t len = strlen(told);

	snprintf(told + len, sizeof(told) - len, "%s%s%s", len ? ", " : "", what, which);
}

static const char *address(const struct endpoint *e)
{
	static char text[IP_TEXT];

	return ip_format(&e->ip, text);
}

static int open_port(struct egress *e, enum port_kind kind, const struct endpoint *local, const struct port_events *events, void *arg,
		     struct port **ret)
{
	if (n_ports == PORTS)
		abort();
	ports[n_ports].port.egress = e;
	ports[n_ports].events = events;
	ports[n_ports].arg = arg;
	*ret = &ports[n_ports++].port;
	return 0;
}

static int send_port(struct port *p, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	if (ip_family(&to->ip) == failing_family)
		return ENETUNREACH;
	tell("to ", address(to));
	return 0;
}

static void close_port(struct port *p)
{
	tell("closed", "");
}

static void on_answer(void *arg, struct packet_marks marks, const uint8_t *data, size_t len)
{
	tell("answer", "");
}

static void on_refused(void *arg, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	tell("refused", "");
}

static void on_broken(void *arg, int error)
{
	tell("broken: ", strerror(error));
}

/* What becomes of words: "send", "refuse 10.0.0.1", "answer 10.0.0.1", "break" the port that was opened last. */
static void play(const char *words)
{
	char text[LOG], *save = NULL;
	const struct icmp_error error = { 0 };
	const uint8_t data[] = "x";

	snprintf(text, sizeof(text), "%s", words);
	for (char *word = strtok_r(text, ", ", &save); word; word = strtok_r(NULL, ", ", &save)) {
		struct endpoint from = { .port = 53 };

		if (*word == 's') {
			if (talk_send(&talk, (struct packet_marks){ .ttl = 64 }, data, 1) != 0)
				tell("not sent", "");
		} else if (*word == 'b') {
			ports[n_ports - 1].events->on_broken(ports[n_ports - 1].arg, EMFILE);
		} else {
			ip_parse(strtok_r(NULL, ", ", &save), &from.ip);
			if (*word == 'r')
				ports[n_ports - 1].events->on_error(ports[n_ports - 1].arg, &from, &error, data, 1);
			else
				ports[n_ports - 1].events->on_datagram(ports[n_ports - 1].arg, &from, (struct packet_marks){ 0 }, data, 1);
		}
	}
}

static const struct {
	const char *name, *ips[2], *words, *want;
	int failing_family;
} rows[] = {
	{ "the first address", { "10.0.0.1", "10.0.0.2" }, "send, answer 10.0.0.1, send", "to 10.0.0.1, answer, to 10.0.0.1, closed", 0 },
	{ "the second, when the first refuses", { "10.0.0.1", "10.0.0.2" }, "send, refuse 10.0.0.1, send",
	  "to 10.0.0.1, to 10.0.0.2, to 10.0.0.2, closed", 0 },
	{ "one that refuses is asked again", { "10.0.0.1" }, "send, refuse 10.0.0.1, send", "to 10.0.0.1, refused, to 10.0.0.1, closed", 0 },
	{ "all refuse: then the first again", { "10.0.0.1", "fd00::1" }, "send, refuse 10.0.0.1, refuse fd00::1, send",
	  "to 10.0.0.1, to fd00::1, refused, to 10.0.0.1, closed, closed", 0 },
	{ "one that has answered, and then refuses", { "10.0.0.1", "10.0.0.2" }, "send, answer 10.0.0.1, refuse 10.0.0.1, send, refuse 10.0.0.1",
	  "to 10.0.0.1, answer, refused, to 10.0.0.1, to 10.0.0.2, closed", 0 },
	{ "a refusal that comes late", { "10.0.0.1", "10.0.0.2" }, "send, send, refuse 10.0.0.1, refuse 10.0.0.1",
	  "to 10.0.0.1, to 10.0.0.1, to 10.0.0.2, closed", 0 },
	{ "a family that can't be sent to", { "fd00::1", "10.0.0.1" }, "send, send", "to 10.0.0.1, to 10.0.0.1, closed, closed", AF_INET6 },
	{ "… and there is no other", { "fd00::1" }, "send, send", "not sent, not sent, closed", AF_INET6 },
	{ "a port that breaks", { "10.0.0.1" }, "send, break, send, answer 10.0.0.1",
	  "to 10.0.0.1, broken: Too many open files, closed, to 10.0.0.1, answer, closed", 0 },
};

int main(void)
{
	static const struct egress_ops ops = { .open = open_port, .send = send_port, .close = close_port };
	static const struct talk_events events = { .on_answer = on_answer, .on_refused = on_refused, .on_broken = on_broken };
	struct egress egress = { .ops = &ops };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip ips[2];
		size_t n = 0;

		for (; n < 2 && rows[i].ips[n]; n++)
			ip_parse(rows[i].ips[n], &ips[n]);
		told[0] = '\0';
		n_ports = 0;
		failing_family = rows[i].failing_family;
		talk_init(&talk, &egress, ips, n, 53, &events, NULL);
		play(rows[i].words);
		talk_close(&talk);
		tap_str(told, rows[i].want, "%s", rows[i].name);
	}
	return tap_done();
}
