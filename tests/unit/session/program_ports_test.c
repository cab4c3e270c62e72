// SPDX-License-Identifier: MIT
/* Datagrams to the program as packets, and which packets of the program's are answers. The gate is the test's: it keeps what is sent. */
#include "session/program_ports.h"

#include <errno.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "tap.h"

static uint8_t buffer[PACKET_MAX], answer_buffer[PACKET_MAX];
static struct packet sent;
static int n_sent;

uint8_t *gate_buffer(struct gate *g)
{
	return buffer;
}

void gate_send(struct gate *g, size_t len, struct packet_sum sum)
{
	if (packet_parse(buffer, len, &sent) < 0)
		abort();
	n_sent++;
}

struct owner {
	struct port *port;
	char got[64];
	struct endpoint from;
	int datagrams, errors, broken;
	struct icmp_error error;
};

static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct owner *o = arg;

	snprintf(o->got, sizeof(o->got), "%.*s", (int)len, (const char *)data);
	o->from = *from;
	o->datagrams++;
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct owner *o = arg;

	snprintf(o->got, sizeof(o->got), "%.*s", (int)len, (const char *)data);
	o->from = *to;
	o->error = *error;
	o->errors++;
}

static void on_broken(void *arg, int error)
{
	((struct owner *)arg)->broken = error;
}

static const struct port_events events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

static struct endpoint endpoint(const char *ip, uint16_t port)
{
	struct endpoint e = { .port = port };

	if (!ip_parse(ip, &e.ip))
		abort();
	return e;
}

/* The events' argument is @o, so it is opened in place. */
static int start(struct egress *e, struct owner *o, const char *ip, uint16_t port)
{
	struct endpoint client = endpoint(ip, port);

	*o = (struct owner){ .port = NULL };
	return e->ops->open(e, PORT_UDP, &client, &events, o, &o->port);
}

static int say(struct owner *o, const struct endpoint *to, const char *text)
{
	return o->port->egress->ops->send(o->port, to, (struct packet_marks){ .ttl = 33, .tos = 4 }, text, strlen(text));
}

/* A packet of the program's from @from to @to: whether it was taken as an answer. */
static bool program_says(struct egress *e, const struct endpoint *from, const struct endpoint *to, const char *text)
{
	struct packet p;
	size_t n = packet_build_udp(answer_buffer, from, to, (struct packet_marks){ 0 }, text, strlen(text), NULL);

	if (!n || packet_parse(answer_buffer, n, &p) < 0)
		abort();
	return program_ports_on_packet(e, &p);
}

static void test_family(struct egress *e, const char *client_ip, const char *program_ip, const char *other_ip)
{
	struct endpoint program = endpoint(program_ip, 53), other = endpoint(program_ip, 54), client = endpoint(client_ip, 4000);
	struct endpoint elsewhere = endpoint(other_ip, 4000);
	struct owner o;

	tap_int(start(e, &o, client_ip, 4000), 0, "%s: a port", client_ip);
	tap_ok(!program_says(e, &program, &client, "early"), "before anything came from there, what goes there is the program's own business");
	tap_int(say(&o, &program, "question"), 0, "a datagram");
	tap_ok(endpoint_equal(&sent.src, &client) && endpoint_equal(&sent.dst, &program), "goes from the client to the program");
	tap_ok(sent.ttl == 33 && sent.tos == 4 && sent.payload_len == 8, "as it is");
	tap_ok(program_says(e, &program, &client, "answer"), "what comes back is an answer");
	tap_ok(strcmp(o.got, "answer") == 0 && endpoint_equal(&o.from, &program), "and is told with who gave it");
	tap_ok(!program_says(e, &other, &client, "x"), "from another socket it is none");
	tap_ok(!program_says(e, &program, &elsewhere, "x"), "nor is what goes to somebody else");
	o.port->egress->ops->close(o.port);
	tap_ok(!program_says(e, &program, &client, "late"), "nor what comes when the port is closed");
}

static void test_error(struct egress *e, const char *client_ip, const char *program_ip)
{
	struct endpoint program = endpoint(program_ip, 53), client = endpoint(client_ip, 4000);
	bool v4 = ip_is_v4(&client.ip);
	struct icmp_error unreachable = { .offender = program.ip, .type = v4 ? ICMP_DEST_UNREACH : 1, .code = v4 ? ICMP_PORT_UNREACH : 4 };
	struct packet p;
	struct owner o;
	size_t n;

	start(e, &o, client_ip, 4000);
	say(&o, &program, "question");
	n = packet_build_icmp_error(answer_buffer, &unreachable, &sent, NULL, NULL);
	if (packet_parse(answer_buffer, n, &p) < 0)
		abort();
	tap_ok(program_ports_on_packet(e, &p), "%s: an error about a datagram is told", client_ip);
	tap_ok(o.errors == 1 && endpoint_equal(&o.from, &program) && o.error.type == unreachable.type && o.error.code == unreachable.code,
	       "with whom it was for");
	tap_ok(strncmp(o.got, "question", 8) == 0, "and what came back of it");
	for (size_t cut = 1; cut < n; cut++)
		if (packet_parse(answer_buffer, n - cut, &p) == 0)
			program_ports_on_packet(e, &p);
	o.port->egress->ops->close(o.port);
	packet_parse(answer_buffer, n, &p);
	tap_ok(!program_ports_on_packet(e, &p), "to nobody when the port is closed");
}

/* Clients of one port that come by one loopback alias. */
static void test_same_client(struct egress *e)
{
	struct endpoint program = endpoint("244.0.0.1", 53), first, second;
	struct owner a, b;

	tap_int(start(e, &a, "243.0.0.1", 4000), 0, "a client by an alias");
	tap_int(start(e, &b, "243.0.0.1", 4000), 0, "and another of the same port");
	say(&a, &program, "a");
	first = sent.src;
	say(&b, &program, "b");
	second = sent.src;
	tap_ok(first.port == 4000 && second.port != 4000 && second.port != 0, "get ports of their own");
	tap_ok(program_says(e, &program, &second, "to b") && b.datagrams == 1 && a.datagrams == 0, "and their own answers");
	b.port->egress->ops->close(b.port);
	tap_ok(program_says(e, &program, &first, "to a") && a.datagrams == 1, "also when one is gone");
	a.port->egress->ops->close(a.port);
}

/* A port that reaches many sockets remembers the last of them. */
static void test_many_pairs(struct egress *e)
{
	struct endpoint program = endpoint("10.0.0.7", 1000), client = endpoint("192.0.2.1", 4000);
	struct owner o;

	start(e, &o, "192.0.2.1", 4000);
	for (int i = 0; i < 40; i++, program.port++)
		say(&o, &program, "x");
	program.port = 1000;
	tap_ok(!program_says(e, &program, &client, "x"), "the first socket is forgotten");
	program.port = 1039;
	tap_ok(program_says(e, &program, &client, "x"), "the last one isn't");
	o.port->egress->ops->close(o.port);
}

int main(void)
{
	struct gate *gate = NULL;
	struct egress *e = program_ports_new(&gate);
	struct endpoint any = endpoint("192.0.2.1", 1);
	struct port *port = NULL;
	struct owner o;

	test_family(e, "192.0.2.1", "10.0.0.7", "192.0.2.2");
	test_family(e, "2001:db8::1", "fd00::7", "2001:db8::2");
	test_error(e, "192.0.2.1", "10.0.0.7");
	test_error(e, "2001:db8::1", "fd00::7");
	test_same_client(e);
	test_many_pairs(e);
	tap_int(e->ops->open(e, PORT_ECHO, &any, &events, NULL, &port), EPROTONOSUPPORT, "echo is refused");
	start(e, &o, "192.0.2.1", 4000);
	tap_int(say(&o, &(struct endpoint){ .ip = IP_ANY6, .port = 1 }, "x"), EMSGSIZE, "addresses of two families make no packet");
	program_ports_break(e);
	tap_int(o.broken, ECONNREFUSED, "the program's end breaks every port");
	o.port->egress->ops->close(o.port);
	program_ports_free(e);
	return tap_done();
}
