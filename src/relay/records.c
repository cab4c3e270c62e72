// SPDX-License-Identifier: MIT
/* Records as bytes, and back.
 *
 *   packets ──recv──► length + record ──send──► stream
 *   packets ◄──send── a whole record  ◄──recv── stream
 *
 * Each direction holds one record at most: the next one is read when that one has gone. Both watches are edge-triggered and each event moves both
 * directions until nothing goes any more, or it is others' turn.
 *
 * An empty record and the end both are a recv() of 0 bytes. With SO_TIMESTAMP the kernel puts a time beside each record, and none beside the
 * end. There is no room for more beside it, so that descriptors which come along are closed by the kernel. */
#include "relay/records.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "net/bytes.h"

enum { HEAD = 4, TURN = 64 /* records */ };

/* A record under way, its length before it. */
struct record {
	uint8_t *data; /* NULL: none, or its head isn't there yet */
	size_t len, at; /* with the head; done so far */
	uint8_t head[HEAD];
};

struct records {
	struct watch packets, stream;
	struct list node;
	struct loop *loop;
	struct deferred reap;
	struct record out, in; /* to the stream, from it */
	bool packets_ended, stream_ended;
	bool packets_closed, stream_closed; /* by the other end: nothing can be sent any more */
	bool over;
};

enum progress { BROKEN = -1, STUCK, MOVED };

static enum progress why(ssize_t r)
{
	return r < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) ? STUCK : BROKEN;
}

static void record_done(struct record *r)
{
	free(r->data);
	*r = (struct record){ 0 };
}

static bool record_begin(struct record *r, size_t len)
{
	r->data = len <= RECORD_MAX ? malloc(HEAD + len) : NULL;
	if (!r->data) {
		log_limited(LOG_LEVEL_WARN, "records: one of %zu bytes is too long", len);
		return false;
	}
	put32(r->data, (uint32_t)len);
	r->len = HEAD + len;
	return true;
}

/* The length of the next record, or -1 as recv(); *ret_end when there is none, and will be none. */
static ssize_t next_length(int fd, bool *ret_end)
{
	char beside[CMSG_SPACE(sizeof(struct timeval))];
	struct msghdr m = { .msg_control = beside, .msg_controllen = sizeof(beside) };
	ssize_t n = recvmsg(fd, &m, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

	*ret_end = n == 0 && m.msg_controllen == 0;
	return n;
}

static enum progress take_packet(struct records *r)
{
	bool end;
	ssize_t n = next_length(r->packets.fd, &end);

	if (n < 0)
		return why(n);
	if (end) {
		r->packets_ended = true;
		return shutdown(r->stream.fd, SHUT_WR) < 0 && !r->stream_closed ? BROKEN : STUCK;
	}
	if (!record_begin(&r->out, (size_t)n))
		return BROKEN;
	return recv(r->packets.fd, r->out.data + HEAD, (size_t)n, MSG_DONTWAIT) == n ? MOVED : BROKEN;
}

static enum progress put_bytes(struct records *r)
{
	struct record *o = &r->out;
	ssize_t n = send(r->stream.fd, o->data + o->at, o->len - o->at, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return why(n);
	o->at += (size_t)n;
	if (o->at == o->len)
		record_done(o);
	return MOVED;
}

static enum progress to_stream(struct records *r)
{
	if (r->out.data)
		return put_bytes(r);
	return r->packets_ended ? STUCK : take_packet(r);
}

static enum progress on_stream_end(struct records *r)
{
	r->stream_ended = true;
	if (r->in.at)
		return BROKEN;
	shutdown(r->packets.fd, SHUT_WR); /* fails when it is closed at its other end: that is dealt with there */
	return STUCK;
}

/* What is there of the head, then of the record. */
static enum progress take_bytes(struct records *r)
{
	struct record *i = &r->in;
	uint8_t *place = i->data ? i->data + i->at : i->head + i->at;
	ssize_t n = recv(r->stream.fd, place, (i->data ? i->len : HEAD) - i->at, MSG_DONTWAIT);

	if (n < 0)
		return why(n);
	if (n == 0)
		return on_stream_end(r);
	i->at += (size_t)n;
	if (!i->data && i->at == HEAD && !record_begin(i, get32(i->head)))
		return BROKEN;
	return MOVED;
}

static enum progress put_packet(struct records *r)
{
	ssize_t n = send(r->packets.fd, r->in.data + HEAD, r->in.len - HEAD, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR);

	if (n < 0)
		return why(n);
	record_done(&r->in);
	return MOVED;
}

static enum progress to_packets(struct records *r)
{
	if (r->in.data && r->in.at == r->in.len)
		return put_packet(r);
	return r->stream_ended ? STUCK : take_bytes(r);
}

static void on_reap(struct deferred *d)
{
	free(container_of(d, struct records, reap));
}

static void end(struct records *r)
{
	r->over = true;
	list_remove(&r->node);
	loop_close(r->loop, &r->packets);
	loop_close(r->loop, &r->stream);
	record_done(&r->out);
	record_done(&r->in);
	loop_defer(r->loop, &r->reap, on_reap);
}

/* As long as it goes. False: the connection is broken. */
static bool move(struct records *r, enum progress (*one)(struct records *))
{
	enum progress p = MOVED;

	for (int i = 0; i < TURN && p == MOVED; i++)
		p = one(r);
	if (p == MOVED) /* others' turn */
		return loop_rearm(r->loop, &r->packets) == 0 && loop_rearm(r->loop, &r->stream) == 0;
	return p == STUCK;
}

static void go_on(struct records *r)
{
	bool fine = move(r, to_packets) && move(r, to_stream);
	bool all_out = r->packets_ended && !r->out.data, all_in = r->stream_ended && !r->in.data;

	if (!fine || (all_out && (all_in || r->packets_closed)) || (all_in && r->stream_closed))
		end(r);
}

static void on_packets(struct watch *w, uint32_t events)
{
	struct records *r = container_of(w, struct records, packets);

	if (r->over)
		return;
	r->packets_closed |= (events & EPOLLHUP) != 0;
	go_on(r);
}

static void on_stream(struct watch *w, uint32_t events)
{
	struct records *r = container_of(w, struct records, stream);

	if (r->over)
		return;
	r->stream_closed |= (events & EPOLLHUP) != 0;
	go_on(r);
}

/* Sockets must take what the other side's could: their buffers are made as large as they may be. */
static int prepare(int packets, int stream)
{
	static const int on = 1, room = 2 * RECORD_MAX;

	setsockopt(packets, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (setsockopt(packets, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)) < 0 || fd_set_nonblocking(packets, true) < 0 ||
	    fd_set_nonblocking(stream, true) < 0)
		return -1;
	return 0;
}

void records_start(struct loop *loop, int packets, int stream, struct list *all)
{
	static const uint32_t interest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	struct records *r = calloc(1, sizeof(*r));

	if (!r || prepare(packets, stream) < 0 || loop_watch(loop, &r->packets, packets, interest, on_packets) < 0 ||
	    loop_watch(loop, &r->stream, stream, interest, on_stream) < 0) {
		if (r)
			loop_unwatch(loop, &r->packets);
		close(packets);
		close(stream);
		free(r);
		return;
	}
	r->loop = loop;
	list_append(all, &r->node);
}

void records_end_all(struct list *all)
{
	while (!list_empty(all))
		end(container_of(all->next, struct records, node));
}
