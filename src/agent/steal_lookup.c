// SPDX-License-Identifier: MIT
/* A bridge in the target's network (a node's, where pods hang on it; a container engine's) may be one that netfilter looks into
 * (bridge-nf-call-iptables). Then prerouting sees a packet while it is still the bridge's, and not again when it has become the host's; and on
 * the way up the kernel forgets which socket tproxy found for it (ip_rcv_core(), skb_orphan()). NAT wouldn't help: a connection to a service
 * has its translation by then.
 *
 * Later than all that is the look-up of a listener, which a BPF program may decide (Linux 5.9):
 *
 *     a SYN that no tproxy has taken ─► look-up: `taken` has its port, but not its address ─► our listener; else as if we weren't there
 *
 * A SYN that tproxy has taken isn't looked up, nor what belongs to a connection. Our own connections to the target's program, in a client's
 * name, are: so those are told to it before they are made. The program is loaded while the
 * right to do so is there; the maps that it reads are changed, and it is attached, by those who have their descriptors. It is detached when the
 * last descriptor of its link is closed, so when the agent dies. */
#include "agent/steal_lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

enum { TAKEN_MAX = 1 << 18, GET_BRIDGES = 1 /* BRCTL_GET_BRIDGES */, OURS = 1 << 16 };

/* Of a port, with an address of zeros: it is taken, by the listener at this place in `listeners`. With another one: but not there. With OURS
 * added to the family: a client's address, and a port in network order, that a connection of ours has. */
struct key {
	uint32_t family, port, ip[4];
};

struct steal_lookup {
	int taken, listeners, program; /* -1: none */
	int link;		       /* -1: detached */
};

static int bpf(int command, union bpf_attr *a)
{
	return (int)syscall(SYS_bpf, command, a, sizeof(*a));
}

static int make_map(enum bpf_map_type type, uint32_t key_size, uint32_t max_entries)
{
	union bpf_attr a = { .map_type = type, .key_size = key_size, .value_size = sizeof(uint32_t), .max_entries = max_entries };

	return bpf(BPF_MAP_CREATE, &a);
}

#define INSN(c, d, s, o, i)	 ((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOVE(d, s)		 INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, value)		 INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, value)
#define ADD(d, value)		 INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, value)
#define LOAD(d, s, at)		 INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, at, 0)
#define STORE(at, s)		 INSN(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, s, at, 0)
#define ZERO(at)		 INSN(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, at, 0)
#define MAP(d, fd)		 INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)
#define CALL(function)		 INSN(BPF_JMP | BPF_CALL, 0, 0, 0, function)
#define CONTEXT(d, field)	 LOAD(d, BPF_REG_6, offsetof(struct bpf_sk_lookup, field))
#define KEY(field)		 ((int)offsetof(struct key, field) - (int)sizeof(struct key))
#define INDEX			 (KEY(family) - 8)
#define IF(jump, d, value, over) INSN(BPF_JMP | (jump) | BPF_K, d, 0, over, value)
/* r0: the value of the key on the stack, or NULL. 5 instructions. */
#define FIND(map, at)                                                                                                  \
	MAP(BPF_REG_1, map), MOVE(BPF_REG_2, BPF_REG_10), ADD(BPF_REG_2, at), CALL(BPF_FUNC_map_lookup_elem)
/* Whatever the family in r7. */
#define STORE_IP(field)                                                                                                \
	ZERO(KEY(ip)), ZERO(KEY(ip) + 8), IF(BPF_JNE, BPF_REG_7, AF_INET, 3), CONTEXT(BPF_REG_2, field##4),            \
	    STORE(KEY(ip), BPF_REG_2), INSN(BPF_JMP | BPF_JA, 0, 0, 8, 0), CONTEXT(BPF_REG_2, field##6 [0]),           \
	    STORE(KEY(ip), BPF_REG_2), CONTEXT(BPF_REG_2, field##6 [1]), STORE(KEY(ip) + 4, BPF_REG_2),                \
	    CONTEXT(BPF_REG_2, field##6 [2]), STORE(KEY(ip) + 8, BPF_REG_2), CONTEXT(BPF_REG_2, field##6 [3]),         \
	    STORE(KEY(ip) + 12, BPF_REG_2)

/* Returns its descriptor. */
static int load(int taken, int listeners)
{
	enum { OUT = INT16_MAX }; /* as a distance: to the end */
	struct bpf_insn program[] = {
		MOVE(BPF_REG_6, BPF_REG_1),
		CONTEXT(BPF_REG_2, protocol),
		IF(BPF_JNE, BPF_REG_2, IPPROTO_TCP, OUT),
		/* one of ours, in a client's name? */
		CONTEXT(BPF_REG_7, family),
		MOVE(BPF_REG_2, BPF_REG_7),
		ADD(BPF_REG_2, OURS),
		STORE(KEY(family), BPF_REG_2),
		CONTEXT(BPF_REG_2, remote_port),
		STORE(KEY(port), BPF_REG_2),
		STORE_IP(remote_ip),
		FIND(taken, KEY(family)),
		IF(BPF_JNE, BPF_REG_0, 0, OUT),
		/* is the port taken? */
		STORE(KEY(family), BPF_REG_7),
		CONTEXT(BPF_REG_2, local_port),
		STORE(KEY(port), BPF_REG_2),
		ZERO(KEY(ip)),
		ZERO(KEY(ip) + 8),
		FIND(taken, KEY(family)),
		IF(BPF_JEQ, BPF_REG_0, 0, OUT),
		LOAD(BPF_REG_2, BPF_REG_0, 0),
		STORE(INDEX, BPF_REG_2),
		/* at this address, too? */
		STORE_IP(local_ip),
		FIND(taken, KEY(family)),
		IF(BPF_JNE, BPF_REG_0, 0, OUT),
		/* then it is our listener's */
		FIND(listeners, INDEX),
		IF(BPF_JEQ, BPF_REG_0, 0, OUT),
		MOVE(BPF_REG_7, BPF_REG_0),
		MOVE(BPF_REG_1, BPF_REG_6),
		MOVE(BPF_REG_2, BPF_REG_0),
		SET(BPF_REG_3, 0),
		CALL(BPF_FUNC_sk_assign),
		MOVE(BPF_REG_1, BPF_REG_7),
		CALL(BPF_FUNC_sk_release),
		SET(BPF_REG_0, SK_PASS),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	const int n = sizeof(program) / sizeof(program[0]), end = n - 2;
	union bpf_attr a = { .prog_type = BPF_PROG_TYPE_SK_LOOKUP, .expected_attach_type = BPF_SK_LOOKUP, .insns = (uintptr_t)program,
			     .insn_cnt = (uint32_t)n, .license = (uintptr_t) "Dual MIT/GPL" };

	for (int i = 0; i < n; i++)
		if (program[i].off == OUT)
			program[i].off = (int16_t)(end - i - 1);
	return bpf(BPF_PROG_LOAD, &a);
}

static bool is_looked_into(const char *setting)
{
	_cleanup_fd_ int fd = open(setting, O_RDONLY | O_CLOEXEC);
	char on;

	return fd >= 0 && read(fd, &on, 1) == 1 && on == '1';
}

static bool has_such_a_bridge(void)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int bridge;
	unsigned long question[] = { GET_BRIDGES, (uintptr_t)&bridge, 1 };

	return (is_looked_into("/proc/sys/net/bridge/bridge-nf-call-iptables") || is_looked_into("/proc/sys/net/bridge/bridge-nf-call-ip6tables")) &&
	       ioctl(fd, SIOCGIFBR, question) > 0;
}

static struct steal_lookup *unavailable(struct steal_lookup *l)
{
	log_info("steal: connections that come over a bridge which netfilter looks into stay the target's own: %s", strerror(errno));
	steal_lookup_free(l);
	return NULL;
}

struct steal_lookup *steal_lookup_new(void)
{
	struct steal_lookup *l = has_such_a_bridge() ? malloc(sizeof(*l)) : NULL;

	if (!l)
		return NULL;
	*l = (struct steal_lookup){ .program = -1, .link = -1 };
	l->taken = make_map(BPF_MAP_TYPE_HASH, sizeof(struct key), TAKEN_MAX);
	l->listeners = make_map(BPF_MAP_TYPE_SOCKMAP, sizeof(uint32_t), 2);
	if (l->taken < 0 || l->listeners < 0 || (l->program = load(l->taken, l->listeners)) < 0)
		return unavailable(l);
	return l;
}

void steal_lookup_free(struct steal_lookup *l)
{
	if (!l)
		return;
	fd_closep(&l->link);
	fd_closep(&l->program);
	fd_closep(&l->listeners);
	fd_closep(&l->taken);
	free(l);
}

static int put(int map, const void *key, uint32_t value)
{
	union bpf_attr a = { .map_fd = (uint32_t)map, .key = (uintptr_t)key, .value = (uintptr_t)&value };

	return bpf(BPF_MAP_UPDATE_ELEM, &a);
}

static void drop(int map, const void *key)
{
	union bpf_attr a = { .map_fd = (uint32_t)map, .key = (uintptr_t)key };

	bpf(BPF_MAP_DELETE_ELEM, &a);
}

int steal_lookup_start(struct steal_lookup *l, const int listeners[2], struct error *err)
{
	_cleanup_fd_ int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	union bpf_attr a = { .link_create = { .prog_fd = (uint32_t)l->program, .target_fd = (uint32_t)here, .attach_type = BPF_SK_LOOKUP } };

	for (uint32_t v = 0; v < 2; v++)
		if (listeners[v] >= 0 && put(l->listeners, &v, (uint32_t)listeners[v]) < 0)
			return error_set(err, errno, "name the listeners to the kernel's look-up");
	l->link = here < 0 ? -1 : bpf(BPF_LINK_CREATE, &a);
	return l->link < 0 ? error_set(err, errno, "attach to the kernel's look-up of listeners") : 0;
}

static void empty(int map)
{
	struct key k;
	union bpf_attr first = { .map_fd = (uint32_t)map, .next_key = (uintptr_t)&k };

	while (bpf(BPF_MAP_GET_NEXT_KEY, &first) == 0)
		drop(map, &k);
}

void steal_lookup_stop(struct steal_lookup *l)
{
	fd_closep(&l->link);
	empty(l->taken);
	for (uint32_t v = 0; v < 2; v++)
		drop(l->listeners, &v);
}

static struct key key_of(const struct endpoint *at, uint32_t kind, uint32_t port)
{
	struct key k = { .family = (ip_is_v4(&at->ip) ? AF_INET : AF_INET6) + kind, .port = port };
	unsigned int len;
	const uint8_t *bytes = ip_bytes(&at->ip, &len);

	memcpy(k.ip, bytes, len);
	return k;
}

static void set(struct steal_lookup *l, const struct key *k, bool on, uint32_t value)
{
	if (!on)
		drop(l->taken, k);
	else if (put(l->taken, k, value) < 0)
		log_limited(LOG_LEVEL_WARN, "steal: port %u over a bridge: %s", k->port, strerror(errno));
}

void steal_lookup_set(struct steal_lookup *l, enum steal_family family, uint16_t port, bool taken)
{
	set(l, &(struct key){ .family = family == STEAL_V4 ? AF_INET : AF_INET6, .port = port }, taken, family);
}

void steal_lookup_leave(struct steal_lookup *l, const struct endpoint *at, bool left)
{
	const struct key k = key_of(at, 0, at->port);

	set(l, &k, left, 0);
}

void steal_lookup_pass(struct steal_lookup *l, const struct endpoint *from, bool on)
{
	const struct key k = key_of(from, OURS, htons(from->port));

	set(l, &k, on, 0);
}
