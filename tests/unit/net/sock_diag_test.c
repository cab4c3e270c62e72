// SPDX-License-Identifier: MIT
/* Asking for sockets, and ending them, in a network namespace of the test's own. */
#include "net/sock_diag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/isolate.h"
#include "relay/peers.h"
#include "tap.h"

static struct endpoint name_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct endpoint e = { 0 };

	getsockname(fd, (struct sockaddr *)&sa, &len);
	endpoint_from_sockaddr(&sa, &e);
	return e;
}

static int listen_on(int family)
{
	struct endpoint any = { .ip = family == AF_INET ? IP_ANY4 : IP_ANY6 };
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&any, &sa);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 16) < 0)
		abort();
	return fd;
}

struct found {
	struct diag_socket all[16];
	size_t n;
};

static void note(void *arg, const struct diag_socket *s)
{
	struct found *f = arg;

	if (f->n < sizeof(f->all) / sizeof(f->all[0]))
		f->all[f->n++] = *s;
}

/* A connection to @ip on a listener of @family. */
static void test_connection(struct sock_diag *d, int family, const char *ip)
{
	int listener = listen_on(family), accepted, client;
	struct endpoint server = { .port = name_of(listener).port }, own, elsewhere;
	struct found f = { 0 };
	struct diag_socket s;
	struct sockaddr_storage sa;
	socklen_t len;

	ip_parse(ip, &server.ip);
	len = endpoint_to_sockaddr(&server, &sa);
	client = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	set_patience(client);
	if (connect(client, (struct sockaddr *)&sa, len) < 0)
		abort();
	own = name_of(client);
	elsewhere = own;
	elsewhere.port = 9; /* the kernel gives nobody that one */
	tap_int(sock_diag_find(d, &own, &server, &s), TCP_ESTABLISHED, "%s: the client's socket", ip);
	tap_ok(!s.transparent, "%s: isn't transparent", ip);
	tap_int(sock_diag_find(d, &server, &own, &s), TCP_ESTABLISHED, "%s: the server's", ip);
	tap_ok(endpoint_equal(&s.local, &server) && endpoint_equal(&s.remote, &own), "%s: with these ends", ip);
	tap_int(sock_diag_find(d, &elsewhere, &server, NULL), 0, "%s: no such socket", ip);
	tap_int(sock_diag_find(d, &server, &elsewhere, &s), TCP_LISTEN, "%s: who would take it", ip);
	tap_int(s.backlog, 16, "%s: how long its queue may be", ip);
	tap_int(s.waiting, 1, "%s: and is", ip);
	tap_int(sock_diag_list(d, IPPROTO_TCP, server.port, 1 << TCP_ESTABLISHED, note, &f), 0, "%s: a list by the local port", ip);
	tap_int(f.n, 1, "%s: has the server's side alone", ip);
	tap_ok(f.all[0].transparent, "%s: which is transparent, as its listener", ip);
	tap_int(sock_diag_destroy(d, &f.all[0]), 0, "%s: destroyed", ip);
	tap_int(read_outcome(client), ECONNRESET, "%s: the other end hears of it", ip);
	tap_int(sock_diag_destroy(d, &f.all[0]), -ENOENT, "%s: once", ip);
	accepted = accept(listener, NULL, NULL);
	if (accepted >= 0)
		close(accepted);
	close(client);
	close(listener);
}

/* What listens, and whether for both families, as another asker over a socket of the test's sees it. */
static void test_services(void)
{
	struct error err = { 0 };
	int on = 1, listeners[] = { listen_on(AF_INET), listen_on(AF_INET6), socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) };
	int asker = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	struct sock_diag *d = sock_diag_over(asker, &err);
	struct found tcp = { 0 }, udp = { 0 };
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	if (!d || setsockopt(listeners[2], IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0 ||
	    bind(listeners[2], (struct sockaddr *)&any, sizeof(any)) < 0 || getsockopt(listeners[2], SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		abort();
	tap_int(sock_diag_list_services(d, IPPROTO_TCP, note, &tcp), 0, "a list of listeners");
	tap_int(tcp.n, 2, "has both families'");
	tap_int(tcp.all[0].protocol, IPPROTO_TCP, "has the protocol");
	tap_ok(!tcp.all[1].v6only, "the one of IPv6 is for both");
	tap_int(sock_diag_list_services(d, IPPROTO_UDP, note, &udp), 0, "a list of UDP sockets");
	tap_int(udp.n, 1, "has the one");
	tap_int(udp.all[0].protocol, IPPROTO_UDP, "has the protocol");
	tap_ok(udp.all[0].v6only, "for IPv6 alone");
	tap_ok(udp.all[0].cookie == cookie, "with its cookie");
	sock_diag_close(d);
	tap_ok(close(asker) == 0, "the asker's socket stays the caller's");
	for (int i = 0; i < 3; i++)
		close(listeners[i]);
}

/* A UDP socket on every address of @family, asked for by @ip. */
static void test_datagrams(struct sock_diag *d, int family, const char *ip)
{
	struct endpoint at = { .ip = family == AF_INET ? IP_ANY4 : IP_ANY6 }, from = { .port = 53 }, other;
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&at, &sa);
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	struct diag_socket s;

	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		abort();
	at = (struct endpoint){ .port = name_of(fd).port };
	ip_parse(ip, &at.ip);
	from.ip = at.ip;
	other = (struct endpoint){ at.ip, at.port ^ 1 };
	tap_int(sock_diag_find_udp(d, &at, &from, &s), TCP_CLOSE, "UDP, %s: who gets it", ip);
	tap_ok(s.local.port == at.port && !s.no_port, "UDP, %s: an ordinary socket", ip);
	tap_int(sock_diag_find_udp(d, &other, &from, NULL), 0, "UDP, %s: nobody gets that", ip);
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0)
		abort();
	tap_ok(sock_diag_find_udp(d, &at, &from, &s) == TCP_CLOSE && s.no_port, "UDP, %s: the option shows", ip);
	len = endpoint_to_sockaddr(&from, &sa);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		abort();
	tap_int(sock_diag_find_udp(d, &at, &from, NULL), TCP_ESTABLISHED, "UDP, %s: from its peer", ip);
	from.port++;
	tap_int(sock_diag_find_udp(d, &at, &from, NULL), 0, "UDP, %s: from nobody else", ip);
	close(fd);
}

int main(void)
{
	struct error err = { 0 };
	struct sock_diag *d;

	if (!isolate()) {
		printf("1..0 # SKIP no network namespace is to be had\n");
		return 0;
	}
	d = sock_diag_open(&err);
	tap_ok(d, "open");
	test_connection(d, AF_INET, "127.0.0.1");
	test_connection(d, AF_INET6, "::1");
	test_connection(d, AF_INET6, "127.0.0.1"); /* a mapped one */
	test_datagrams(d, AF_INET, "127.0.0.1");
	test_datagrams(d, AF_INET6, "::1");
	sock_diag_close(d);
	test_services();
	return tap_done();
}
