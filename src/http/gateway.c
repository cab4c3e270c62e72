// SPDX-License-Identifier: MIT
/* An exchange:
 *
 *   stream ─► head, as HTTP/1 ─► body, in chunks unless its length is told ─► trailer        (the queue `request`, credit as it is sent)
 *   stream ◄─ head (h1_head.c) ◄─ body without its chunks ◄─ trailer                       (the queue `answer`)
 *
 * A WebSocket is a CONNECT there and an upgrade here, whose 101 is a 200 there (RFC 8441); what follows are bytes without an end, both ways.
 *
 * It lives as long as its stream. The connection's side lets go of it when the answer is whole, or hears that it is cancelled. */
#include "http/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "http/h1.h"
#include "http/translate.h"

enum { ANSWER_MAX = 256 << 10, CHUNK_LINE = 20 };

struct exchange {
	struct list node;
	struct gateway *gateway;
	int32_t id;
	void *owner; /* NULL: nobody is there any more, or not yet */
	struct h2_block block; /* the head or the trailer that comes */
	enum translate_body body;
	bool headed, is_head, ended;
	bool websocket;
	struct h2_queue request;
	size_t unpaid; /* bytes in `request` that are framing of ours, not the client's data */
	/* The answer. */
	struct h2_queue head, answer;
	struct h2_block trailer;
	struct h2_queue trailer_text;
	struct h1_scan scan;
	struct h1_body reading;
	bool answered, whole, keeps, until_close;
};

struct gateway {
	const struct gateway_events *events;
	void *arg;
	nghttp2_session *session;
	struct list exchanges;
	bool broken;
};

static struct exchange *of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static void exchange_free(struct exchange *x)
{
	nghttp2_session_set_stream_user_data(x->gateway->session, x->id, NULL);
	list_remove(&x->node);
	h2_block_fini(&x->block);
	h2_block_fini(&x->trailer);
	h2_queue_fini(&x->request);
	h2_queue_fini(&x->head);
	h2_queue_fini(&x->answer);
	h2_queue_fini(&x->trailer_text);
	free(x);
}

static void reset(struct exchange *x, uint32_t error)
{
	nghttp2_submit_rst_stream(x->gateway->session, NGHTTP2_FLAG_NONE, x->id, error);
}

/* Towards the client */

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct exchange *x = source->ptr;

	return h2_queue_give(&x->answer, x->whole, &x->trailer, session, id, buf, len, flags);
}

static void wake(struct exchange *x)
{
	h2_queue_wake(&x->answer, x->gateway->session, x->id);
}

static nghttp2_nv nv_of(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}

/* An answer of our own. */
static void answer(struct exchange *x, const nghttp2_nv *nv, size_t n, const char *text)
{
	const nghttp2_data_provider body = { .source.ptr = x, .read_callback = on_read };

	x->answered = x->whole = true;
	if (text)
		h2_queue_add(&x->answer, (const uint8_t *)text, strlen(text));
	if (nghttp2_submit_response(x->gateway->session, x->id, nv, n, text ? &body : NULL) < 0)
		reset(x, NGHTTP2_INTERNAL_ERROR);
}

static void refuse(struct exchange *x, const char *status, const char *why)
{
	const nghttp2_nv nv[] = { nv_of(":status", status), nv_of("content-type", "text/plain; charset=utf-8"), nv_of("mirrord-error", why) };
	char text[300];

	snprintf(text, sizeof(text), "mirrord: %s\n", why);
	answer(x, nv, 3, x->is_head ? NULL : text);
}

void exchange_fail(struct exchange *x, const char *why)
{
	if (x->answered)
		reset(x, NGHTTP2_INTERNAL_ERROR);
	else
		refuse(x, "502", why);
}

/* From the client */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct gateway *g = arg;
	struct exchange *x;

	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	x->gateway = g;
	x->id = frame->hd.stream_id;
	list_append(&g->exchanges, &x->node);
	nghttp2_session_set_stream_user_data(session, x->id, x);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
		     size_t value_len, uint8_t flags, void *arg)
{
	struct exchange *x = of(session, frame->hd.stream_id);
	struct span n = { (const char *)name, name_len }, v = { (const char *)value, value_len };

	return !x || h2_block_add(&x->block, n, v, false) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static bool is_grpc(const struct h2_block *b)
{
	struct span type = h2_block_known(b, H2_CONTENT_TYPE);

	return type.len >= 16 && strncasecmp(type.at, "application/grpc", 16) == 0;
}

/* Its streams can't be put into HTTP/1. */
static void refuse_grpc(struct exchange *x)
{
	static const char unavailable[] = "14";
	const nghttp2_nv nv[] = { nv_of(":status", "200"), nv_of("content-type", "application/grpc"), nv_of("grpc-status", unavailable),
				  nv_of("grpc-message", "the local program doesn't speak HTTP/2") };

	answer(x, nv, 4, NULL);
}

static void begin(struct exchange *x, bool end)
{
	x->headed = true;
	x->websocket = translate_is_websocket(&x->block);
	x->ended = end;
	x->is_head = span_equal(h2_block_known(&x->block, H2_METHOD), span_of("HEAD"));
	if (is_grpc(&x->block)) {
		refuse_grpc(x);
	} else if (!translate_request(&x->block, end, &x->request, &x->body)) {
		refuse(x, "501", "the local program doesn't speak HTTP/2, which this request needs");
	} else {
		x->unpaid = h2_queue_len(&x->request);
		x->gateway->events->on_exchange(x->gateway->arg, x);
	}
	h2_block_fini(&x->block);
}

/* What comes of the request still is of no use to anybody. An answer that has begun doesn't say so: its server may read on. */
static bool is_left(const struct exchange *x)
{
	return x->answered && !x->owner;
}

static void add_framing(struct exchange *x, const char *text)
{
	if (h2_queue_add(&x->request, (const uint8_t *)text, strlen(text)))
		x->unpaid += strlen(text);
	else
		reset(x, NGHTTP2_INTERNAL_ERROR);
}

static void end_request(struct exchange *x)
{
	size_t before;

	x->ended = true;
	if (x->body != TRANSLATE_CHUNKED || is_left(x))
		return;
	add_framing(x, "0\r\n");
	before = h2_queue_len(&x->request);
	if (!translate_trailer(&x->block, &x->request))
		reset(x, NGHTTP2_INTERNAL_ERROR);
	x->unpaid += h2_queue_len(&x->request) - before;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct exchange *x = of(session, frame->hd.stream_id);
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (!x || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (!x->headed)
		begin(x, end);
	else if (end)
		end_request(x);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *arg)
{
	struct exchange *x = of(session, id);
	char size[CHUNK_LINE];

	nghttp2_session_consume_connection(session, len);
	if (!x || is_left(x)) {
		nghttp2_session_consume_stream(session, id, len);
		return 0;
	}
	if (x->body == TRANSLATE_CHUNKED && len) {
		snprintf(size, sizeof(size), "%zx\r\n", len);
		add_framing(x, size);
	}
	if (!h2_queue_add(&x->request, data, len))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (x->body == TRANSLATE_CHUNKED && len)
		add_framing(x, "\r\n");
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct exchange *x = of(session, id);
	struct gateway *g = arg;

	if (!x)
		return 0;
	if (x->owner)
		g->events->on_cancel(g->arg, x);
	exchange_free(x);
	return 0;
}

/* The session */

static nghttp2_session *session_new(struct gateway *g)
{
	const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
						    { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS },
						    { NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 } };
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_session *session = NULL;
	nghttp2_option *option = NULL;

	if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
		nghttp2_option_set_no_auto_window_update(option, 1);
		nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
		if (nghttp2_session_server_new2(&session, callbacks, g, option) != 0)
			session = NULL;
	}
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	if (!session || nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 3) == 0)
		return session;
	nghttp2_session_del(session);
	return NULL;
}

struct gateway *gateway_new(const struct gateway_events *events, void *arg)
{
	struct gateway *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->events = events;
	g->arg = arg;
	list_init(&g->exchanges);
	g->session = session_new(g);
	if (g->session)
		return g;
	free(g);
	return NULL;
}

void gateway_free(struct gateway *g)
{
	if (!g)
		return;
	while (!list_empty(&g->exchanges))
		exchange_free(container_of(g->exchanges.next, struct exchange, node));
	nghttp2_session_del(g->session);
	free(g);
}

bool gateway_receive(struct gateway *g, const uint8_t *data, size_t len)
{
	g->broken |= nghttp2_session_mem_recv(g->session, data, len) < 0;
	return !g->broken;
}

size_t gateway_pull(struct gateway *g, const uint8_t **ret_data)
{
	ssize_t n = g->broken ? 0 : nghttp2_session_mem_send(g->session, ret_data);

	g->broken |= n < 0;
	return n > 0 ? (size_t)n : 0;
}

/* Towards the server */

void exchange_set_owner(struct exchange *x, void *owner)
{
	x->owner = owner;
}

void *exchange_owner(const struct exchange *x)
{
	return x->owner;
}

size_t exchange_request(const struct exchange *x, const uint8_t **ret_data)
{
	*ret_data = x->request.data ? x->request.data + x->request.at : NULL;
	return h2_queue_len(&x->request);
}

/* Credit is given in the end for all of the client's own, in between for what is surely so. */
void exchange_sent(struct exchange *x, size_t len)
{
	size_t framing = x->unpaid < len ? x->unpaid : len;

	x->unpaid -= framing;
	x->request.at += len;
	if (!h2_queue_len(&x->request))
		h2_queue_fini(&x->request);
	if (len > framing)
		nghttp2_session_consume_stream(x->gateway->session, x->id, len - framing);
}

bool exchange_is_websocket(const struct exchange *x)
{
	return x->websocket;
}

bool exchange_wants_end(const struct exchange *x)
{
	return x->websocket && x->ended && !h2_queue_len(&x->request);
}

bool exchange_has_room(const struct exchange *x)
{
	return h2_queue_len(&x->answer) < ANSWER_MAX;
}

/* An interim answer, or the one. */
static bool forward_head(struct exchange *x, const struct h1_message *m, size_t len)
{
	const nghttp2_data_provider body = { .source.ptr = x, .read_callback = on_read };
	struct h2_block b = { 0 };
	bool good = translate_answer(x->head.data + x->head.at, len, m->status, &b) && !b.too_large;
	int rc = -1;

	if (good && m->status < 200)
		rc = nghttp2_submit_headers(x->gateway->session, NGHTTP2_FLAG_NONE, x->id, NULL, h2_block_nv(&b), b.n, NULL);
	else if (good)
		rc = nghttp2_submit_response(x->gateway->session, x->id, h2_block_nv(&b), b.n, m->framing == H1_EMPTY ? NULL : &body);
	h2_block_fini(&b);
	return rc == 0;
}

/* Of what is kept. 1: a head was there; 0: more is needed; -1: it is none. */
static int read_head(struct exchange *x)
{
	const struct h1_message request = { .head = x->is_head };
	struct h1_message m;
	ssize_t n = h1_find_head(&x->scan, x->head.data + x->head.at, h2_queue_len(&x->head));

	if (n <= 0)
		return n < 0 ? -1 : 0;
	x->scan = (struct h1_scan){ 0 };
	if (h1_parse_response(x->head.data + x->head.at, (size_t)n, &request, &m) < 0 || (m.upgrade && !x->websocket))
		return -1;
	if (m.upgrade) {
		m.status = 200;
		m.framing = H1_UNTIL_CLOSE;
	}
	if (!forward_head(x, &m, (size_t)n))
		return -1;
	x->head.at += (size_t)n;
	if (m.status < 200)
		return 1;
	x->answered = true;
	x->keeps = !m.last && m.framing != H1_UNTIL_CLOSE && !x->websocket;
	x->until_close = m.framing == H1_UNTIL_CLOSE;
	x->reading = h1_body_of(&m);
	x->whole = x->reading.done;
	return 1;
}

static void finish(struct exchange *x)
{
	if (h2_queue_len(&x->trailer_text))
		translate_answer(x->trailer_text.data + x->trailer_text.at, h2_queue_len(&x->trailer_text), 0, &x->trailer);
	x->whole = true;
	wake(x);
}

static bool read_body(struct exchange *x, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at < len && !x->whole;) {
		enum h1_part part;
		ssize_t n = h1_body_read(&x->reading, data + at, len - at, &part);

		if (n < 0 || (part == H1_DATA && !h2_queue_add(&x->answer, data + at, (size_t)n)) ||
		    (part == H1_TRAILER && (h2_queue_len(&x->trailer_text) + (size_t)n > HTTP_HEAD_MAX ||
					    !h2_queue_add(&x->trailer_text, data + at, (size_t)n))))
			return false;
		at += (size_t)n;
		if (x->reading.done) {
			x->keeps &= at == len; /* more than was asked for */
			finish(x);
		}
	}
	wake(x);
	return true;
}

static bool give_up(struct exchange *x)
{
	exchange_fail(x, "the local program's answer isn't HTTP");
	x->whole = true;
	x->keeps = false;
	return false;
}

bool exchange_receive(struct exchange *x, const uint8_t *data, size_t len)
{
	int r = 1;

	if (x->answered)
		return x->whole || read_body(x, data, len) || give_up(x);
	if (!h2_queue_add(&x->head, data, len))
		return give_up(x);
	while (r > 0 && !x->answered && h2_queue_len(&x->head))
		r = read_head(x);
	if (r < 0)
		return give_up(x);
	if (!x->answered)
		return true;
	if (h2_queue_len(&x->head) && x->whole)
		x->keeps = false;
	if (!read_body(x, x->head.data + x->head.at, h2_queue_len(&x->head)))
		return give_up(x);
	h2_queue_fini(&x->head);
	return true;
}

void exchange_end(struct exchange *x)
{
	if (x->whole)
		return;
	x->keeps = false;
	if (x->answered && x->until_close)
		finish(x);
	else
		exchange_fail(x, "the local program ended without an answer");
	x->whole = true;
}

bool exchange_is_done(const struct exchange *x, bool *ret_keeps)
{
	*ret_keeps = x->keeps && x->ended && !h2_queue_len(&x->request);
	return x->whole;
}

void exchange_let_go(struct exchange *x)
{
	x->owner = NULL;
	nghttp2_session_consume_stream(x->gateway->session, x->id, h2_queue_len(&x->request) > x->unpaid ? h2_queue_len(&x->request) - x->unpaid : 0);
	h2_queue_fini(&x->request);
	x->unpaid = 0;
}
