// SPDX-License-Identifier: MIT
/* File descriptors: ownership, passing them between processes, the limit of their number. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define _cleanup_fd_ __attribute__((cleanup(fd_closep)))

/* Close what is open and reset to -1; keep errno. */
void fd_closep(int *fd);
/* Hand the descriptor over: returns it and leaves -1. */
int fd_steal(int *fd);

/* Most descriptors in one message (SCM_MAX_FD, unix(7)). */
enum { FD_MESSAGE_MAX = 253 };

/* One message over a unix socket with @n descriptors beside the @len > 0 bytes. Returns 0, or -1 with errno (ETOOMANYREFS: too many
 * descriptors of this user's are on their way; over a blocking socket it waits five seconds for them to arrive). */
int fd_send(int sock, const void *data, size_t len, const int *fds, size_t n);
/* Receives into @data and up to @max descriptors (CLOEXEC) into @fds; more than that are closed and EMSGSIZE.
 * Returns the bytes, 0 at the end, -1 with errno; @ret_n only with ≥ 0. @flags as for recvmsg(2). */
ssize_t fd_receive(int sock, void *data, size_t len, int *fds, size_t max, size_t *ret_n, int flags);

/* Lets go of what stderr is, for good: /dev/null takes its place. */
void fd_drop_stderr(void);
/* Moves the @n descriptors to 3, 4, … (CLOEXEC; those of -1 are left out and stay so) and closes all others but 0 to 2.
 * Returns 0, or -1 with errno. */
int fd_keep_only(int *fds, size_t n);
/* fork() for a process that is to stay, and gets no more than 0 to 2 and the @n descriptors, there moved as above. The parent goes on when the child
 * is called @name (15 bytes at most) and has let go of all others: what it closes then is closed, however late the child runs. The two are connected
 * by a unix socket pair of @type (SOCK_…; CLOEXEC): the child's end is @fds[0], whatever stood there, the parent's *ret_sock. When the parent's is
 * closed, by its death, too, the child reads the end. Returns as fork(2) does. */
pid_t fd_fork_connected(const char *name, int type, int *fds, size_t n, int *ret_sock);
int fd_set_nonblocking(int fd, bool on);
/* Whether closing the TCP socket @fd resets its connection (SO_LINGER of 0 seconds, socket(7)), or ends it. Accepted sockets inherit it. Returns 0,
 * or -1 with errno. */
int fd_reset_on_close(int fd, bool on);
bool fd_is_unix(int fd);
/* Two connected unix stream sockets (CLOEXEC) for bulk: with the largest buffers that the machine allows, up to 1 MiB. Returns 0, or -1
 * with errno. */
int fd_bulk_pair(int pair[2]);
/* Raises the soft limit of descriptors to the hard one. Returns the limit in force then. */
size_t fd_raise_limit(void);
/* Reads the whole of @fd, at most @max bytes (EFBIG above). Result is NUL-terminated and the caller's; NULL with errno. */
char *fd_read_all(int fd, size_t max, size_t *ret_len);
/* Writes all of it, however often that takes. Returns 0, or -1 with errno. */
int fd_write_all(int fd, const void *data, size_t len);
