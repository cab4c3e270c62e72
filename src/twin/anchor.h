// SPDX-License-Identifier: MIT
/* The anchor: a seccomp filter whose notification descriptor hangs up when the last process that descends from the one that installed it is
 * gone (Linux 5.9), and which reports listen(2), bind(2) and connect(2) to the keeper (twin/notifier.h). */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { ANCHOR_FILTER_MAX = 100 };

/* What is reported, a set of bits: listen and bind, connect. */
enum anchor_reports { ANCHOR_NOTHING = 0, ANCHOR_LISTENERS = 1, ANCHOR_CONNECTS = 2 };
/* The filter's instructions. Without @reports it allows everything. Returns their number. */
size_t anchor_filter(unsigned int reports, struct sock_filter ret[ANCHOR_FILTER_MAX]);
enum anchor_call { ANCHOR_BIND, ANCHOR_LISTEN, ANCHOR_CONNECT };
/* Which of the calls that the filter reports this is. *ret_socketcall: it came by socketcall(2), whose second argument is where its own are. */
enum anchor_call anchor_call_of(const struct seccomp_data *data, bool *ret_socketcall);

/* Installs it, and returns the notification descriptor; -1 with @err. */
int twin_anchor(unsigned int reports, struct error *err);
