// SPDX-License-Identifier: MIT
/* The filter's program.
 *
 *   - Of which packets is it about? On lo: of those that come in (each goes out before). Elsewhere: requests come in, answers go out. With
 *     a VLAN tag: none, since the VLAN's own interface shows them without it. M[0], M[1]: bytes to keep of a request and of an answer.
 *   - A fragment or an IPv6 packet with extension headers may be of any port: taken if one of the two is wanted.
 *   - The port is searched for by halves. Conditional jumps reach 255 instructions far, so they jump over an unconditional one.
 *
 * A program that takes nothing stands in for "no ports": a socket without a filter takes everything. */
#include "capture/filter.h"

#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <stdbool.h>

enum { REQUEST, ANSWER }; /* places in M */
enum { LEAF = 4, TAKE_ANY = 5 }; /* ports that are compared one by one; instructions of emit_take_any() */

struct program {
	struct sock_filter *out;
	size_t n;
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	p->out[p->n++] = (struct sock_filter)BPF_JUMP(code, k, jt, jf);
}

static void load_meta(struct program *p, uint32_t what)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_AD_OFF + what, 0, 0);
}

/* An unconditional jump whose target isn't known yet. */
static size_t emit_jump(struct program *p)
{
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	return p->n - 1;
}

/* It goes to the next instruction. */
static void land(struct program *p, size_t jump)
{
	p->out[jump].k = (uint32_t)(p->n - jump - 1);
}

/* Returns with nothing unless A is @value (@equal) or unless it is another (!@equal). */
static void emit_require(struct program *p, uint32_t value, bool equal)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, value, equal ? 1 : 0, equal ? 0 : 1);
	emit(p, BPF_RET | BPF_K, 0, 0, 0);
}

static void emit_store(struct program *p, uint32_t bytes, uint32_t place)
{
	emit(p, BPF_LD | BPF_IMM, bytes, 0, 0);
	emit(p, BPF_ST, place, 0, 0);
}

/* @answers: bytes kept of an answer. */
static void emit_directions(struct program *p, const struct capture_plan *plan, uint32_t answers)
{
	size_t elsewhere, ready[2];

	load_meta(p, SKF_AD_HATYPE);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, ARPHRD_LOOPBACK, 1, 0);
	elsewhere = emit_jump(p);
	load_meta(p, SKF_AD_PKTTYPE);
	emit_require(p, PACKET_OUTGOING, false);
	if (plan->skip_mark) {
		load_meta(p, SKF_AD_MARK);
		emit_require(p, plan->skip_mark, false);
	}
	emit_store(p, CAPTURE_WHOLE, REQUEST);
	emit_store(p, answers, ANSWER);
	ready[0] = emit_jump(p);
	land(p, elsewhere);
	emit_store(p, 0, REQUEST);
	emit_store(p, answers, ANSWER);
	load_meta(p, SKF_AD_PKTTYPE);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1);
	ready[1] = emit_jump(p);
	emit_require(p, PACKET_OTHERHOST, false);
	emit_store(p, CAPTURE_WHOLE, REQUEST);
	emit_store(p, 0, ANSWER);
	land(p, ready[0]);
	land(p, ready[1]);
}

/* Tag 0 is no VLAN, only a priority. */
static void emit_vlan(struct program *p)
{
	size_t none;

	load_meta(p, SKF_AD_VLAN_TAG_PRESENT);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
	none = emit_jump(p);
	load_meta(p, SKF_AD_VLAN_TAG);
	emit(p, BPF_ALU | BPF_AND | BPF_K, 0xfff, 0, 0);
	emit_require(p, 0, true);
	land(p, none);
}

static void emit_take(struct program *p, uint32_t place)
{
	emit(p, BPF_LD | BPF_MEM, place, 0, 0);
	emit(p, BPF_RET | BPF_A, 0, 0, 0);
}

/* A is a port: taken when it is one of @ports; else the program goes on behind. */
static void emit_search(struct program *p, const uint16_t *ports, size_t n, uint32_t place)
{
	size_t right, end;

	if (n <= LEAF) {
		for (size_t i = 0; i < n; i++) {
			emit(p, BPF_JMP | BPF_JEQ | BPF_K, ports[i], 0, 2);
			emit_take(p, place);
		}
		return;
	}
	emit(p, BPF_JMP | BPF_JGE | BPF_K, ports[n / 2], 0, 1);
	right = emit_jump(p);
	emit_search(p, ports, n / 2, place);
	end = emit_jump(p);
	land(p, right);
	emit_search(p, ports + n / 2, n - n / 2, place);
	land(p, end);
}

/* X is the length of the IP header. Answers are looked for only where they may be, requests too. */
static void emit_ports(struct program *p, const struct capture_plan *plan, enum capture_protocol protocol)
{
	for (uint32_t place = REQUEST; place <= ANSWER; place++) {
		size_t skip;

		emit(p, BPF_LD | BPF_MEM, place, 0, 0);
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
		skip = emit_jump(p);
		emit(p, BPF_LD | BPF_H | BPF_IND, place == REQUEST ? 2 : 0, 0, 0);
		emit_search(p, plan->ports[protocol], plan->n[protocol], place);
		land(p, skip);
	}
	emit(p, BPF_RET | BPF_K, 0, 0, 0);
}

/* Whatever its ports are. TAKE_ANY instructions. */
static void emit_take_any(struct program *p)
{
	emit(p, BPF_LD | BPF_MEM, REQUEST, 0, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
	emit(p, BPF_RET | BPF_A, 0, 0, 0);
	emit_take(p, ANSWER);
}

static void emit_ip4(struct program *p, uint8_t protocol)
{
	emit(p, BPF_LD | BPF_B | BPF_ABS, 9, 0, 0);
	emit_require(p, protocol, true);
	emit(p, BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0);
	emit(p, BPF_LD | BPF_H | BPF_ABS, 6, 0, 0);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 0, TAKE_ANY); /* an offset, or more fragments */
	emit_take_any(p);
}

static void emit_ip6(struct program *p, uint8_t protocol)
{
	static const uint8_t headers[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_DSTOPTS };

	emit(p, BPF_LD | BPF_B | BPF_ABS, 6, 0, 0);
	for (size_t i = 0; i < sizeof(headers); i++) {
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, headers[i], 0, TAKE_ANY);
		emit_take_any(p);
	}
	emit_require(p, protocol, true);
	emit(p, BPF_LDX | BPF_IMM, 40, 0, 0);
}

/* One protocol, of both families. What extension headers hide came here as TCP. */
static void emit_part(struct program *p, const struct capture_plan *plan, enum capture_protocol protocol)
{
	static const uint8_t numbers[] = { [CAPTURE_TCP] = IPPROTO_TCP, [CAPTURE_UDP] = IPPROTO_UDP };
	size_t ip6, ports;

	emit_directions(p, plan, plan->answers[protocol]);
	load_meta(p, SKF_AD_PROTOCOL);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 1, 0);
	ip6 = emit_jump(p);
	emit_ip4(p, numbers[protocol]);
	ports = emit_jump(p);
	land(p, ip6);
	emit_ip6(p, numbers[protocol]);
	land(p, ports);
	emit_ports(p, plan, protocol);
}

/* A becomes the number of what the IP header says is behind it. */
static void emit_next_header(struct program *p)
{
	size_t ip6, ready;

	load_meta(p, SKF_AD_PROTOCOL);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 1);
	ip6 = emit_jump(p);
	emit_require(p, ETH_P_IP, true);
	emit(p, BPF_LD | BPF_B | BPF_ABS, 9, 0, 0);
	ready = emit_jump(p);
	land(p, ip6);
	emit(p, BPF_LD | BPF_B | BPF_ABS, 6, 0, 0);
	land(p, ready);
}

size_t capture_filter(const struct capture_plan *plan, struct sock_filter *out)
{
	struct program p = { .out = out };
	size_t udp;

	if (plan->n[CAPTURE_TCP] + plan->n[CAPTURE_UDP] > CAPTURE_PORTS)
		return 0;
	if (plan->n[CAPTURE_TCP] + plan->n[CAPTURE_UDP] > 0) {
		emit_vlan(&p);
		emit_next_header(&p);
		emit(&p, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 1);
		udp = emit_jump(&p);
		emit_part(&p, plan, CAPTURE_TCP);
		land(&p, udp);
		emit_part(&p, plan, CAPTURE_UDP);
	}
	emit(&p, BPF_RET | BPF_K, 0, 0, 0);
	return p.n;
}
