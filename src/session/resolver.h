// SPDX-License-Identifier: MIT
/* This machine's own resolver: getaddrinfo(3) and getnameinfo(3), with all that this machine's nsswitch.conf has (its hosts file, mDNS, split
 * DNS), in a process beside the session, since it waits, and loads what it likes. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "net/addr.h"
#include "net/loop.h"

struct resolver;

enum { RESOLVER_ADDRESSES = 32, RESOLVER_NAME = 1025 };
/* NO_DATA: there is such a name, without an address. AGAIN: nobody could say. */
enum resolver_status { RESOLVER_FOUND, RESOLVER_NO_NAME, RESOLVER_NO_DATA, RESOLVER_AGAIN };

struct resolver_answer {
	enum resolver_status status;
	const char *name; /* the one that the question's is an alias of; the address's name; NULL: none */
	const struct ip *ips;
	size_t n;
};

/* Starts the process; as root it becomes @uid and @gid, unless these are root's. NULL with @err. */
struct resolver *resolver_new(struct loop *loop, uid_t uid, gid_t gid, struct error *err);
/* No answer comes any more. */
void resolver_free(struct resolver *r);
/* @done is called once, later: also with RESOLVER_AGAIN when the process is gone or too much is asked at once. */
typedef void (*resolver_done_fn)(void *arg, const struct resolver_answer *a);
/* The addresses of both families. */
void resolver_ask(struct resolver *r, const char *name, resolver_done_fn done, void *arg);
/* The name of an address. */
void resolver_ask_name(struct resolver *r, const struct ip *ip, resolver_done_fn done, void *arg);
