// SPDX-License-Identifier: MIT
/* DNS as it passes: into the log, and to the names of addresses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"

struct names;

/* A question in @message is on its way to @server. */
void dns_watch_question(const uint8_t *message, size_t len, const struct endpoint *server);
/* An answer came from there. @now: nanoseconds. */
void dns_watch_answer(struct names *names, const uint8_t *message, size_t len, const struct endpoint *server, uint64_t now);
