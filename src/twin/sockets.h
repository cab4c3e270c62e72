// SPDX-License-Identifier: MIT
/* The sockets that the session uses in relay namespace and twin; opened here, since it has no place in them. */
#pragma once

#include <stdbool.h>

#include "twin/build.h"

/* packet_in, packet_out and listeners, in the relay namespace that the process is in. */
int relay_sockets_open(struct twin *t, bool ipv6, struct error *err);
/* diag, in the twin that the process is in. */
int twin_sockets_open(struct twin *t, struct error *err);
