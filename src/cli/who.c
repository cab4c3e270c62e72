// SPDX-License-Identifier: MIT
/* No more than words, so nobody looks the user up: that may take seconds where the users are on another machine. */
#include "cli/who.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

void who_say(uid_t uid, bool sudo, const char *program, char ret[SUBSCRIPTION_WHO_MAX + 1])
{
	const char *user = getenv(sudo ? "SUDO_USER" : "USER");
	struct utsname machine;
	char number[16];

	snprintf(number, sizeof(number), "uid %u", uid);
	snprintf(ret, SUBSCRIPTION_WHO_MAX + 1, "%s@%s: %s", user && *user ? user : number, uname(&machine) == 0 ? machine.nodename : "?", program);
}
