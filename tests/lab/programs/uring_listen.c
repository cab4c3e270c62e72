// SPDX-License-Identifier: MIT
/* uring_listen FD: listen on the descriptor by io_uring (Linux 6.11), without its library. Prints "ok" or the error. */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OP_LISTEN = 57 };

int main(int argc, char **argv)
{
	struct io_uring_params p = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 1, &p), result;
	unsigned char *sq, *cq;
	struct io_uring_sqe *sqe;

	if (argc != 2)
		return 2;
	if (fd < 0) {
		printf("%s\n", strerror(errno));
		return 0;
	}
	sq = mmap(NULL, p.sq_off.array + 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_CQ_RING);
	sqe = mmap(NULL, sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	*sqe = (struct io_uring_sqe){ .opcode = OP_LISTEN, .fd = atoi(argv[1]), .len = 64 };
	*(unsigned int *)(void *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned int *)(void *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		result = -errno;
	else
		result = ((struct io_uring_cqe *)(void *)(cq + p.cq_off.cqes))->res;
	printf("%s\n", result < 0 ? strerror(-result) : "ok");
	return 0;
}
