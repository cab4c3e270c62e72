// SPDX-License-Identifier: MIT
/* The anchor.
 *
 * For every call number the kernel runs the filter once, with the number and the architecture alone, and keeps in a bitmap that the call is
 * always allowed (Linux 5.11); calls that are allowed cost next to nothing then. So the filter looks at nothing else before it has
 * found one of its own calls. Whatever architecture a program is built for: one filter knows all, by a table.
 *
 * bind(2) is reported when its address is long enough for an Internet socket's. That leaves out netlink(7), where every getaddrinfo() binds
 * one. connect(2) is reported whatever its address, which the filter can't read, and only where somebody asked for it. socketcall(2), the one
 * call for all of sockets on i386, tells them apart by its first argument. */
#include "twin/anchor.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum { X32_BIT = 0x40000000, SOCKETCALL_BIND = 2, SOCKETCALL_CONNECT, SOCKETCALL_LISTEN, MAX_INSTRUCTIONS_EACH = 19 };

/* The calls of each architecture; x32 is x86-64 with a bit in the number. A @socketcall of 0: there is none. */
static const struct {
	uint32_t arch, bind, listen, connect, socketcall;
} calls[] = {
	{ AUDIT_ARCH_X86_64, 49, 50, 42, 0 }, { AUDIT_ARCH_I386, 361, 363, 362, 102 },	 { AUDIT_ARCH_AARCH64, 200, 201, 203, 0 },
	{ AUDIT_ARCH_ARM, 282, 284, 283, 0 }, { AUDIT_ARCH_RISCV64, 200, 201, 203, 0 },
};
enum { ARCHITECTURES = sizeof(calls) / sizeof(calls[0]) };
_Static_assert(ARCHITECTURES *MAX_INSTRUCTIONS_EACH + 2 <= ANCHOR_FILTER_MAX, "the filter fits");

/* The lower half of an argument; all of them are little-endian machines. */
#define ARGUMENT(n)		     (uint32_t)(offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t))
#define LOAD(at)		     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(at))
#define RETURN(what)		     BPF_STMT(BPF_RET | BPF_K, what)
#define IF_EQUAL(k, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, then, otherwise)

static size_t put(struct sock_filter *out, const struct sock_filter *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = in[i];
	return n;
}
#define PUT(out, ...)                                                                                                  \
	put(out, (const struct sock_filter[]){ __VA_ARGS__ },                                                          \
	    sizeof((struct sock_filter[]){ __VA_ARGS__ }) / sizeof(struct sock_filter))

/* What a value (the call's number, or socketcall's first argument) that is loaded leads to. Each row ends the program or goes on. */
static size_t verdicts(unsigned int reports, uint32_t bind, uint32_t listen, uint32_t connect, bool by_socketcall, struct sock_filter *out)
{
	size_t n = 0;

	if (reports & ANCHOR_CONNECTS)
		n += PUT(out + n, IF_EQUAL(connect, 0, 1), RETURN(SECCOMP_RET_USER_NOTIF));
	if (!(reports & ANCHOR_LISTENERS))
		return n;
	n += PUT(out + n, IF_EQUAL(listen, 0, 1), RETURN(SECCOMP_RET_USER_NOTIF));
	if (by_socketcall)
		return n + PUT(out + n, IF_EQUAL(bind, 0, 1), RETURN(SECCOMP_RET_USER_NOTIF));
	return n + PUT(out + n, IF_EQUAL(bind, 0, 3), LOAD(ARGUMENT(2)),
		       BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, sizeof(struct sockaddr_in), 0, 1), RETURN(SECCOMP_RET_USER_NOTIF));
}

/* What follows the check of the architecture: jumps are counted from the next instruction on. */
static size_t one_architecture(size_t i, unsigned int reports, struct sock_filter *out)
{
	size_t n = PUT(out, LOAD(offsetof(struct seccomp_data, nr)));

	if (calls[i].arch == AUDIT_ARCH_X86_64)
		n += PUT(out + n, BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t)~X32_BIT));
	n += verdicts(reports, calls[i].bind, calls[i].listen, calls[i].connect, false, out + n);
	if (calls[i].socketcall) {
		size_t at = n++, len = PUT(out + n, LOAD(ARGUMENT(0)));

		len += verdicts(reports, SOCKETCALL_BIND, SOCKETCALL_LISTEN, SOCKETCALL_CONNECT, true, out + n + len);
		out[at] = (struct sock_filter)IF_EQUAL(calls[i].socketcall, 0, (uint8_t)len);
		n += len;
	}
	return n + PUT(out + n, RETURN(SECCOMP_RET_ALLOW));
}

size_t anchor_filter(unsigned int reports, struct sock_filter ret[ANCHOR_FILTER_MAX])
{
	size_t n;

	if (!reports)
		return PUT(ret, RETURN(SECCOMP_RET_ALLOW));
	n = PUT(ret, LOAD(offsetof(struct seccomp_data, arch)));
	for (size_t i = 0; i < ARCHITECTURES; i++) {
		size_t len = one_architecture(i, reports, ret + n + 1);

		ret[n] = (struct sock_filter)IF_EQUAL(calls[i].arch, 0, (uint8_t)len);
		n += len + 1;
	}
	return n + PUT(ret + n, RETURN(SECCOMP_RET_ALLOW));
}

static enum anchor_call which(uint32_t value, uint32_t listen, uint32_t connect)
{
	return value == listen ? ANCHOR_LISTEN : value == connect ? ANCHOR_CONNECT : ANCHOR_BIND;
}

enum anchor_call anchor_call_of(const struct seccomp_data *data, bool *ret_socketcall)
{
	uint32_t nr = (uint32_t)data->nr;

	*ret_socketcall = false;
	if (data->arch == AUDIT_ARCH_X86_64)
		nr &= (uint32_t)~X32_BIT;
	for (size_t i = 0; i < ARCHITECTURES; i++) {
		if (calls[i].arch != data->arch)
			continue;
		*ret_socketcall = calls[i].socketcall && nr == calls[i].socketcall;
		return *ret_socketcall ? which((uint32_t)data->args[0], SOCKETCALL_LISTEN, SOCKETCALL_CONNECT) :
					 which(nr, calls[i].listen, calls[i].connect);
	}
	return ANCHOR_BIND;
}

int twin_anchor(unsigned int reports, struct error *err)
{
	struct sock_filter filter[ANCHOR_FILTER_MAX];
	const struct sock_fprog program = { .len = (unsigned short)anchor_filter(reports, filter), .filter = filter };
	/* Before Linux 5.16 a filter would switch on mitigations that slow the program down. */
	const unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	/* A signal doesn't interrupt a call that the keeper works on (Linux 5.19). */
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  flags | (reports ? SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV : 0), &program);

	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	if (fd >= 0)
		return (int)fd;
	error_set(err, errno, "install a seccomp filter");
	if (errno == EBUSY)
		return error_hint(
		    err,
		    "another tool's filter with a listener is in force already (a container engine's, or another mirrord's)");
	return error_hint(
	    err, "seccomp(2) is not allowed here: in a container, run it with --security-opt seccomp=unconfined");
}
