// SPDX-License-Identifier: MIT
/* The anchor's filter: what it reports, on every architecture, and that the kernel can tell without arguments that all else is allowed. */
#include "twin/anchor.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdint.h>

#include "tap.h"

enum { LOOKED = -1 }; /* the verdict needs more than number and architecture */

/* Runs the filter as the kernel does. With @blind only number and architecture may be looked at, and only by the instructions that the kernel's
 * own emulation knows (seccomp_is_const_allow() in kernel/seccomp.c). */
static long run(const struct sock_filter *f, size_t n, const struct seccomp_data *data, bool blind)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < n; pc++) {
		uint32_t k = f[pc].k;

		switch (f[pc].code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (blind && k != offsetof(struct seccomp_data, nr) && k != offsetof(struct seccomp_data, arch))
				return LOOKED;
			memcpy(&a, (const char *)data + k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == k ? f[pc].jt : f[pc].jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= k ? f[pc].jt : f[pc].jf;
			break;
		case BPF_RET | BPF_K:
			return (long)k;
		default:
			return -2;
		}
	}
	return -3; /* ran over the end */
}

static const struct {
	const char *name;
	uint32_t arch;
	int bind, listen, connect, socketcall; /* -1: none */
	int others[4];
} machines[] = {
	{ "x86-64", AUDIT_ARCH_X86_64, 49, 50, 42, -1, { 0, 48, 51, 288 } },
	{ "x32", AUDIT_ARCH_X86_64, 0x40000031, 0x40000032, 0x4000002a, -1, { 0x40000000, 0x40000030, 0x40000033, 0x40000200 } },
	{ "i386", AUDIT_ARCH_I386, 361, 363, 362, 102, { 0, 42, 50, 364 } },
	{ "arm64", AUDIT_ARCH_AARCH64, 200, 201, 203, -1, { 0, 49, 199, 202 } },
	{ "arm", AUDIT_ARCH_ARM, 282, 284, 283, -1, { 0, 102, 281, 285 } },
	{ "riscv64", AUDIT_ARCH_RISCV64, 200, 201, 203, -1, { 0, 102, 199, 202 } },
};

enum { BOTH = ANCHOR_LISTENERS | ANCHOR_CONNECTS };

static enum anchor_call call_of(const struct seccomp_data *d, bool by_socketcall)
{
	bool seen;
	enum anchor_call call = anchor_call_of(d, &seen);

	tap_int(seen, by_socketcall, "by socketcall or not");
	return call;
}

static const struct {
	const char *name;
	uint64_t len;
	bool reported;
} lengths[] = {
	{ "netlink's", 12, false }, { "none", 0, false },	   { "IPv4's", 16, true },
	{ "IPv6's", 28, true },	    { "a negative one", UINT32_MAX, true }, { "upper half only", 1ULL << 40, false },
};

static void test_machine(size_t i, unsigned int reports, const struct sock_filter *f, size_t n)
{
	long listeners = reports & ANCHOR_LISTENERS ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW;
	long connects = reports & ANCHOR_CONNECTS ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW;
	struct seccomp_data d = { .arch = machines[i].arch, .nr = machines[i].listen, .args = { 3, 128 } };

	tap_int(run(f, n, &d, false), listeners, "%s: listen", machines[i].name);
	tap_int(call_of(&d, false), ANCHOR_LISTEN, "%s: is listen", machines[i].name);
	for (size_t j = 0; j < sizeof(lengths) / sizeof(lengths[0]); j++) {
		d = (struct seccomp_data){ .arch = machines[i].arch, .nr = machines[i].bind, .args = { 3, 0x1000, lengths[j].len } };
		tap_int(run(f, n, &d, false), lengths[j].reported ? listeners : SECCOMP_RET_ALLOW, "%s: bind with an address as long as %s",
			machines[i].name, lengths[j].name);
		tap_int(call_of(&d, false), ANCHOR_BIND, "%s: is bind", machines[i].name);
	}
	d = (struct seccomp_data){ .arch = machines[i].arch, .nr = machines[i].connect, .args = { 3, 0x1000, 2 } };
	tap_int(run(f, n, &d, false), connects, "%s: connect", machines[i].name);
	tap_int(call_of(&d, false), ANCHOR_CONNECT, "%s: is connect", machines[i].name);
	if (!(reports & ANCHOR_CONNECTS))
		tap_int(run(f, n, &d, true), SECCOMP_RET_ALLOW, "%s: connect is always allowed", machines[i].name);
	for (size_t j = 0; j < 4; j++) {
		d = (struct seccomp_data){ .arch = machines[i].arch, .nr = machines[i].others[j], .args = { 4, 4, 99 } };
		tap_int(run(f, n, &d, true), SECCOMP_RET_ALLOW, "%s: call %d is always allowed", machines[i].name, machines[i].others[j]);
	}
}

static void test_socketcall(size_t i, unsigned int reports, const struct sock_filter *f, size_t n)
{
	static const struct {
		uint32_t number;
		unsigned int reported_by;
		enum anchor_call call;
	} ours[] = { { 2, ANCHOR_LISTENERS, ANCHOR_BIND }, { 3, ANCHOR_CONNECTS, ANCHOR_CONNECT }, { 4, ANCHOR_LISTENERS, ANCHOR_LISTEN } };

	for (uint32_t call = 1; call <= 20; call++) {
		struct seccomp_data d = { .arch = machines[i].arch, .nr = machines[i].socketcall, .args = { call, 0x1000 } };
		bool is_ours = call >= 2 && call <= 4 && reports & ours[call - 2].reported_by;

		tap_int(run(f, n, &d, false), is_ours ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW, "socketcall %u", call);
		if (is_ours)
			tap_int(call_of(&d, true), ours[call - 2].call, "socketcall %u is told apart", call);
	}
}

static void test_reports(unsigned int reports)
{
	struct sock_filter f[ANCHOR_FILTER_MAX];
	struct seccomp_data other = { .arch = AUDIT_ARCH_S390X, .nr = 50 };
	size_t n = anchor_filter(reports, f);

	tap_ok(n <= ANCHOR_FILTER_MAX, "it fits");
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		test_machine(i, reports, f, n);
		if (machines[i].socketcall >= 0)
			test_socketcall(i, reports, f, n);
	}
	tap_int(run(f, n, &other, true), SECCOMP_RET_ALLOW, "an architecture that it doesn't know");
}

int main(void)
{
	struct sock_filter f[ANCHOR_FILTER_MAX];
	size_t n = anchor_filter(ANCHOR_NOTHING, f);

	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		struct seccomp_data d = { .arch = machines[i].arch, .nr = machines[i].listen };

		tap_int(run(f, n, &d, true), SECCOMP_RET_ALLOW, "%s: nothing is reported when nobody wants it", machines[i].name);
	}
	test_reports(ANCHOR_LISTENERS);
	test_reports(ANCHOR_CONNECTS);
	test_reports(BOTH);
	return tap_done();
}
