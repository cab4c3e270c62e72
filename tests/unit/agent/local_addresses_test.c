// SPDX-License-Identifier: MIT
/* An address is another's as soon as the kernel can tell, also when there were no descriptors to ask it with before. */
#include "agent/local_addresses.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/loop.h"
#include "relay/isolate.h"
#include "tap.h"

/* No descriptor is to be had any more, or as many as before. */
static void starve(bool yes)
{
	static struct rlimit before;
	struct rlimit none;
	int next = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	if (yes && getrlimit(RLIMIT_NOFILE, &before) < 0)
		abort();
	if (next >= 0)
		close(next);
	none = (struct rlimit){ (rlim_t)next, before.rlim_max };
	if (setrlimit(RLIMIT_NOFILE, yes ? &none : &before) < 0)
		abort();
}

int main(void)
{
	static struct local_addresses *l; /* for good, as in the agent */
	struct ip own, others;

	ip_parse("127.0.0.1", &own);
	ip_parse("192.0.2.1", &others);
	if (!isolate()) {
		printf("1..0 # SKIP no network namespace is to be had\n");
		return 0;
	}
	l = local_addresses_new();
	starve(true);
	tap_ok(local_addresses_has(l, &others, LOOP_SECOND), "any is taken when the kernel can't be asked");
	starve(false);
	tap_ok(local_addresses_has(l, &others, LOOP_SECOND + 1), "it isn't asked for each packet");
	tap_ok(!local_addresses_has(l, &others, 2 * LOOP_SECOND), "a second later it is asked again");
	tap_ok(local_addresses_has(l, &own, 2 * LOOP_SECOND), "loopback is its own");
	return tap_done();
}
