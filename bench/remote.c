// SPDX-License-Identifier: MIT
#include "remote.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

void remote_parse(struct remote *r, const char *host, const char *first_port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&r->base;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&r->base;
	in_port_t port = htons((uint16_t)atoi(first_port));

	memset(r, 0, sizeof(*r));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = port;
		r->len = sizeof(*in);
	} else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port;
		r->len = sizeof(*in6);
	} else {
		errx(2, "%s is not an address", host);
	}
}

struct sockaddr_storage remote_service(const struct remote *r, enum service s)
{
	struct sockaddr_storage a = r->base;
	struct sockaddr_in *in = (struct sockaddr_in *)&a; /* the port has the same place in both families */

	in->sin_port = htons((uint16_t)(ntohs(in->sin_port) + s));
	return a;
}

int remote_socket(const struct remote *r, int type, int timeout_ms)
{
	struct timeval t = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	int fd = socket(r->base.ss_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if ((type & SOCK_STREAM) == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (timeout_ms) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	}
	return fd;
}

int remote_connect(const struct remote *r, enum service s, int type, int timeout_ms)
{
	struct sockaddr_storage a = remote_service(r, s);
	int fd = remote_socket(r, type, timeout_ms);

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&a, r->len) < 0) {
		int error = errno == EINPROGRESS ? ETIMEDOUT : errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

int remote_send(int fd, const void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, (const char *)data + at, len - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -1;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int remote_receive(int fd, void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = recv(fd, (char *)data + at, len - at, 0);

		if (n == 0)
			errno = ECONNRESET;
		if (n == 0 || (n < 0 && errno != EINTR))
			return -1;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int remote_text(int fd, char *text, size_t size)
{
	size_t at = 0;
	ssize_t n;

	while ((n = recv(fd, text + at, size - 1 - at, 0)) > 0)
		at += (size_t)n;
	text[at] = '\0';
	return n < 0 && !at ? -1 : 0;
}

void remote_close(int fd, bool reset)
{
	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(fd);
}
