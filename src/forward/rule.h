// SPDX-License-Identifier: MIT
/* A forwarding as the user writes it. Pure functions.
 *
 *   -L  [[ADDRESS:]PORT:]HOST:PORT   listens on this machine (127.0.0.1, the remote port), connects from the target
 *   -R  [PORT:[HOST:]]PORT           takes a port of the target's, connects on this machine (localhost)
 *
 * IPv6 addresses stand in brackets. /udp or /tcp may stand behind it; TCP is the default. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"

enum { FORWARD_HOST_MAX = 255 };

struct forward_rule {
	bool remote;		/* -R */
	int protocol;		/* IPPROTO_TCP, IPPROTO_UDP */
	struct endpoint listen; /* -L: of this machine, port 0 is any; -R: "any", and the target's port */
	char host[FORWARD_HOST_MAX + 1]; /* where it leads: a name or an address */
	uint16_t port;
};

/* Returns 0, or -1 with @err. */
int forward_rule_parse(bool remote, const char *text, struct forward_rule *ret, struct error *err);
/* Whether both want the same port at the same place. */
bool forward_rule_clashes(const struct forward_rule *a, const struct forward_rule *b);
enum { FORWARD_RULE_TEXT = 400 };
/* "127.0.0.1:8080 leads to payment:80 in the target". Returns @buf. */
const char *forward_rule_format(const struct forward_rule *r, char buf[FORWARD_RULE_TEXT]);
