// SPDX-License-Identifier: MIT
/* A stream: what one half receives goes out by the other.
 *
 *   client's half                                      server's half
 *   head ─► a filter's choice ─► head                  (or the body first, then the choice)
 *   data ─► queue ─► data, and the client has so much more credit
 *   trailer, end, reset ─► the same
 *                                     and all of that the other way round
 *
 * Credit of a stream is given back when the other half has taken the bytes, so a queue is never longer than H2_WINDOW, but for a filter on
 * bodies, which has to see all of it. Credit of the whole
 * connection is given back at once: a stream that nobody reads holds up none but itself. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "http/h2_internal.h"

static struct h2_stream *stream_of(struct h2_half *half)
{
	return container_of(half - half->index, struct h2_stream, halves[0]);
}

static struct h2_half *other(struct h2_half *half)
{
	return &stream_of(half)->halves[!half->index];
}

static void on_answers(struct jq_answers *a)
{
	const struct h2_stream *s = container_of(a, struct h2_stream, answers);

	s->h2->events->on_answers(s->h2->arg);
}

struct h2_stream *h2_stream_new(struct h2 *h, int32_t id)
{
	struct h2_stream *s = h2_pool_new_zeroed(sizeof(*s));

	if (!s)
		return NULL;
	s->h2 = h;
	s->halves[H2_SERVER_HALF].index = true;
	s->halves[H2_CLIENT_HALF].link = h->client;
	s->halves[H2_CLIENT_HALF].id = id;
	s->answers.on_answers = on_answers;
	list_append(&h->streams, &s->node);
	return s;
}

struct h2_stream *h2_stream_upgraded(struct h2 *h, struct h2_link *server, bool is_head)
{
	struct h2_stream *s = h2_stream_new(h, 1);
	struct h2_half *half = s ? &s->halves[H2_SERVER_HALF] : NULL;

	if (!s)
		return NULL;
	s->is_head = is_head;
	s->no_body = s->halves[H2_CLIENT_HALF].ended = true;
	half->link = server;
	half->id = 1;
	half->headed = half->ending = true;
	return s;
}

static void leave_link(struct h2_half *half)
{
	if (half->link->heading == half)
		half->link->heading = NULL;
	half->link = NULL;
}

void h2_stream_free(struct h2_stream *s)
{
	for (int i = 0; i < 2; i++) {
		struct h2_half *half = &s->halves[i];

		if (half->link) {
			nghttp2_session_set_stream_user_data(half->link->session, half->id, NULL);
			leave_link(half);
		}
		h2_queue_fini(&half->queue);
		h2_block_fini(&half->block);
		h2_block_fini(&half->head);
		h2_block_fini(&half->trailer);
	}
	jq_answers_fini(&s->answers);
	list_remove(&s->node);
	s->h2->lingering -= s->lingers;
	h2_pool_free(s);
}

static void reset(struct h2_half *half, uint32_t error)
{
	if (half->link)
		nghttp2_submit_rst_stream(half->link->session, NGHTTP2_FLAG_NONE, half->id, error);
}

/* nghttp2 takes from the queue what fits into a frame and the peer's window. */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2_half *half = source->ptr, *from = other(half);
	size_t had = h2_queue_len(&half->queue), taken, paid;
	ssize_t n = h2_queue_give(&half->queue, half->ending, &half->trailer, session, id, buf, len, flags);

	taken = had - h2_queue_len(&half->queue);
	paid = taken < half->paid ? taken : half->paid;
	half->paid -= paid;
	if (taken > paid && from->link)
		nghttp2_session_consume_stream(from->link->session, from->id, taken - paid);
	return n;
}

static void wake(struct h2_half *half)
{
	h2_queue_wake(&half->queue, half->link ? half->link->session : NULL, half->id);
}

static void move_block(struct h2_block *to, struct h2_block *from)
{
	h2_block_fini(to);
	*to = *from;
	*from = (struct h2_block){ 0 };
}

void h2_on_sent(struct h2_half *half, const nghttp2_frame *frame)
{
	const nghttp2_headers *head = frame->hd.type == NGHTTP2_HEADERS ? &frame->headers : NULL;

	if (head && head->nvlen && (char *)head->nva->name == half->head.text)
		h2_block_fini(&half->head);
	half->said |= frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	if (half->said && half->stopping)
		reset(half, half->error);
}

/* The request goes to its server. */
static int forward_request(struct h2_stream *s, struct h2_link *to)
{
	struct h2_half *half = &s->halves[H2_SERVER_HALF];
	nghttp2_data_provider body = { .source.ptr = half, .read_callback = on_read };
	int32_t id;

	id = nghttp2_submit_request(to->session, NULL, h2_block_nv_kept(&half->head), half->head.n, s->no_body ? NULL : &body, half);
	if (id < 0)
		return -1;
	half->link = to;
	half->id = id;
	half->headed = true;
	return 0;
}

/* All of the answer is there or on its way, and nobody wants the rest of the request (RFC 9113 §8.1): without a reset a client goes on to send, and
 * one may wait for it. It goes behind the answer: nghttp2 sends nothing more of a stream whose reset it was given. */
static void stop(struct h2_half *client, uint32_t error)
{
	client->stopping = true;
	client->error = error;
	if (client->said)
		reset(client, error);
}

static void refuse(struct h2_stream *s, const char *status, const char *reason, const char *text)
{
	struct h2_half *half = &s->halves[H2_CLIENT_HALF];
	nghttp2_data_provider body = { .source.ptr = half, .read_callback = on_read };
	bool head_only = s->grpc || s->is_head;
	struct h2_block head = { 0 };

	h2_block_add(&head, span_of(":status"), span_of(s->grpc ? "200" : status), false);
	h2_block_add(&head, span_of("content-type"), span_of(s->grpc ? "application/grpc" : "text/plain; charset=utf-8"), false);
	h2_block_add(&head, span_of("mirrord-error"), span_of(reason), false);
	if (s->grpc) { /* an answer that is all trailer: UNAVAILABLE, or RESOURCE_EXHAUSTED */
		h2_block_add(&head, span_of("grpc-status"), span_of(*status == '5' ? "14" : "8"), false);
		h2_block_add(&head, span_of("grpc-message"), span_of(reason), false);
	}
	if (!head_only)
		h2_queue_add(&half->queue, (const uint8_t *)text, strlen(text));
	half->headed = half->ending = s->answered = true;
	if (head.too_large || nghttp2_submit_response(half->link->session, half->id, h2_block_nv(&head), head.n, head_only ? NULL : &body) < 0)
		reset(half, NGHTTP2_INTERNAL_ERROR);
	else if (!half->ended && !s->no_body)
		stop(half, NGHTTP2_NO_ERROR);
	h2_block_fini(&head);
}

void h2_stream_fail(struct h2_stream *s, const char *why)
{
	struct h2_half *half = &s->halves[H2_CLIENT_HALF];
	char text[300];

	if (!half->link)
		return;
	if (s->halves[H2_SERVER_HALF].ended) {
		if (!half->ended)
			stop(half, NGHTTP2_NO_ERROR);
		return;
	}
	if (half->headed || !why) {
		reset(half, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	snprintf(text, sizeof(text), "mirrord: %s\n", why);
	refuse(s, "502", why, text);
}

/* The sender gets credit for all that is kept for the filters. */
static void pay(struct h2_stream *s)
{
	struct h2_half *from = &s->halves[H2_CLIENT_HALF], *to = &s->halves[H2_SERVER_HALF];
	size_t unpaid = h2_queue_len(&to->queue) - to->paid;

	if (unpaid && from->link)
		nghttp2_session_consume_stream(from->link->session, from->id, unpaid);
	to->paid += unpaid;
}

/* A client that waits for leave to send its body gets it from us. */
static void say_continue(struct h2_stream *s)
{
	static const nghttp2_nv status = { (uint8_t *)":status", (uint8_t *)"100", 7, 3, NGHTTP2_NV_FLAG_NONE };
	struct h2_half *client = &s->halves[H2_CLIENT_HALF];

	if (!span_is(h2_block_known(&s->halves[H2_SERVER_HALF].head, H2_EXPECT), "100-continue") || client->ended)
		return;
	s->own_continue = true;
	nghttp2_submit_headers(client->link->session, NGHTTP2_FLAG_NONE, client->id, NULL, &status, 1, NULL);
}

static void wait_for_body(struct h2_stream *s)
{
	pay(s);
	if (s->body_until)
		return;
	s->body_until = s->h2->events->on_wait(s->h2->arg);
	if (!s->halves[H2_SERVER_HALF].paid)
		say_continue(s);
}

/* Whose is it? The head is the server's half's already, the body is in its queue, as far as it has come. */
static void decide(struct h2_stream *s, enum http_body body_state)
{
	struct h2_half *to = &s->halves[H2_SERVER_HALF];
	struct http_request r;
	struct h2_link *link;

	h2_block_view(&to->head, &r);
	r.answers = &s->answers;
	r.body_state = body_state;
	r.body = (struct span){ (const char *)(to->queue.data ? to->queue.data + to->queue.at : NULL), h2_queue_len(&to->queue) };
	s->lacks = H2_LACKS_NOTHING;
	link = s->h2->events->choose(s->h2->arg, &r, &s->lacks);
	if (s->lacks == H2_LACKS_ANSWERS)
		return;
	if (s->lacks == H2_LACKS_BODY) {
		wait_for_body(s);
		return;
	}
	jq_answers_fini(&s->answers);
	if (!link || forward_request(s, link) < 0)
		reset(&s->halves[H2_CLIENT_HALF], NGHTTP2_REFUSED_STREAM);
}

/* What of the body there will be for the filters. */
static enum http_body body_of(const struct h2_stream *s)
{
	if (h2_queue_len(&s->halves[H2_SERVER_HALF].queue) > s->h2->body_max)
		return HTTP_BODY_UNKNOWN;
	return s->halves[H2_CLIENT_HALF].ended ? HTTP_BODY_WHOLE : HTTP_BODY_AHEAD;
}

void h2_stream_ask_again(struct h2_stream *s)
{
	struct h2_half *to = &s->halves[H2_SERVER_HALF];

	nghttp2_session_set_stream_user_data(to->link->session, to->id, NULL);
	leave_link(to);
	to->headed = false;
	if (s->halves[H2_CLIENT_HALF].link)
		decide(s, body_of(s));
	else
		h2_stream_free(s);
}

static int on_request(struct h2_stream *s, bool end)
{
	struct h2_half *from = &s->halves[H2_CLIENT_HALF];
	struct span type = h2_block_known(&from->block, H2_CONTENT_TYPE);

	s->no_body = end;
	s->is_head = span_equal(h2_block_known(&from->block, H2_METHOD), span_of("HEAD"));
	s->grpc = type.len >= 16 && strncasecmp(type.at, "application/grpc", 16) == 0;
	if (from->block.too_large) {
		h2_block_fini(&from->block);
		refuse(s, "431", "the header fields are longer than 64 KiB", "mirrord: the header fields are longer than 64 KiB\n");
		return 0;
	}
	move_block(&s->halves[H2_SERVER_HALF].head, &from->block);
	decide(s, end ? HTTP_BODY_WHOLE : HTTP_BODY_AHEAD);
	return 0;
}

/* Nothing more comes from @half's peer. */
void h2_on_end(struct h2_half *half)
{
	struct h2_stream *s = stream_of(half);

	half->ended = true;
	other(half)->ending = true;
	wake(other(half));
	if (s->lacks == H2_LACKS_BODY && half->index == H2_CLIENT_HALF)
		decide(s, HTTP_BODY_WHOLE);
}

static void forward_trailer(struct h2_half *half)
{
	move_block(&other(half)->trailer, &half->block);
}

static void give_up_answer(struct h2_stream *s)
{
	reset(&s->halves[H2_CLIENT_HALF], NGHTTP2_INTERNAL_ERROR);
	reset(&s->halves[H2_SERVER_HALF], NGHTTP2_CANCEL);
}

/* An answer's head. */
static void forward_answer(struct h2_stream *s, bool end)
{
	struct h2_half *from = &s->halves[H2_SERVER_HALF], *to = &s->halves[H2_CLIENT_HALF];
	nghttp2_data_provider body = { .source.ptr = to, .read_callback = on_read };
	bool good = to->link && !from->block.too_large;
	nghttp2_nv *nv;
	size_t n;

	to->headed = s->answered = true;
	s->h2->answers++;
	move_block(&to->head, &from->block);
	if (good) {
		nv = h2_block_nv_kept(&to->head);
		n = to->head.n;
		if (from->link)
			n = h2_block_mark(nv, n, &from->link->marks);
		good = nghttp2_submit_response(to->link->session, to->id, nv, n, end ? NULL : &body) == 0;
	}
	if (!good)
		give_up_answer(s);
}

/* 1xx: others may follow before it was sent. */
static void forward_interim(struct h2_stream *s)
{
	struct h2_half *from = &s->halves[H2_SERVER_HALF], *to = &s->halves[H2_CLIENT_HALF];
	nghttp2_nv *nv = h2_block_nv(&from->block);

	if (!to->link || from->block.too_large ||
	    nghttp2_submit_headers(to->link->session, NGHTTP2_FLAG_NONE, to->id, NULL, nv, from->block.n, NULL) < 0)
		give_up_answer(s);
	h2_block_fini(&from->block);
}

/* The client has heard it already. */
static void forget_continue(struct h2_stream *s)
{
	s->own_continue = false;
	h2_block_fini(&s->halves[H2_SERVER_HALF].block);
}

int h2_on_block(struct h2_half *half, bool end)
{
	struct h2_stream *s = stream_of(half);
	struct h2_block *b = &half->block;
	struct span status = h2_block_known(b, H2_STATUS);

	if (half->index == H2_CLIENT_HALF && h2_block_known(b, H2_METHOD).at)
		on_request(s, end);
	else if (half->index == H2_SERVER_HALF && s->own_continue && span_is(status, "100"))
		forget_continue(s);
	else if (half->index == H2_SERVER_HALF && status.len && *status.at == '1')
		forward_interim(s);
	else if (half->index == H2_SERVER_HALF && status.at)
		forward_answer(s, end);
	else if (b->too_large)
		reset(half, NGHTTP2_ENHANCE_YOUR_CALM);
	else
		forward_trailer(half);
	if (end)
		h2_on_end(half);
	return 0;
}

int h2_on_data(struct h2_half *half, const uint8_t *data, size_t len)
{
	struct h2_half *to = other(half);
	struct h2_stream *s = stream_of(half);

	nghttp2_session_consume_connection(half->link->session, len);
	if (!to->link && !s->lacks) {
		nghttp2_session_consume_stream(half->link->session, half->id, len); /* nobody is there to have it */
		return 0;
	}
	if (!h2_queue_add(&to->queue, data, len))
		return -1;
	wake(to);
	if (s->lacks != H2_LACKS_BODY)
		return 0;
	pay(s);
	if (body_of(s) == HTTP_BODY_UNKNOWN)
		decide(s, HTTP_BODY_UNKNOWN);
	return 0;
}

uint64_t h2_stream_give_up_body(struct h2_stream *s, uint64_t now)
{
	if (s->lacks != H2_LACKS_BODY)
		return 0;
	if (s->body_until > now)
		return s->body_until;
	decide(s, HTTP_BODY_UNKNOWN);
	return 0;
}

void h2_stream_take_answers(struct h2_stream *s)
{
	if (s->lacks == H2_LACKS_ANSWERS && !s->answers.pending)
		decide(s, body_of(s));
}

/* A server may answer early and still read (RFC 9113 §8.1): what of the request is on its way to it stays so when the client has all of its
 * answer. */
static bool lingers(struct h2_stream *s, uint32_t error)
{
	const struct h2_half *client = &s->halves[H2_CLIENT_HALF], *server = &s->halves[H2_SERVER_HALF];

	s->lingers = error == NGHTTP2_NO_ERROR && client->ended && client->said && server->ended && s->h2->lingering < H2_LINGERING;
	s->h2->lingering += s->lingers;
	return s->lingers;
}

/* The half is over. The other one is told of it, unless all was said; it may have some of it to send still. */
void h2_on_close(struct h2_half *half, uint32_t error)
{
	struct h2_stream *s = stream_of(half);
	struct h2_half *to = other(half);

	leave_link(half);
	if (half->index == H2_CLIENT_HALF && !s->answered)
		s->h2->resets++;
	if (!to->link) {
		h2_stream_free(s);
		return;
	}
	if (half->index == H2_CLIENT_HALF && lingers(s, error))
		return;
	if (half->index == H2_CLIENT_HALF || !half->ended)
		reset(to, error == NGHTTP2_NO_ERROR ? (half->index == H2_CLIENT_HALF ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR) : error);
	else if (!to->ended)
		stop(to, error);
}
