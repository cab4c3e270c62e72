// SPDX-License-Identifier: MIT
/* The gate.
 *
 * In: a batch of packets is read with one recvmmsg(2). Their checksums are not there yet (the twin's kernel leaves them to a network
 * card that doesn't exist), and nobody needs them: the bytes have been in one machine's memory all the time.
 *
 * Out: packets are collected and leave with one sendmmsg(2), at the end of the loop's turn or when the batch is full. A virtio_net_hdr
 * before each says that the checksum is for the receiver's card to fill in, which the twin's kernel takes as verified.
 *
 * Pages of the buffers count as ours once they were touched; a burst of large datagrams would keep megabytes for good. So they are given
 * back to the kernel some seconds after the last large packet. */
#include "session/gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "net/fragment.h"
#include "twin/layout.h"

enum {
	IN_BATCH = 32,
	IN_SIZE = 68 << 10, /* of one packet: PACKET_MAX and the Ethernet header, on whole pages */
	OUT_BATCH = 64,
	OUT_BYTES = 512 << 10, /* of all packets of a batch */
	FRAGMENTED = 64,       /* datagrams being put together */
	ACCEPTS = 64,	       /* connections taken at a time */
	TRIM_AFTER = 5,	       /* seconds */
};

struct out_head {
	struct virtio_net_hdr vnet;
	struct ethhdr eth;
} __attribute__((packed));

struct gate {
	struct loop *loop;
	const struct gate_events *events;
	void *arg;
	int packet_out;
	struct watch in, listeners[2];
	int listener_fds[2];
	int spare; /* a descriptor for what can't be accepted; -1: none */
	uint32_t relay_index, lo_index;
	struct fragments *fragments;
	struct deferred flush;
	struct timer trim;
	uint32_t fragment_id;

	uint8_t *in_memory, *out_memory;
	struct mmsghdr in_messages[IN_BATCH], out_messages[OUT_BATCH];
	struct iovec in_pieces[IN_BATCH], out_pieces[OUT_BATCH][2];
	struct out_head out_heads[OUT_BATCH];
	struct sockaddr_ll to_twin;
	size_t n_out, out_used;
	bool large;
};

static void *map_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void trim_memory(struct timer *t)
{
	struct gate *g = container_of(t, struct gate, trim);

	g->large = false;
	madvise(g->in_memory, (size_t)IN_BATCH * IN_SIZE, MADV_DONTNEED);
	if (!g->n_out)
		madvise(g->out_memory, OUT_BYTES + IN_SIZE, MADV_DONTNEED);
}

static void note_size(struct gate *g, size_t len)
{
	if (len <= 4096 || g->large)
		return;
	g->large = true;
	loop_arm(g->loop, &g->trim, loop_now(g->loop) + TRIM_AFTER * LOOP_SECOND);
}

void gate_flush(struct gate *g)
{
	size_t done = 0;

	while (done < g->n_out) {
		int n = sendmmsg(g->packet_out, g->out_messages + done, (unsigned int)(g->n_out - done), 0);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		/* The queue to the twin is full or the link is down: this packet is lost, as on any wire. */
		done++;
	}
	g->n_out = g->out_used = 0;
}

static void flush_later(struct deferred *d)
{
	gate_flush(container_of(d, struct gate, flush));
}

uint8_t *gate_buffer(struct gate *g)
{
	if (g->n_out == OUT_BATCH || g->out_used > OUT_BYTES)
		gate_flush(g);
	return g->out_memory + g->out_used;
}

static void queue(struct gate *g, uint8_t *packet, size_t len, struct packet_sum sum)
{
	struct out_head *h = &g->out_heads[g->n_out];

	h->vnet = (struct virtio_net_hdr){ 0 };
	if (sum.start) {
		h->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->vnet.csum_start = (uint16_t)(sum.start + sizeof(struct ethhdr));
		h->vnet.csum_offset = sum.offset;
	}
	h->eth.h_proto = htons(packet[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6);
	g->out_pieces[g->n_out][1] = (struct iovec){ .iov_base = packet, .iov_len = len };
	g->n_out++;
	g->out_used += (len + 63) & ~(size_t)63;
	note_size(g, len);
	loop_defer(g->loop, &g->flush, flush_later);
}

static void queue_piece(void *arg, const uint8_t *piece, size_t len)
{
	struct gate *g = arg;
	uint8_t *place;

	if (g->n_out == OUT_BATCH || g->out_used + len > OUT_BYTES + IN_SIZE)
		gate_flush(g);
	place = g->out_memory + g->out_used;
	memcpy(place, piece, len);
	queue(g, place, len, (struct packet_sum){ 0 });
}

/* Longer than the link takes (an IPv6 datagram of more than 65,487 bytes): in fragments, and complete. */
static void send_in_pieces(struct gate *g, uint8_t *packet, size_t len)
{
	struct packet p;
	uint8_t *copy = malloc(len);

	if (!copy || packet_parse(packet, len, &p) < 0) {
		free(copy);
		return;
	}
	packet_complete_sum(packet, &p);
	memcpy(copy, packet, len);
	gate_flush(g);
	fragment_cut(copy, len, TWIN_MTU, ++g->fragment_id, queue_piece, g);
	free(copy);
}

void gate_send(struct gate *g, size_t len, struct packet_sum sum)
{
	uint8_t *packet = g->out_memory + g->out_used;

	if (len == 0)
		return;
	if (len > TWIN_MTU)
		send_in_pieces(g, packet, len);
	else
		queue(g, packet, len, sum);
}

static int open_spare(void)
{
	return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
}

/* Without a descriptor nothing can be accepted, and what isn't accepted keeps the loop awake: it gets the spare one, and a reset. */
static void turn_away(struct gate *g, int listener)
{
	int fd;

	fd_closep(&g->spare);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	fd_closep(&fd);
	g->spare = open_spare();
}

static void accept_ready(struct gate *g, int listener, int most)
{
	for (int i = 0; i < most; i++) {
		struct sockaddr_storage sa;
		struct endpoint from;
		socklen_t len = sizeof(sa);
		int fd = accept4(listener, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				turn_away(g, listener);
			else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				log_limited(LOG_LEVEL_WARN, "gate: accept a connection of the program: %s", strerror(errno));
			return;
		}
		if (endpoint_from_sockaddr(&sa, &from))
			g->events->on_connection(g->arg, fd, &from);
		else
			close(fd);
	}
}

void gate_give_back(struct gate *g, const uint8_t *syn, size_t len)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)g->lo_index, .sll_halen = ETH_ALEN };
	struct out_head head = { .eth.h_proto = htons(syn[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6) };
	struct iovec pieces[2] = { { &head, sizeof(head) }, { (void *)syn, len } };
	struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = pieces, .msg_iovlen = 2 };

	if (sendmsg(g->packet_out, &m, 0) < 0)
		log_limited(LOG_LEVEL_WARN, "gate: give a SYN back: %s", strerror(errno));
	/* The whole handshake ran inside that call, as a rule; what else waits wakes the loop. */
	accept_ready(g, g->listener_fds[syn[0] >> 4 != 4], 1);
}

static void take_packet(struct gate *g, const uint8_t *data, size_t len)
{
	struct packet p;

	if (packet_parse(data, len, &p) < 0)
		return; /* malformed, or of another protocol */
	if (packet_is_fragment(&p)) {
		len = fragments_add(g->fragments, &p, loop_now(g->loop) / LOOP_MS, &data);
		if (len == 0 || packet_parse(data, len, &p) < 0)
			return;
		p.dont_fragment = false;
	}
	g->events->on_packet(g->arg, &p);
}

/* Reads and handles one batch. Returns how many packets that were, or -1. */
static int read_batch(struct gate *g)
{
	int n = recvmmsg(g->in.fd, g->in_messages, IN_BATCH, MSG_DONTWAIT, NULL);

	for (int i = 0; i < n; i++) {
		const uint8_t *frame = g->in_pieces[i].iov_base;
		size_t len = g->in_messages[i].msg_len;

		note_size(g, len);
		if (len > sizeof(struct ethhdr))
			take_packet(g, frame + sizeof(struct ethhdr), len - sizeof(struct ethhdr));
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
		log_limited(LOG_LEVEL_WARN, "gate: read packets: %s", strerror(errno));
	return n;
}

static void on_packets(struct watch *w, uint32_t events)
{
	read_batch(container_of(w, struct gate, in));
}

void gate_read_all(struct gate *g)
{
	while (read_batch(g) > 0)
		;
}

static void on_listener(struct watch *w, uint32_t events)
{
	accept_ready(container_of(w, struct gate, listeners[0]), w->fd, ACCEPTS);
}

static void on_listener6(struct watch *w, uint32_t events)
{
	accept_ready(container_of(w, struct gate, listeners[1]), w->fd, ACCEPTS);
}

static void prepare_messages(struct gate *g)
{
	g->to_twin = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_ifindex = (int)g->relay_index, .sll_halen = ETH_ALEN };
	for (int i = 0; i < IN_BATCH; i++) {
		g->in_pieces[i] = (struct iovec){ .iov_base = g->in_memory + (size_t)i * IN_SIZE, .iov_len = IN_SIZE };
		g->in_messages[i].msg_hdr = (struct msghdr){ .msg_iov = &g->in_pieces[i], .msg_iovlen = 1 };
	}
	for (int i = 0; i < OUT_BATCH; i++) {
		memcpy(g->out_heads[i].eth.h_dest, twin_mac.b, ETH_ALEN);
		memcpy(g->out_heads[i].eth.h_source, relay_mac.b, ETH_ALEN);
		g->out_pieces[i][0] = (struct iovec){ .iov_base = &g->out_heads[i], .iov_len = sizeof(g->out_heads[i]) };
		g->out_messages[i].msg_hdr = (struct msghdr){ .msg_name = &g->to_twin, .msg_namelen = sizeof(g->to_twin),
							      .msg_iov = g->out_pieces[i], .msg_iovlen = 2 };
	}
}

static int watch_all(struct gate *g, struct twin *twin)
{
	int rc = loop_watch(g->loop, &g->in, fd_steal(&twin->packet_in), EPOLLIN, on_packets);

	for (int i = 0; rc == 0 && i < 2; i++) {
		g->listener_fds[i] = fd_steal(&twin->listeners[i]);
		if (g->listener_fds[i] >= 0)
			rc = loop_watch(g->loop, &g->listeners[i], g->listener_fds[i], EPOLLIN, i ? on_listener6 : on_listener);
	}
	return rc;
}

struct gate *gate_new(struct loop *loop, struct twin *twin, const struct gate_events *events, void *arg, struct error *err)
{
	struct gate *g = calloc(1, sizeof(*g));
	int rc;

	if (!g) {
		error_set(err, ENOMEM, "make the gate");
		return NULL;
	}
	*g = (struct gate){ .loop = loop, .events = events, .arg = arg, .relay_index = twin->relay_index, .lo_index = twin->lo_index,
			    .packet_out = fd_steal(&twin->packet_out), .listener_fds = { -1, -1 }, .spare = open_spare(),
			    .trim.on_due = trim_memory };
	g->in_memory = map_memory((size_t)IN_BATCH * IN_SIZE);
	g->out_memory = map_memory(OUT_BYTES + 2 * IN_SIZE);
	g->fragments = fragments_new(FRAGMENTED);
	rc = g->in_memory && g->out_memory && g->fragments ? watch_all(g, twin) : -ENOMEM;
	if (rc < 0) {
		error_set(err, -rc, "make the gate");
		gate_free(g);
		return NULL;
	}
	prepare_messages(g);
	return g;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	for (int i = 0; i < 2; i++) {
		loop_unwatch(g->loop, &g->listeners[i]);
		fd_closep(&g->listener_fds[i]);
	}
	loop_unwatch(g->loop, &g->in);
	if (g->in.fd > 0)
		close(g->in.fd);
	fd_closep(&g->packet_out);
	fd_closep(&g->spare);
	loop_disarm(g->loop, &g->trim);
	list_remove(&g->flush.node);
	fragments_free(g->fragments);
	if (g->in_memory)
		munmap(g->in_memory, (size_t)IN_BATCH * IN_SIZE);
	if (g->out_memory)
		munmap(g->out_memory, OUT_BYTES + 2 * IN_SIZE);
	free(g);
}
