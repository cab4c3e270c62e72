// SPDX-License-Identifier: MIT
/* Names of Unix sockets (unix(7)): a path, or an abstract name, which begins with a 0 byte. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { UNIX_NAME_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) };

/* A path has no 0 byte; an abstract name may have some, and its length is a part of it. A @len of 0: none. */
struct unix_name {
	uint8_t len;
	char bytes[UNIX_NAME_MAX];
};

static inline bool unix_name_is_abstract(const struct unix_name *n)
{
	return n->len && !n->bytes[0];
}

/* None when they are too many, or a path with a 0 byte in it. */
void unix_name_set(struct unix_name *n, const void *bytes, size_t len);
/* As connect(2) takes it: a path ends at its first 0 byte. None when it names no socket. */
void unix_name_from_sockaddr(struct unix_name *n, const struct sockaddr_un *sa, size_t len);
socklen_t unix_name_to_sockaddr(const struct unix_name *n, struct sockaddr_un *ret);
/* For people: "/run/db.sock", "@name"; what is not printable as "?". */
void unix_name_format(const struct unix_name *n, char ret[UNIX_NAME_MAX + 1]);
