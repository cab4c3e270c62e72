// SPDX-License-Identifier: MIT
/* DNS as it passes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"

/* Logs the question (@answer false: on its way to @server) or the answer in @message. */
void dns_watch(const uint8_t *message, size_t len, const struct endpoint *server, bool answer);
