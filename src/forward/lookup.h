// SPDX-License-Identifier: MIT
/* Names, as the target's own resolver would find them: its hosts file, its name servers, its search list (resolv.conf(5)). */
#pragma once

#include "net/loop.h"
#include "relay/egress.h"
#include "tunnel/info.h"

struct lookup;
struct question;

enum { LOOKUP_ADDRESSES = 32 };

/* @target is the egress to ask by; it stays the caller's and outlives it. NULL without memory. */
struct lookup *lookup_new(struct loop *loop, struct egress *target, const struct target_info *info);
/* Ends all questions without an answer. */
void lookup_free(struct lookup *l);

/* @n is 0 when there is no such name, or nobody answered: @why says which. Addresses of IPv4 come first. */
typedef void (*lookup_done_fn)(void *arg, const struct ip *ips, size_t n, const char *why);
/* Asks for the addresses of @name, which may be one itself; @done is called once, later. NULL without memory. */
struct question *lookup_ask(struct lookup *l, const char *name, lookup_done_fn done, void *arg);
/* @done is not called any more; before it was. */
void lookup_cancel(struct question *q);
