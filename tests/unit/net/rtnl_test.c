// SPDX-License-Identifier: MIT
/* An IPv6 address is its namespace's own when rtnl_add_address() returns. */
#include "net/rtnl.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/isolate.h"
#include "tap.h"

enum { ADDRESSES = 300 }; /* without waiting 5 to 20 of these weren't, on a quiet machine */

/* There is no other route, so that a packet to an address that isn't its own leaves the kernel at a loss. */
static bool is_reached(const struct ip *ip)
{
	const struct endpoint to = { .ip = *ip, .port = 9 };
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&to, &sa);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool reached = connect(fd, (struct sockaddr *)&sa, len) == 0;

	close(fd);
	return reached;
}

int main(void)
{
	const struct veth_end near = { .name = "near", .netns = -1, .mac = { { 2, 0, 0, 0, 0, 1 } } };
	const struct veth_end far = { .name = "far", .netns = -1, .mac = { { 2, 0, 0, 0, 0, 2 } } };
	const struct link_change up = { .up = true, .no_ipv6_address = true };
	struct error err = { 0 };
	int reached = 0, n;
	struct rtnl *nl;

	if (!isolate()) {
		printf("1..0 # SKIP no network namespace is to be had\n");
		return 0;
	}
	if (!(nl = rtnl_open(&err)) || rtnl_add_veth(nl, &near, &far, 1500, &err) < 0 || rtnl_change_link(nl, "near", &up, &err) < 0)
		abort();
	for (n = 0; n < ADDRESSES && !error_is_set(&err); n++) {
		struct ip ip;
		char text[IP_TEXT];

		snprintf(text, sizeof(text), "fd09::%x", n + 1);
		ip_parse(text, &ip);
		if (rtnl_add_address(nl, "near", &ip, 64, &err) == 0)
			reached += is_reached(&ip);
	}
	tap_str(err.text, "", "addresses are added");
	tap_int(reached, ADDRESSES, "each is reached at once");
	rtnl_close(nl);
	return tap_done();
}
