// SPDX-License-Identifier: MIT
/* Load: one server that takes many connections, and clients that make them.
 *
 *   load serve IP PORT             TCP: PORT echoes, +1 never reads, +2 sends without end, +3 reads all and then says how much, +4 answers
 *                                  one byte and closes. UDP: PORT echoes
 *   load open IP PORT N            N connections at once; then, by lines on stdin: "exchange" 64 KiB on each, "rtt", "close"
 *   load short IP PORT N AT_ONCE   N connections of one byte each way
 *   load pour IP PORT BYTES        sends (0: without end), and exits at once
 *   load stall IP PORT N           would send 10 GiB on each of N connections; says how much when nothing was taken for three seconds
 *   load drink IP PORT SECONDS     reads for so long without looking
 *   load hold IP PORT SECONDS      reads nothing
 *   load rtt IP PORT N             the median and the longest round trip of N bytes, one by one, in microseconds
 *   load questions IP PORT N       N datagrams, each from a new socket that waits for the answer
 *   load peers IP PORT N           one socket, N datagrams to 127.x.y.z-like different ports: the first 1000 ports from PORT on
 *   load datagrams IP PORT N LEN   N datagrams of LEN bytes there and back; says how many came back whole */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 1 << 20, EXCHANGE = 64 << 10 };
static char data[1 << 17];
static struct sockaddr_in there;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void raise_limit(void)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

static void die(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned char role[MAX_FDS];
static uint64_t taken[MAX_FDS];

static void listen_on(int ep, int port)
{
	struct sockaddr_in at = there;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	at.sin_port = htons((uint16_t)(ntohs(there.sin_port) + port));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (void *)&at, sizeof(at)) < 0 || listen(fd, 65535) < 0)
		die("listen");
	role[fd] = (unsigned char)(100 + port);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.fd = fd });
}

static void write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return;
		if (n < 0)
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
		else
			p += n, len -= (size_t)n;
	}
}

static void take(int ep, int fd)
{
	static const unsigned int events[] = { EPOLLIN, 0, EPOLLOUT, EPOLLIN, EPOLLIN };
	int c, kind = role[fd] - 100, on = 1;

	while ((c = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		role[c] = (unsigned char)kind;
		taken[c] = 0;
		setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		epoll_ctl(ep, EPOLL_CTL_ADD, c, &(struct epoll_event){ .events = events[kind], .data.fd = c });
	}
}

static void serve_one(int fd)
{
	ssize_t n;
	char text[32];

	if (role[fd] == 2) {
		if (send(fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
			close(fd);
		return;
	}
	n = role[fd] == 1 ? -1 : recv(fd, data, sizeof(data), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN && role[fd] != 1)
		return;
	if (n > 0)
		taken[fd] += (uint64_t)n;
	if (n > 0 && (role[fd] == 0 || role[fd] == 4))
		write_all(fd, data, (size_t)n);
	if (n == 0 && role[fd] == 3) {
		snprintf(text, sizeof(text), "%llu\n", (unsigned long long)taken[fd]);
		write_all(fd, text, strlen(text));
		printf("took %s", text);
		fflush(stdout);
	}
	if (n <= 0 || role[fd] == 4)
		close(fd);
}

static void serve_datagrams(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (void *)&from, &len)) >= 0)
		sendto(fd, data, (size_t)n, 0, (void *)&from, len);
}

static void serve(void)
{
	struct epoll_event batch[256];
	int ep = epoll_create1(0), udp = socket(AF_INET, SOCK_DGRAM, 0), size = 8 << 20;

	for (int i = 0; i < 5; i++)
		listen_on(ep, i);
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(udp, (void *)&there, sizeof(there)) < 0)
		die("bind");
	role[udp] = 200;
	epoll_ctl(ep, EPOLL_CTL_ADD, udp, &(struct epoll_event){ .events = EPOLLIN, .data.fd = udp });
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, batch, 256, -1);

		for (int i = 0; i < n; i++) {
			int fd = batch[i].data.fd;

			if (role[fd] == 200)
				serve_datagrams(fd);
			else if (role[fd] >= 100)
				take(ep, fd);
			else
				serve_one(fd);
		}
	}
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	if (fd < 0)
		die("socket");
	if (connect(fd, (void *)&there, sizeof(there)) < 0) {
		int e = errno;

		close(fd);
		errno = e;
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static bool exchange(int fd, size_t len)
{
	size_t got = 0;

	if (send(fd, data, len, MSG_NOSIGNAL) != (ssize_t)len)
		return false;
	while (got < len) {
		ssize_t n = recv(fd, data, len - got, 0);

		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

static void open_many(int n)
{
	int *fds = calloc((size_t)n, sizeof(int)), good = 0, refused = 0, other = 0, last = 0;
	double began = now();
	char line[100];

	for (int i = 0; i < n; i++) {
		fds[good] = dial();
		if (fds[good] >= 0)
			good++;
		else if (errno == ECONNREFUSED)
			refused++;
		else
			other++, last = errno;
	}
	printf("open %d refused %d other %d (%s) in %.2f\n", good, refused, other, strerror(last), now() - began);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		int fine = 0;

		began = now();
		for (int i = 0; i < good; i++) {
			if (!strcmp(line, "exchange\n") || !strcmp(line, "rtt\n"))
				fine += exchange(fds[i], line[0] == 'r' ? 1 : EXCHANGE);
			else
				fine += close(fds[i]) == 0;
		}
		if (!strcmp(line, "close\n"))
			good = 0;
		printf("%.*s %d in %.2f\n", (int)strlen(line) - 1, line, fine, now() - began);
		fflush(stdout);
	}
}

static void short_ones(int n, int at_once)
{
	int ep = epoll_create1(0), started = 0, done = 0, failed = 0, last = 0, open = 0;
	struct epoll_event batch[256];
	double began = now();

	while (done + failed < n) {
		while (open < at_once && started < n) {
			int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

			started++;
			if (fd < 0 || (connect(fd, (void *)&there, sizeof(there)) < 0 && errno != EINPROGRESS)) {
				failed++, last = errno;
				close(fd);
				continue;
			}
			role[fd] = 0;
			open++;
			epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLOUT, .data.fd = fd });
		}
		int k = epoll_wait(ep, batch, 256, 60000);

		if (k == 0) {
			printf("stuck with %d open\n", open);
			break;
		}
		for (int i = 0; i < k; i++) {
			int fd = batch[i].data.fd, e = 0;
			socklen_t len = sizeof(e);
			ssize_t r;

			if (role[fd] == 0) {
				getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
				if (e || send(fd, "x", 1, MSG_NOSIGNAL) != 1) {
					failed++, last = e ? e : errno;
					open--;
					close(fd);
					continue;
				}
				role[fd] = 1;
				epoll_ctl(ep, EPOLL_CTL_MOD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.fd = fd });
				continue;
			}
			r = recv(fd, data, 10, 0);
			if (r == 1) {
				role[fd] = 2;
			} else if (r == 0 && role[fd] == 2) {
				done++, open--;
				close(fd);
			} else if (r <= 0) {
				failed++, open--, last = r ? errno : ENODATA;
				close(fd);
			}
		}
	}
	printf("done %d failed %d (%s) in %.2f\n", done, failed, strerror(last), now() - began);
}

static void pour(uint64_t bytes)
{
	int fd = dial();

	if (fd < 0)
		die("connect");
	for (uint64_t sent = 0; !bytes || sent < bytes;) {
		ssize_t n = send(fd, data, bytes && bytes - sent < sizeof(data) ? (size_t)(bytes - sent) : sizeof(data), MSG_NOSIGNAL);

		if (n < 0)
			die("send");
		sent += (uint64_t)n;
	}
}

/* Ends with its input. */
static void stall(int n)
{
	uint64_t *left = calloc((size_t)n, sizeof(*left)), sent = 0;
	int *fds = calloc((size_t)n, sizeof(*fds));
	double last;

	for (int i = 0; i < n; i++) {
		left[i] = 10ull << 30;
		fds[i] = dial();
		if (fds[i] < 0)
			die("connect");
	}
	for (last = now(); now() - last < 3; usleep(1000))
		for (int i = 0; i < n; i++) {
			size_t len = left[i] < sizeof(data) ? (size_t)left[i] : sizeof(data);
			ssize_t m = len ? send(fds[i], data, len, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;

			if (m < 0)
				continue;
			left[i] -= (uint64_t)m;
			sent += (uint64_t)m;
			last = now();
		}
	printf("sent %llu\n", (unsigned long long)sent);
	fflush(stdout);
	getchar();
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void rtt(int n)
{
	double *all = calloc((size_t)n, sizeof(double));
	int fd = dial();

	if (fd < 0)
		die("connect");
	for (int i = 0; i < n; i++) {
		double began = now();

		if (!exchange(fd, 1))
			die("exchange");
		all[i] = (now() - began) * 1e6;
	}
	qsort(all, (size_t)n, sizeof(double), by_size);
	printf("%.0f %.0f\n", all[n / 2], all[n - 1]);
}

static void questions(int n)
{
	int good = 0;

	for (int i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);
		struct timeval patience = { .tv_sec = 20 };

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (connect(fd, (void *)&there, sizeof(there)) == 0 && send(fd, data, 40, 0) == 40 && recv(fd, data, 100, 0) == 40)
			good++;
		close(fd);
	}
	printf("answered %d\n", good);
	fflush(stdout);
	(void)!fgets(data, sizeof(data), stdin);
}

static void peers(int n)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), good = 0;
	struct sockaddr_in to = there;

	for (int i = 0; i < n; i++) {
		to.sin_port = htons((uint16_t)(ntohs(there.sin_port) + 10 + i % 1000));
		to.sin_addr.s_addr = htonl(ntohl(there.sin_addr.s_addr) & ~255U) | htonl((uint32_t)(i % 200 + 1));
		good += sendto(fd, data, 100, 0, (void *)&to, sizeof(to)) == 100;
	}
	printf("sent %d\n", good);
}

static void datagrams(int n, size_t len)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), whole = 0, wrong = 0, errors = 0;
	struct timeval patience = { .tv_sec = 1 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (void *)&there, sizeof(there)) < 0)
		die("connect");
	for (int i = 0; i < n; i++) {
		ssize_t r;

		if (send(fd, data, len, 0) < 0)
			errors++;
		r = recv(fd, data, sizeof(data), 0);
		if (r == (ssize_t)len)
			whole++;
		else if (r >= 0)
			wrong++;
	}
	printf("whole %d wrong %d errors %d\n", whole, wrong, errors);
}

static void wait_at(double seconds, bool reads)
{
	int fd = dial();
	double end = now() + seconds;
	uint64_t got = 0;

	if (fd < 0)
		die("connect");
	puts("connected");
	fflush(stdout);
	while (now() < end) {
		if (!reads) {
			usleep(10000);
			continue;
		}
		ssize_t n = recv(fd, data, sizeof(data), 0);

		if (n <= 0)
			break;
		got += (uint64_t)n;
	}
	printf("got %llu\n", (unsigned long long)got);
}

int main(int argc, char **argv)
{
	const char *what = argc > 3 ? argv[1] : "";
	long n = argc > 4 ? atol(argv[4]) : 0;

	raise_limit();
	there.sin_family = AF_INET;
	if (argc > 3) {
		inet_pton(AF_INET, argv[2], &there.sin_addr);
		there.sin_port = htons((uint16_t)atoi(argv[3]));
	}
	if (!strcmp(what, "serve"))
		serve();
	else if (!strcmp(what, "open"))
		open_many((int)n);
	else if (!strcmp(what, "short"))
		short_ones((int)n, atoi(argv[5]));
	else if (!strcmp(what, "pour"))
		pour((uint64_t)n);
	else if (!strcmp(what, "stall"))
		stall((int)n);
	else if (!strcmp(what, "drink") || !strcmp(what, "hold"))
		wait_at((double)n, what[0] == 'd');
	else if (!strcmp(what, "rtt"))
		rtt((int)n);
	else if (!strcmp(what, "questions"))
		questions((int)n);
	else if (!strcmp(what, "peers"))
		peers((int)n);
	else if (!strcmp(what, "datagrams"))
		datagrams((int)n, (size_t)atol(argv[5]));
	else
		return 2;
	return 0;
}
