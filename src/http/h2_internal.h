// SPDX-License-Identifier: MIT
/* Internal to h2*.c. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "http/h2.h"
#include "http/h2_pool.h"
#include "http/jq_program.h"

/* Fields that are asked for by name with each request. */
enum h2_name { H2_METHOD, H2_PATH, H2_AUTHORITY, H2_STATUS, H2_HOST, H2_CONTENT_TYPE, H2_EXPECT, H2_NAMES };

/* A header block as it comes: lines "name: value", and where they are in it. */
struct h2_block {
	char *text;
	size_t len, room;
	struct {
		uint32_t at, name_len, len;
		bool sensitive; /* never to be put into a compression table */
	} * fields;
	size_t n, fields_room;
	uint32_t known[H2_NAMES]; /* the number of the first such field, from 1 on */
	bool too_large;
};

/* Bytes on their way to a half's peer. */
struct h2_queue {
	uint8_t *data;
	size_t at, end, room;
	bool deferred; /* nghttp2 waits to be told of more */
};

enum { H2_CLIENT_HALF, H2_SERVER_HALF };

struct h2_half {
	struct h2_link *link; /* NULL: none yet, or it is closed */
	int32_t id;
	struct h2_queue queue;
	size_t paid; /* of that, what its sender has got credit for already */
	struct h2_block block;	 /* that comes from its peer */
	struct h2_block head;	 /* on its way to its peer; nghttp2 looks at it when it sends */
	struct h2_block trailer; /* to go behind the queue */
	bool index;
	bool headed;   /* a head was sent */
	bool ending;   /* nothing comes behind the queue but the trailer */
	bool said;     /* the frame with its end is on its way */
	bool stopping; /* behind that goes a reset with `error`, most often none: its peer is to send no more */
	uint32_t error;
	bool ended;    /* its peer has sent all */
};

struct h2_stream {
	struct list node;
	struct h2 *h2;
	struct h2_half halves[2];
	enum h2_lack lacks; /* so nobody has it yet; its head is the server's half's, which has no link */
	uint64_t body_until; /* its body is waited for; 0: it was not */
	bool own_continue;   /* we said 100, so the server's isn't passed on */
	struct jq_answers answers;
	bool answered;
	bool no_body; /* the request ends with its head */
	bool is_head; /* it is a HEAD: so does the answer */
	bool grpc;
	bool lingers; /* the client has all of its answer, the server not yet all of the request */
};

struct h2_link {
	struct list node;
	struct h2 *h2;
	nghttp2_session *session;
	bool client, home, leaving, warned, broken;
	struct http_marks marks;
	struct h2_half *heading; /* whose header block comes, or NULL */
	int32_t last_id, gap, gap_end; /* of the client's streams: the highest number, and the last row of numbers left out */
};

struct h2 {
	const struct h2_events *events;
	void *arg;
	struct h2_link *client;
	struct list servers, streams;
	size_t resets, answers, body_max, lingering;
	bool connect_protocol, greeted;
};

/* h2_block.c */
bool h2_block_add(struct h2_block *b, struct span name, struct span value, bool sensitive);
void h2_block_fini(struct h2_block *b);
/* As nghttp2 wants it: a static array, good until the next call. */
nghttp2_nv *h2_block_nv(const struct h2_block *b);
/* The same of one that stays until it was sent, and whose names are in lower case: nghttp2 makes no copy. */
nghttp2_nv *h2_block_nv_kept(const struct h2_block *b);
/* What of that is left when marks take its place, behind it; returns the new number. */
size_t h2_block_mark(nghttp2_nv *nv, size_t n, const struct http_marks *m);
struct span h2_block_value(const struct h2_block *b, const char *name);
struct span h2_block_known(const struct h2_block *b, enum h2_name name);
/* The request for filters; points into the block and static memory. */
void h2_block_view(const struct h2_block *b, struct http_request *ret);
bool h2_queue_add(struct h2_queue *q, const uint8_t *data, size_t len);
size_t h2_queue_len(const struct h2_queue *q);
void h2_queue_fini(struct h2_queue *q);
/* As nghttp2's data source: from the queue, and behind the last byte, which is there when @ending, @trailer. */
ssize_t h2_queue_give(struct h2_queue *q, bool ending, struct h2_block *trailer, nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
		      uint32_t *flags);
/* There is more for the stream @id of @session, or its end. NULL: no longer to be told to anybody. */
void h2_queue_wake(struct h2_queue *q, nghttp2_session *session, int32_t id);

/* h2_stream.c */
struct h2_stream *h2_stream_new(struct h2 *h, int32_t id);
/* The first stream after an upgrade: its request was sent to @server already. NULL without memory. */
struct h2_stream *h2_stream_upgraded(struct h2 *h, struct h2_link *server, bool is_head);
/* A head, a trailer or the end of this half's has been sent. */
void h2_on_sent(struct h2_half *half, const nghttp2_frame *frame);
/* A head or a trailer has come whole. @end: nothing follows. */
int h2_on_block(struct h2_half *half, bool end);
int h2_on_data(struct h2_half *half, const uint8_t *data, size_t len);
void h2_on_end(struct h2_half *half);
/* The half is closed on its link. */
void h2_on_close(struct h2_half *half, uint32_t error);
void h2_stream_free(struct h2_stream *s);
/* Its server is gone: 502 with @why, or a reset, where it has no whole answer. */
void h2_stream_fail(struct h2_stream *s, const char *why);
/* Its link's server goes, which was sent nothing of it. */
void h2_stream_ask_again(struct h2_stream *s);
/* When its time is over @now; that time else, or 0 when it waits for none. */
uint64_t h2_stream_give_up_body(struct h2_stream *s, uint64_t now);
void h2_stream_take_answers(struct h2_stream *s);
