// SPDX-License-Identifier: MIT
/* This machine's own resolver: getaddrinfo(3), with all that this machine's nsswitch.conf has (its hosts file, mDNS, split DNS), in a process
 * beside the session, since it waits, and loads what it likes. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "net/addr.h"
#include "net/loop.h"

struct resolver;

enum { RESOLVER_ADDRESSES = 32, RESOLVER_NAME = 1025 };
enum resolver_status { RESOLVER_FOUND, RESOLVER_NO_NAME, RESOLVER_AGAIN };

/* Starts the process; as root it becomes @uid and @gid, unless these are root's. NULL with @err. */
struct resolver *resolver_new(struct loop *loop, uid_t uid, gid_t gid, struct error *err);
/* No answer comes any more. */
void resolver_free(struct resolver *r);
/* Asks for the addresses of both families. @done is called once, later: also with RESOLVER_AGAIN when the process is gone or too much is
 * asked at once. */
typedef void (*resolver_done_fn)(void *arg, enum resolver_status status, const struct ip *ips, size_t n);
void resolver_ask(struct resolver *r, const char *name, resolver_done_fn done, void *arg);
