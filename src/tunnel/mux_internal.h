// SPDX-License-Identifier: MIT
/* What the files of the mux share: mux.c (life), mux_receive.c (the peer's frames), mux_send.c (the two queues and their flush),
 * mux_resume.c (breaks and what comes after), stream.c (streams' lives), stream_send.c (room and turns), credit.c (windows and budget). */
#pragma once

#include "base/list.h"
#include "base/table.h"
#include "tunnel/greeting.h"
#include "tunnel/mux.h"
#include "tunnel/pace.h"
#include "tunnel/tail.h"

enum {
	RECEIVE_ROOM = 512 << 10,   /* bytes read at a time */
	RECEIVE_READS = 4,	    /* reads in one turn of the loop */
	URGENT_MAX = 4 << 20,	    /* control frames that wait; more is a peer that doesn't read */
	URGENT_OPEN_MAX = 2 << 20,  /* no new stream is opened while more than that waits */
	URGENT_SHARE = 64 << 10,    /* bytes of data that overtake others between two frames of the bulk queue */
	URGENT_DATA = 2 << 10,	    /* bytes of data of one stream that may overtake */
	BULK_SOFT = 256 << 10,	    /* streams wait for their turn from here on */
	FLUSH_NOW = 128 << 10,	    /* so much is written at once, not at the end of the turn */
	MUX_VERSION = 1,
	WINDOW_LIMIT = INT32_MAX,   /* credit that a sender may hold for one stream */
	REFUSED_MAX = 1024,	    /* opens beyond MUX_STREAMS, some of which may have overtaken a RESET */
	PONGS_MAX = 64,		    /* unsent; a peer has one ping out at a time */
	ACK_IDLE = 4 << 10,	    /* bytes that are acknowledged even when nothing more comes */
	PINGS = 4,		    /* at the beginning, when both sides have other things to do as well */
};

/* @hello, @greeting: until the peer's, on the first byte stream and on a later one; @gone: without a sign of life; @resume: without a byte stream. */
struct mux_times {
	uint64_t hello, greeting, tick, idle, gone, resume;
};

/* UP: frames go and come. DOWN: there is none. GREETING: there is one, and the peer's hello to come. */
enum transport_state { TRANSPORT_UP, TRANSPORT_DOWN, TRANSPORT_GREETING };

enum { SIDE_IN, SIDE_OUT, SIDES };

struct mux {
	struct loop *loop;
	enum mux_role role;
	const struct mux_events *events;
	void *arg;

	/* The transport. Both sides are one watch when they are one descriptor. */
	int fds[SIDES];
	struct watch watches[SIDES];
	bool is_socket, blocked;
	bool torn;    /* the byte stream is over, the mux is about to be suspended */
	bool keeping; /* what is sent is kept; false as soon as it is known that the tunnel can't be resumed */
	int broken;   /* the errno of a write that failed; what is still to be read may say more */
	enum transport_state transport;

	/* Resume (mux_resume.c). */
	struct error tear;
	uint8_t token[HELLO_TOKEN];
	struct tail tail;
	uint64_t received, acknowledged; /* positions of the way in */
	uint64_t ack_step;
	uint64_t suspended_at, greeting_at;
	struct hello_reader greeting;

	uint8_t *in;
	size_t in_len;
	bool ready;
	uint8_t *info; /* an INFO message that came in part */
	size_t info_len;
	uint16_t info_topic;

	struct pool pool;
	struct queue urgent, bulk;
	size_t urgent_share; /* data put to urgent since bulk moved */
	unsigned int pongs, refused;
	struct list waiting; /* streams that want room */
	struct stream *reserved;
	size_t offered;

	struct table streams;
	uint32_t next_id, peer_id;
	uint32_t peer_streams; /* open at a time, as the peer's hello says */
	struct list dead;    /* to be freed */
	struct list orphans; /* reset before they had an owner */
	struct list late;    /* orphans that got one */

	size_t budget_used;
	struct list lru; /* streams with a window above the least, the one that got data last at the end */

	struct timer timer;
	struct mux_times times;
	struct pace pace;      /* of the way out */
	uint64_t heard, moved; /* when a byte last came in, went out */
	uint64_t ping_sent, ping_cookie;
	uint64_t round_trip; /* the least over this byte stream; 0: not known */
	unsigned int pings;  /* to be sent still, each when the one before was answered */

	struct deferred flush, reap, ending;
	bool failed;
	struct error why;
};

/* OPENING: we asked. OFFERED: the peer asked. ORPHAN: over before it had an owner. DEAD: over, freed after the turn. */
enum stream_state { STATE_OPENING, STATE_OFFERED, STATE_OPEN, STATE_ORPHAN, STATE_DEAD };

/* Sending: @credit is what the peer still takes. Receiving: @window is what the stream may hold of the budget; of it @granted is
 * out, @held is with the owner, the rest is due to be granted. */
struct stream {
	struct table_node node;
	struct mux *mux;
	const struct stream_events *events;
	void *arg;
	struct list wait; /* in waiting, orphans, late or dead */
	struct list lru;
	uint64_t bulk_end, urgent_end; /* positions behind its last frame in each queue */
	uint32_t id, credit;
	uint32_t window, granted, held;
	uint32_t touched; /* when data last came or was granted, in milliseconds */
	uint32_t came, since; /* bytes of the next window that came, and since when, in milliseconds */
	int error;
	uint16_t urgent_len; /* bytes of data below urgent_end, as far as not flushed */
	uint8_t kind, state;
	bool sent_end : 1, want_end : 1, got_end : 1;
	bool starved : 1; /* room was refused for want of credit */
	bool turn : 1;	  /* may pass those who wait, once */
	bool light : 1;	  /* sends little at a time */
	bool dry : 1;	  /* the peer used all credit since the last grant */
	bool brisk : 1;	  /* the last window came within few round trips */
	bool recalled : 1;
};

/* mux.c. Ends the tunnel after the turn; the first reason stays. Text as error_set(). */
void mux_fail(struct mux *m, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The byte stream is over: the mux is suspended after the turn, or failed where it can't be resumed. */
void mux_tear(struct mux *m, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *mux_peer_name(const struct mux *m);

/* mux_receive.c */
void mux_receive(struct mux *m);

/* A write failed: reads what is still there, then ends the tunnel. */
void mux_fail_out(struct mux *m, int error);
/* The peer's hello suits. */
void mux_become_ready(struct mux *m, const struct hello *h);
/* Watches the descriptors, which are m->fds. Returns 0 or -errno. */
int mux_open_transport(struct mux *m);
/* Closes them. */
void mux_drop_transport(struct mux *m);
/* Says a hello with these flags. Returns 0 or -errno. */
int mux_say_hello(struct mux *m, uint32_t flags);
/* false when no ping with this cookie is out. */
bool mux_take_pong(struct mux *m, uint64_t cookie);
/* Measures the round trip of a new byte stream. A ping that is out, or its answer, goes again as soon as both hellos are there. */
void mux_ping_anew(struct mux *m);
/* Sets what the loop watches for by what there is to do. */
void mux_rewatch(struct mux *m);

/* mux_resume.c. The byte stream is over and the tunnel isn't. */
void mux_suspend(struct mux *m);
/* For the timer, while there is no byte stream to send on. */
void mux_tick_suspended(struct mux *m);
/* The peer can't resume, or it can and has such a tail. */
void mux_keep_nothing(struct mux *m);
void mux_keep(struct mux *m, uint32_t peer_tail);
/* Bytes of the peer's hello came on a new byte stream. */
void mux_greet(struct mux *m);
void mux_acknowledge(struct mux *m);
/* false when the peer may not say that. */
bool mux_take_ack(struct mux *m, uint64_t position);

/* mux_send.c. The tail is full: no bulk frame is begun. */
bool mux_is_stalled(const struct mux *m);
/* Queues a frame with a copy of its payload. Fails the mux without memory. */
void mux_put(struct mux *m, struct queue *q, const struct frame *f);
/* Behind all that the stream has sent, but before the bulk of others where that leaves it in order. */
void stream_put(struct stream *s, const struct frame *f);
void mux_flush(struct mux *m);
void mux_schedule_flush(struct mux *m);
/* The transport takes bytes again, or streams wait for their turn. */
void mux_writable(struct mux *m);

/* stream.c */
struct stream *stream_find(struct mux *m, uint32_t id);
/* The id was used, so late frames may name it. */
bool stream_id_is_old(const struct mux *m, uint32_t id);
/* NULL with errno. */
struct stream *stream_new(struct mux *m, uint32_t id, uint8_t kind, enum stream_state state);
/* The stream is over; tells its owner. */
void stream_finish(struct stream *s, int error);
void mux_finish_streams(struct mux *m, int error);
/* Frees them without a word. */
void mux_free_streams(struct mux *m);
bool stream_is_datagram(const struct stream *s);

/* stream_send.c. Tells a starved stream that it has credit, when there is room. */
void stream_wake(struct stream *s);
void mux_give_turns(struct mux *m);
/* Puts an END in the queue. */
void stream_put_end(struct stream *s);

/* credit.c. Gives a new stream its first window; false without budget. */
bool credit_start(struct stream *s);
/* Bytes came in; false when the peer had no credit for them. */
bool credit_take(struct stream *s, size_t len, bool dry);
void credit_consume(struct stream *s, size_t len);
/* The peer gave back; false when it never had it. */
bool credit_return(struct stream *s, uint32_t amount);
/* No more comes in: all but what the owner holds goes back to the budget. */
void credit_end(struct stream *s);
void credit_release(struct stream *s);
/* The peer wants credit back. */
void credit_give_back(struct stream *s, uint32_t keep);
