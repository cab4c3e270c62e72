// SPDX-License-Identifier: MIT
/* The tunnel: many streams over one reliable byte stream (docs/protocol.md).
 *
 * Every stream has a credit window of its own in each direction, so a slow peer stops its own stream only. What the receiver
 * grants it must be able to hold: the sum of what it granted never exceeds MUX_BUDGET. What waits to be sent is bounded by
 * MUX_SEND_QUEUE, or, where it is datagrams, MUX_BURST more; streams take turns for room in it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/packet.h"
#include "net/unix_name.h"

struct hello;
struct mux;
struct stream;

enum {
	MUX_BUDGET = 64 << 20,	   /* bytes of credit that one side has out in all, what it holds unread included */
	MUX_WINDOW = 4 << 20,	   /* most credit of one stream */
	MUX_WINDOW_NEAR = 2 << 20, /* of one that more wouldn't make faster: the round trip is short, or the way slow */
	MUX_WINDOW_MIN = 1 << 10,  /* least credit that a new stream gets; when the budget has less, it is refused with ENOBUFS */
	MUX_SEND_QUEUE = 1 << 20,  /* bytes waiting for the transport; streams take turns from a quarter of it on */
	MUX_BURST = 4 << 20,	   /* so many bytes of datagrams more, at most, where the transport has shown that it is quick */
	MUX_STREAMS = 65536,	   /* open at a time */
	MUX_INFO_MAX = 4 << 20,	   /* one INFO message */
	MUX_TAIL = 4 << 20,	   /* bytes kept for a resumption until the peer acknowledges them; bulk waits beyond */
};

enum { MUX_HELLO_S = 20 }; /* so long a side waits for the peer's hello */

/* All but UDP and ECHO carry bytes. STREAM_CAPTURE: packets of the target's (agent/capture_stream.h); STREAM_UNIX: of a Unix socket of the
 * target's; STREAM_RECORDS: of a SOCK_SEQPACKET one, the length (u32) before each record. */
enum stream_kind { STREAM_TCP, STREAM_UDP, STREAM_ECHO, STREAM_CAPTURE, STREAM_UNIX, STREAM_RECORDS };
enum { STREAM_KINDS = STREAM_RECORDS + 1 };

/* What the opener asks for. */
struct stream_request {
	enum stream_kind kind;
	struct endpoint local, remote; /* as in egress_ops.dial; @remote unused but for STREAM_TCP */
	struct unix_name name;	       /* of STREAM_UNIX, STREAM_RECORDS */
};

/* What a stream tells its owner. No call comes after on_reset or stream_close(). None of them may free the mux. */
struct stream_events {
	/* The peer took the stream (the opener's side only). */
	void (*on_opened)(void *arg);
	/* Bytes came; all @len are the owner's now: it says stream_consumed() as they leave its hands, which renews the credit. */
	void (*on_data)(void *arg, const uint8_t *data, size_t len);
	/* The peer will send no more (its half-close). */
	void (*on_end)(void *arg);
	/* The stream is over: refused, reset by the peer, or the tunnel is gone (ENETUNREACH). @error is an errno.
	 * The handle is invalid when this returns; the owner does not close it. */
	void (*on_reset)(void *arg, int error);
	/* There is room again after stream_room() was 0. */
	void (*on_room)(void *arg);
	/* STREAM_UDP and STREAM_ECHO. */
	void (*on_datagram)(void *arg, const struct endpoint *peer, struct packet_marks marks, const uint8_t *data, size_t len);
	void (*on_error)(void *arg, const struct endpoint *peer, const struct icmp_error *error, const uint8_t *data, size_t len);
	/* As on_data, for a byte that TCP marked as urgent; NULL: it is one like any other. */
	void (*on_urgent)(void *arg, const uint8_t *byte);
};

struct mux_events {
	/* The peer's hello came and suits. */
	void (*on_ready)(void *arg);
	/* The peer opens a stream. The owner answers now or later with stream_accept() or stream_reset(). NULL refuses all. */
	void (*on_open)(void *arg, struct stream *s, const struct stream_request *request);
	/* A message on the tunnel itself: what the target is like, requests of later versions. */
	void (*on_info)(void *arg, uint16_t topic, const uint8_t *data, size_t len);
	/* The transport ended or the peer broke the protocol; every stream got its on_reset before. The owner frees the mux later,
	 * through loop_defer(). */
	void (*on_gone)(void *arg, const struct error *why);
	/* The byte stream broke; all streams are kept, and what is sent to them waits. The session makes another byte stream and calls
	 * mux_resume(), again each time this is called; on_gone follows when it isn't there in time. NULL: a break is the end. The
	 * tunnel can be resumed when both sides have it. */
	void (*on_suspended)(void *arg, const struct error *why);
	void (*on_resumed)(void *arg);
};

enum mux_role { MUX_SESSION, MUX_AGENT };

/* @in and @out may be one descriptor (a socket) or two (pipes; then the process ignores SIGPIPE); non-blocking is set on both.
 * The mux owns them, also when this fails. It says hello at once, and what is sent follows without waiting for the peer's.
 * NULL with @err. */
struct mux *mux_new(struct loop *loop, enum mux_role role, int in, int out, const struct mux_events *events, void *arg,
		    struct error *err);
/* Goes on over another byte stream, whether the old one is known to have broken or not. The agent gives the @hello that it read, one
 * that mux_resumes() said is ours; the session NULL. The mux owns the descriptors at once. on_resumed or, when this one
 * breaks as well, on_suspended follows. */
void mux_resume(struct mux *m, int in, int out, const struct hello *hello);
/* Whether @hello (of a session) goes on with this tunnel: its token is that of @m, which can be resumed and has what it needs. */
bool mux_resumes(const struct mux *m, const struct hello *hello);
bool mux_is_suspended(const struct mux *m);
/* Closes the transport, after one attempt to write what is queued; streams get on_reset(ENETUNREACH) unless their owners have
 * closed them. All handles are invalid afterwards. */
void mux_free(struct mux *m);
/* Sends a message on the tunnel itself. Returns 0 or -errno (-EMSGSIZE, -ENOMEM, -EPIPE). */
int mux_send_info(struct mux *m, uint16_t topic, const void *data, size_t len);
size_t mux_stream_count(const struct mux *m);

/* Opens a stream. NULL with errno: ENOBUFS (MUX_STREAMS open, no budget, or the peer doesn't read), ENOMEM, ENETUNREACH (the
 * tunnel is gone). Datagrams may be sent at once, but those before the peer's owner attached or accepted are lost. */
struct stream *stream_open(struct mux *m, const struct stream_request *request, const struct stream_events *events, void *arg);
/* For an owner who answers on_open later, and wants to be told of a reset (and get datagrams) until then. Without it the handle
 * stays valid until the answer, and on_reset follows a stream_accept() that came too late. An open stream gets another owner. */
void stream_attach(struct stream *s, const struct stream_events *events, void *arg);
/* Takes a stream that the peer opened. */
void stream_accept(struct stream *s, const struct stream_events *events, void *arg);

/* How many bytes the stream takes now: credit, room in the send queue, and its turn. With 0, on_room follows. */
size_t stream_room(struct stream *s);
/* A place in the send queue to read(2) into without a copy of our own; *ret_len (≥ 1) is its size. NULL when stream_room() is 0.
 * Valid until the next call into the mux; stream_commit() makes the first @len bytes a frame (0: nothing was sent). */
uint8_t *stream_reserve(struct stream *s, size_t *ret_len);
void stream_commit(struct stream *s, size_t len);
/* The same for one byte, which is urgent. */
void stream_commit_urgent(struct stream *s);
/* Half-close: we send no more. */
void stream_end(struct stream *s);
/* The owner is done with @len bytes that on_data gave it. */
void stream_consumed(struct stream *s, size_t len);
/* Sends a datagram. Dropped when the send queue is full. */
void stream_send_datagram(struct stream *s, const struct endpoint *peer, struct packet_marks marks, const void *data, size_t len);
void stream_send_error(struct stream *s, const struct endpoint *peer, const struct icmp_error *error, const void *data, size_t len);
/* Ends the stream in both directions with an errno for the peer (ECONNRESET for a reset, ECONNREFUSED… for a failed connect). The
 * handle is invalid afterwards. */
void stream_reset(struct stream *s, int error);
/* The owner lets go of the stream. When both sides have ended it the peer notices nothing; otherwise this is a reset. */
void stream_close(struct stream *s);
