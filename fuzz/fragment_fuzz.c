// SPDX-License-Identifier: MIT
/* Fragments. The first byte says what the rest is: packets to put together, each with a byte of time and two of length
 * before it; or two bytes of MTU and one packet, which is cut and put together again. */
#include "net/fragment.h"

#include <string.h>

#include "fuzz.h"
#include "net/bytes.h"

enum { PIECES_MAX = 8192 };

static void check_whole(const uint8_t *whole, size_t len)
{
	struct packet p;
	int r;

	fuzz_check(len <= PACKET_MAX);
	r = packet_parse(whole, len, &p);
	fuzz_check(r < 0 || (p.len == len && !packet_is_fragment(&p)));
}

static void join_packets(const uint8_t *data, size_t size)
{
	struct fragments *f = fragments_new(3);
	const uint8_t *whole;
	uint64_t now = 0;
	struct packet p;
	size_t len;

	while (size >= 3) {
		now += data[0];
		len = get16(data + 1) < size - 3 ? get16(data + 1) : size - 3;
		if (packet_parse(data + 3, len, &p) == 0) {
			size_t n = fragments_add(f, &p, now, &whole);

			if (n)
				check_whole(whole, n);
		}
		data += 3 + len;
		size -= 3 + len;
	}
	fragments_free(f);
}

struct pieces {
	size_t n, len[PIECES_MAX], mtu, used;
	uint8_t *at[PIECES_MAX], room[1 << 20];
};

static void keep(void *arg, const uint8_t *piece, size_t len)
{
	struct pieces *all = arg;

	fuzz_check(len <= all->mtu && all->n < PIECES_MAX && all->used + len <= sizeof(all->room));
	all->at[all->n] = memcpy(all->room + all->used, piece, len);
	all->len[all->n++] = len;
	all->used += len;
}

/* Adds all pieces, starting in the middle; the last one must make it whole. */
static void join_pieces(const struct pieces *all, const uint8_t *want, size_t len, bool v4)
{
	struct fragments *f = fragments_new(1);
	const uint8_t *whole;
	struct packet p;
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++) {
		size_t k = (i + all->n / 2) % all->n;

		fuzz_check(packet_parse(all->at[k], all->len[k], &p) == 0 && packet_is_fragment(&p));
		n = fragments_add(f, &p, 0, &whole);
		fuzz_check(!n == (i + 1 < all->n));
	}
	fuzz_check(n == len);
	/* Of an IPv4 header, identification, flags and checksum are new. */
	fuzz_check(!v4 || (memcmp(whole, want, 4) == 0 && whole[8] == want[8] && whole[9] == want[9]));
	fuzz_check(memcmp(whole + (v4 ? 12 : 0), want + (v4 ? 12 : 0), len - (v4 ? 12 : 0)) == 0);
	fragments_free(f);
}

static void cut(size_t mtu, const uint8_t *packet, size_t size)
{
	static struct pieces all;
	static uint8_t want[PACKET_MAX];
	struct packet p;

	if (packet_parse(packet, size, &p) < 0 || p.len > 16384)
		return;
	all.n = all.used = 0;
	all.mtu = mtu;
	fuzz_check(fragment_cut(packet, size, mtu, 7, keep, &all) == all.n);
	if (!all.n)
		return;
	memcpy(want, packet, p.len);
	packet_complete_sum(want, &p);
	join_pieces(&all, want, p.len, ip_is_v4(&p.src.ip));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] % 2 == 0)
		join_packets(data + 1, size - 1);
	else if (size > 3)
		cut(get16(data + 1), data + 3, size - 3);
	return 0;
}
