// SPDX-License-Identifier: MIT
/* The server as the driver reaches it: directly, or at the address that some proxy lends it. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Services of bench-server, as offsets to its first port. */
enum service {
	SERVICE_ECHO,	/* TCP and UDP: gives back what came */
	SERVICE_SINK,	/* TCP: checks the pattern; at the end of the stream answers "BYTES WRONG-OFFSET NS\n"; UDP: counts */
	SERVICE_SOURCE, /* TCP: sends the pattern until the peer is gone */
	SERVICE_STUCK,	/* TCP: accepts and never reads */
	SERVICE_COUNTS, /* TCP: answers "DATAGRAMS WRONG NS\n" of UDP SERVICE_SINK since the last such answer */
	SERVICES,
};

struct remote {
	struct sockaddr_storage base;
	socklen_t len;
};

/* Exits when @host isn't a numeric address. */
void remote_parse(struct remote *r, const char *host, const char *first_port);
/* The address of one service. */
struct sockaddr_storage remote_service(const struct remote *r, enum service s);
/* A new socket, TCP_NODELAY set on a stream, with @timeout_ms for connect, receive and send (0: for ever). -1 with errno. */
int remote_socket(const struct remote *r, int type, int timeout_ms);
/* Makes and connects a blocking socket. -1 with errno. */
int remote_connect(const struct remote *r, enum service s, int type, int timeout_ms);

/* Whole messages over a blocking stream socket: 0, or -1 with errno (ECONNRESET at an early end). */
int remote_send(int fd, const void *data, size_t len);
int remote_receive(int fd, void *data, size_t len);
/* Reads to the end of the stream, a text of at most @size - 1 bytes. */
int remote_text(int fd, char *text, size_t size);
/* Close with a reset (as a proxy's peer sees a crash) or with a FIN. */
void remote_close(int fd, bool reset);
