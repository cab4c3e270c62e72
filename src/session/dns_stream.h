// SPDX-License-Identifier: MIT
/* The program's TCP connections to its name servers, message by message: those that this machine answers don't reach the server. */
#pragma once

#include <stddef.h>

#include "net/addr.h"
#include "net/loop.h"
#include "session/dns_local.h"
#include "session/names.h"

struct dns_streams;

/* @dns: what this machine answers; NULL there: nothing (any more). NULL without memory. */
struct dns_streams *dns_streams_new(struct loop *loop, struct dns_local **dns, struct names *names);
/* Resets all connections. */
void dns_streams_free(struct dns_streams *s);
/* The program's connected socket, and the server's; owned from here on. */
void dns_streams_join(struct dns_streams *s, int program, int server, const struct endpoint *from, const struct endpoint *to);
/* This machine's answer to a question of such a connection. @len of 0: there is none. */
void dns_streams_on_answer(struct dns_streams *s, const struct dns_asker *who, const uint8_t *message, size_t len);
size_t dns_streams_count(const struct dns_streams *s);
