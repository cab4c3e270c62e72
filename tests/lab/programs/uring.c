// SPDX-License-Identifier: MIT
/* uring ADDRESS PORT: connect, send, receive by io_uring, without its library. Prints the result of each request. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ring {
	int fd;
	struct io_uring_params params;
	unsigned char *sq, *cq;
	struct io_uring_sqe *sqes;
};

static int ring_open(struct ring *r)
{
	size_t sq_size, cq_size;

	r->fd = (int)syscall(SYS_io_uring_setup, 4, &r->params);
	if (r->fd < 0)
		return -errno;
	sq_size = r->params.sq_off.array + r->params.sq_entries * sizeof(unsigned int);
	cq_size = r->params.cq_off.cqes + r->params.cq_entries * sizeof(struct io_uring_cqe);
	r->sq = mmap(NULL, sq_size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->cq = mmap(NULL, cq_size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
	r->sqes = mmap(NULL, r->params.sq_entries * sizeof(*r->sqes), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQES);
	return r->sq == MAP_FAILED || r->cq == MAP_FAILED || r->sqes == MAP_FAILED ? -errno : 0;
}

static unsigned int *field(unsigned char *ring, unsigned int offset)
{
	return (unsigned int *)(void *)(ring + offset);
}

/* One request, and its result. */
static int ring_do(struct ring *r, struct io_uring_sqe request)
{
	unsigned int tail = *field(r->sq, r->params.sq_off.tail), index = tail & *field(r->sq, r->params.sq_off.ring_mask);
	unsigned int head = *field(r->cq, r->params.cq_off.head);
	struct io_uring_cqe *cqes = (struct io_uring_cqe *)(void *)(r->cq + r->params.cq_off.cqes);
	int result;

	r->sqes[index] = request;
	field(r->sq, r->params.sq_off.array)[index] = index;
	__atomic_store_n(field(r->sq, r->params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno;
	result = cqes[head & *field(r->cq, r->params.cq_off.ring_mask)].res;
	__atomic_store_n(field(r->cq, r->params.cq_off.head), head + 1, __ATOMIC_RELEASE);
	return result;
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct ring r = { 0 };
	char data[100] = "by io_uring";
	int v6, s, rc;

	if (argc != 3)
		return 2;
	v6 = strchr(argv[1], ':') != NULL;
	four.sin_port = six.sin6_port = htons((unsigned short)atoi(argv[2]));
	inet_pton(v6 ? AF_INET6 : AF_INET, argv[1], v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
	s = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	rc = ring_open(&r);
	if (rc < 0) {
		printf("io_uring: %s\n", strerror(-rc));
		return 0;
	}
	rc = ring_do(&r, (struct io_uring_sqe){ .opcode = IORING_OP_CONNECT, .fd = s, .addr = v6 ? (unsigned long)&six : (unsigned long)&four,
						.off = v6 ? sizeof(six) : sizeof(four) });
	printf("connect: %s\n", rc < 0 ? strerror(-rc) : "ok");
	if (rc < 0)
		return 0;
	printf("send: %d\n", ring_do(&r, (struct io_uring_sqe){ .opcode = IORING_OP_SEND, .fd = s, .addr = (unsigned long)data, .len = 11 }));
	memset(data, 0, sizeof(data));
	rc = ring_do(&r, (struct io_uring_sqe){ .opcode = IORING_OP_RECV, .fd = s, .addr = (unsigned long)data, .len = sizeof(data) - 1 });
	printf("recv: %d %s\n", rc, data);
	return 0;
}
