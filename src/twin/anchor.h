// SPDX-License-Identifier: MIT
/* The anchor: a seccomp filter whose notification descriptor hangs up when the last process that descends from the one that installed it is
 * gone (Linux 5.9), and which reports listen(2) and bind(2) to the keeper (twin/notifier.h). */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { ANCHOR_FILTER_MAX = 64 };

/* The filter's instructions. Without @notify it allows everything. Returns their number. */
size_t anchor_filter(bool notify, struct sock_filter ret[ANCHOR_FILTER_MAX]);
enum anchor_call { ANCHOR_BIND, ANCHOR_LISTEN, ANCHOR_SOCKETCALL_BIND, ANCHOR_SOCKETCALL_LISTEN };
/* Which of the calls that the filter reports this is. */
enum anchor_call anchor_call_of(const struct seccomp_data *data);

/* Installs it, and returns the notification descriptor; -1 with @err. */
int twin_anchor(bool notify, struct error *err);
