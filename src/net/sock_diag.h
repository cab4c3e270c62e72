// SPDX-License-Identifier: MIT
/* sock_diag(7): which sockets a network namespace has, and the end of a connection by force. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"

struct sock_diag;

/* Of the network namespace that the caller is in now. NULL with @err. */
struct sock_diag *sock_diag_open(struct error *err);
/* Of the network namespace that @fd was made in, a sock_diag socket, which stays the caller's. */
struct sock_diag *sock_diag_over(int fd, struct error *err);
void sock_diag_close(struct sock_diag *d);

/* One socket. @state is TCP_ESTABLISHED, … of netinet/tcp.h; TCP_SYN_RECV also of a connection that no accept() could return yet. */
struct diag_socket {
	struct endpoint local, remote;
	uint8_t protocol, state;
	bool transparent, no_port; /* IP_TRANSPARENT, IP_BIND_ADDRESS_NO_PORT is set (told since Linux 5.10) */
	bool v6only;	  /* of a socket without a peer */
	bool full;	  /* of a listener: more wait for accept() than it has room for, so the kernel drops every SYN */
	uint32_t backlog, waiting; /* of a listener: as listen(2) had it, and how many wait */
	uint64_t cookie;  /* SO_COOKIE */
};

/* The state of the TCP socket with those ends, or of a listener that would take their first packet; 0 when there is none. -errno when the kernel
 * can't tell. @ret may be NULL. */
int sock_diag_find(struct sock_diag *d, const struct endpoint *local, const struct endpoint *remote, struct diag_socket *ret);
/* The same for the UDP socket that gets what @remote sends to @local: TCP_CLOSE, TCP_ESTABLISHED when it is connected, 0 or -errno. */
int sock_diag_find_udp(struct sock_diag *d, const struct endpoint *local, const struct endpoint *remote, struct diag_socket *ret);
/* All sockets of both families whose local port is @port (0: any) and whose state is in @states (bits 1 << TCP_…). None of the calls may use @d.
 * The list is complete when this returns 0: the kernel writes it in our own calls. Else -errno (then some may have been given). */
int sock_diag_list(struct sock_diag *d, uint8_t protocol, uint16_t port, uint32_t states,
		   void (*each)(void *arg, const struct diag_socket *s), void *arg);
/* The sockets of both families that take what comes from anyone: TCP ones that listen, UDP ones that are bound and not connected. As above. */
int sock_diag_list_services(struct sock_diag *d, uint8_t protocol, void (*each)(void *arg, const struct diag_socket *s), void *arg);
/* Ends the connection as a reset from its peer would, and tells that one; CAP_NET_ADMIN, CONFIG_INET_DIAG_DESTROY. Returns 0 or -errno
 * (-ENOENT: it has ended by itself). */
int sock_diag_destroy(struct sock_diag *d, const struct diag_socket *s);
