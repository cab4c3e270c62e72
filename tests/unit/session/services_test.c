// SPDX-License-Identifier: MIT
/* What counts as a service, with sockets of a network namespace of the test's own: UDP ones of the range that the kernel chooses from when they were
 * reported, until they are closed. */
#include "session/services.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/isolate.h"
#include "tap.h"

enum { OUTSIDE = 999, CHOSEN = 20000 };

static const struct endpoint none;

static int bind_to(int type, uint16_t port)
{
	struct endpoint at = { .ip = IP_ANY4, .port = port };
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&at, &sa);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0))
		abort();
	return fd;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &(socklen_t){ sizeof(cookie) }) < 0)
		abort();
	return cookie;
}

static bool has(const struct services *s, uint64_t cookie)
{
	return services_find(s, &(struct notify_event){ .cookie = cookie, .protocol = IPPROTO_TCP });
}

static bool listed(struct services *s, int fd)
{
	return services_list(s) && has(s, cookie_of(fd));
}

static void test_udp(struct services *s)
{
	int outside = bind_to(SOCK_DGRAM, OUTSIDE), chosen = bind_to(SOCK_DGRAM, CHOSEN), tcp = bind_to(SOCK_STREAM, CHOSEN);
	uint64_t cookie = cookie_of(chosen);

	tap_ok(listed(s, outside), "UDP: outside of the range");
	tap_ok(listed(s, tcp), "TCP: in the range");
	tap_ok(!listed(s, chosen), "UDP: in the range");
	services_report(s, cookie);
	services_report(s, cookie);
	tap_int(s->reported.n, 1, "reported twice is known once");
	for (int i = 0; i < 3; i++)
		tap_ok(listed(s, chosen), "in the range, and reported: list %d", i);
	close(chosen);
	for (int i = 0; i < 2; i++) /* the first has it as seen: by the list before, or by its report */
		tap_ok(services_list(s), "closed: list %d", i);
	tap_ok(!has(s, cookie), "is gone");
	tap_int(s->reported.n, 0, "and its report forgotten");
	close(outside);
	close(tcp);
}

static void test_find(struct services *s)
{
	int fd = bind_to(SOCK_STREAM, OUTSIDE);
	const struct endpoint at = { .ip = IP_ANY4, .port = OUTSIDE }, elsewhere = { .ip = IP_ANY4, .port = OUTSIDE + 1 };
	const struct {
		const char *name;
		struct notify_event event;
		bool found;
	} rows[] = {
		{ "its cookie", { .cookie = cookie_of(fd), .protocol = IPPROTO_TCP, .local = none }, true },
		{ "another cookie", { .cookie = ~0ULL, .protocol = IPPROTO_TCP, .local = at }, false },
		{ "MPTCP: where it stands", { .cookie = ~0ULL, .local = at }, true },
		{ "MPTCP: elsewhere", { .cookie = ~0ULL, .local = elsewhere }, false },
	};

	tap_ok(services_list(s), "list");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct diag_socket *one = services_find(s, &rows[i].event);

		tap_ok(rows[i].found ? one && one->cookie == cookie_of(fd) : !one, "find: %s", rows[i].name);
	}
	close(fd);
}

/* What doesn't fit is not seen, and does no harm. */
static void test_full(struct services *s)
{
	struct diag_socket one = { .local = { .ip = IP_ANY4, .port = OUTSIDE }, .protocol = IPPROTO_TCP };
	const struct diag_socket *last = NULL;

	tap_ok(services_list(s) && s->n == 0, "nothing is left");
	for (one.cookie = 1; one.cookie <= SERVICES_MAX; one.cookie++)
		last = services_add(s, &one);
	tap_ok(last && last->cookie == SERVICES_MAX && has(s, SERVICES_MAX), "the last one");
	tap_ok(!services_add(s, &one) && !has(s, SERVICES_MAX + 1), "one too many");
	tap_int(s->n, SERVICES_MAX, "all others are there");
}

/* Of a listener with room for one that nobody accepts from, which is no news before the second list. */
static void test_queue(struct services *s)
{
	struct endpoint at = { .ip = ip_loopback(true), .port = OUTSIDE };
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&at, &sa);
	int fd = bind_to(SOCK_STREAM, OUTSIDE), client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listen(fd, 0) < 0)
		abort();
	tap_ok(services_list(s) && s->n == 1 && !s->sockets[0].full && !s->n_full, "a listener with room");
	if (connect(client, (struct sockaddr *)&sa, len) < 0)
		abort();
	while (services_list(s) && !s->n_full) /* connect() returns before the last packet of the handshake has come */
		usleep(1000);
	tap_ok(!s->sockets[0].full, "its queue is full for the first time");
	tap_ok(services_list(s) && s->n_full == 1 && s->sockets[0].full, "and still is");
	close(accept(fd, NULL, NULL));
	tap_ok(services_list(s) && !s->n_full && !s->sockets[0].full, "somebody accepts");
	close(client);
	close(fd);
}

int main(void)
{
	static struct services s;
	static struct target_info info;
	static struct info_sysctl range = { .name = "ipv4/ip_local_port_range", .value = "20000\t20010" };
	struct error err = { 0 };
	struct sock_diag *d;

	if (!isolate()) {
		printf("1..0 # SKIP no network namespace is to be had\n");
		return 0;
	}
	info.sysctls = &range;
	info.n_sysctls = 1;
	d = sock_diag_open(&err);
	tap_ok(d && services_init(&s, d, &info) == 0, "init");
	test_udp(&s);
	test_find(&s);
	test_queue(&s);
	test_full(&s);
	services_report(&s, 1); /* and it ends with one that is known */
	services_fini(&s);
	sock_diag_close(d);
	return tap_done();
}
