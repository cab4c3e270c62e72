// SPDX-License-Identifier: MIT
/* Who we are, in words. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "tunnel/subscription.h"

/* "ann@laptop: node": what another session hears that finds a port taken. @sudo: @uid called us by it. */
void who_say(uid_t uid, bool sudo, const char *program, char ret[SUBSCRIPTION_WHO_MAX + 1]);
