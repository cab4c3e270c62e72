// SPDX-License-Identifier: MIT
/* A redirected connection and a direct one, in a network namespace of the test's own. */
#include "net/conntrack.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/nft.h"
#include "relay/isolate.h"
#include "tap.h"

enum { PROXY = 15006, APP = 8080 };

/* What a connection to @ip is tracked as: the port that answers. It is closed by then. */
static uint16_t connect_and_ask(struct conntrack *c, const char *ip, uint16_t port)
{
	struct endpoint server = { .port = port }, client = { 0 };
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	ip_parse(ip, &server.ip);
	len = endpoint_to_sockaddr(&server, &sa);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		abort();
	len = sizeof(sa);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	endpoint_from_sockaddr(&sa, &client);
	close(fd);
	return conntrack_answering_port(c, &client, &server);
}

static void listen_on(const char *ip, uint16_t port)
{
	struct endpoint at = { .port = port };
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	ip_parse(ip, &at.ip);
	len = endpoint_to_sockaddr(&at, &sa);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 16) < 0)
		abort();
}

int main(void)
{
	static const char *const ips[] = { "127.0.0.1", "::1" };
	static const struct endpoint nobody = { .port = 1 };
	struct error err = { 0 };
	struct conntrack *c;

	if (!isolate()) {
		printf("1..0 # SKIP no network namespace is to be had\n");
		return 0;
	}
	c = conntrack_open();
	for (int i = 0; i < 2; i++) {
		listen_on(ips[i], PROXY);
		listen_on(ips[i], APP + 1);
	}
	tap_int(connect_and_ask(c, "127.0.0.1", APP + 1), 0, "nothing is tracked where nothing asks for it");
	tap_int(nft_apply("table inet mesh { chain out { type nat hook output priority -100; tcp dport 8080 redirect to :15006; }; }", &err), 0,
		"a sidecar's rule %s", err.text);
	for (int i = 0; i < 2; i++) {
		tap_int(connect_and_ask(c, ips[i], APP), PROXY, "redirected, to %s", ips[i]);
		tap_int(connect_and_ask(c, ips[i], APP + 1), APP + 1, "direct, to %s", ips[i]);
	}
	tap_int(conntrack_answering_port(c, &nobody, &nobody), 0, "no such connection");
	conntrack_close(c);
	return tap_done();
}
