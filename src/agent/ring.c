// SPDX-License-Identifier: MIT
/* The ring.
 *
 * The kernel fills one block after the other. A block is ours when it is full, or some milliseconds after its first packet; so one wake-up
 * brings many packets, and the target's own work, in which the kernel makes the copies, is not disturbed for each. When no block is free
 * the kernel drops, which costs it nothing: a reader that is too slow harms itself alone.
 *
 * The socket has a filter that takes nothing before it is bound, so the first packet it sees is one of the first real filter. */
#include "agent/ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/capability.h"
#include "base/fd.h"

struct ring {
	uint8_t *memory;
	size_t at; /* the block that is next */
};

int ring_make(int fd, struct error *err)
{
	const struct tpacket_req3 request = { .tp_block_size = RING_BLOCK, .tp_block_nr = RING_BLOCKS, .tp_frame_size = 2048,
					      .tp_frame_nr = RING_BLOCK / 2048 * RING_BLOCKS, .tp_retire_blk_tov = RING_RETIRE_MS };
	int version = TPACKET_V3;

	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0)
		return error_set(err, errno, "make a ring for captured packets");
	return 0;
}

int ring_bind(int fd, struct error *err)
{
	const struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

	return bind(fd, (const struct sockaddr *)&all, sizeof(all)) < 0 ? error_set(err, errno, "capture on all interfaces") : 0;
}

int ring_open(const char *what, struct error *err)
{
	const struct sock_filter none = { .code = BPF_RET | BPF_K };
	_cleanup_fd_ int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 && errno == EPERM)
		return capability_need(CAP_NET_RAW, "NET_RAW", what, "stealing TCP and what leaves the program work without it", err);
	if (fd < 0) {
		error_set(err, errno, "open a packet socket in the target");
		return error_hint(err, "the kernel needs CONFIG_PACKET to show packets; stealing does not need it");
	}
	return ring_filter(fd, &none, 1, err) < 0 ? -1 : fd_steal(&fd);
}

int ring_filter(int fd, const struct sock_filter *filter, size_t n, struct error *err)
{
	const struct sock_fprog program = { .len = (unsigned short)n, .filter = (struct sock_filter *)filter };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return error_set(err, errno, "set the filter of captured packets");
	return 0;
}

uint64_t ring_lost(int fd)
{
	struct tpacket_stats_v3 stats;
	socklen_t len = sizeof(stats);

	return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) < 0 ? 0 : stats.tp_drops;
}

struct ring *ring_map(int fd, struct error *err)
{
	struct ring *r = calloc(1, sizeof(*r));

	if (r)
		r->memory = mmap(NULL, (size_t)RING_BLOCK * RING_BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r && r->memory != MAP_FAILED)
		return r;
	error_set(err, errno, "map the ring of captured packets");
	free(r);
	return NULL;
}

static struct ring_packet packet_of(const struct tpacket3_hdr *h)
{
	const uint8_t *at = (const uint8_t *)h;
	const struct sockaddr_ll *from = (const void *)(at + TPACKET_ALIGN(sizeof(*h)));

	return (struct ring_packet){
		.data = at + h->tp_net,
		.len = h->tp_snaplen,
		.wire_len = h->tp_len,
		.time = (uint64_t)h->tp_sec * 1000000000 + h->tp_nsec,
		.link = (uint32_t)from->sll_ifindex,
		.hatype = from->sll_hatype,
		.protocol = ntohs(from->sll_protocol),
		.type = from->sll_pkttype,
		.summed = h->tp_status & (TP_STATUS_CSUM_VALID | TP_STATUS_CSUMNOTREADY),
		.on_lo = from->sll_hatype == ARPHRD_LOOPBACK,
	};
}

static void give_block(const struct tpacket_block_desc *block, void (*on_packet)(void *arg, const struct ring_packet *p), void *arg)
{
	const uint8_t *at = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;

	for (uint32_t left = block->hdr.bh1.num_pkts; left; left--) {
		const struct tpacket3_hdr *h = (const void *)at;
		struct ring_packet p = packet_of(h);

		on_packet(arg, &p);
		at += h->tp_next_offset;
	}
}

bool ring_read(struct ring *r, size_t max, void (*on_packet)(void *arg, const struct ring_packet *p), void *arg)
{
	for (;; max--) {
		struct tpacket_block_desc *block = (void *)(r->memory + r->at * RING_BLOCK);
		uint32_t *status = &block->hdr.bh1.block_status;

		if (!(__atomic_load_n(status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return false;
		if (!max)
			return true;
		give_block(block, on_packet, arg);
		__atomic_store_n(status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		r->at = (r->at + 1) % RING_BLOCKS;
	}
}
