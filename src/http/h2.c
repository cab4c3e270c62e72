// SPDX-License-Identifier: MIT
/* Links: nghttp2 sessions, and what a peer may not do with them.
 *
 * A client's flood is bounded: header blocks by HTTP_HEAD_MAX, frames of CONTINUATION, PING and SETTINGS by nghttp2's own limits, resets by
 * H2_RESETS more than streams that were answered. */
#include "http/h2.h"

#include <stdlib.h>

#include "http/h2_internal.h"

/* Half of a stream, or NULL when it is of no interest any more. */
static struct h2_half *half_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* A client may leave numbers out, and then they are closed (RFC 9113 §5.1.1). nghttp2 can't tell such a stream from one that ended, for which
 * a frame may still be on its way, and passes the frame over; of the last gap we know better. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2_link *l = arg;

	if (!l->client || hd->type != NGHTTP2_HEADERS || hd->stream_id % 2 == 0)
		return 0;
	if (hd->stream_id > l->last_id) {
		if (hd->stream_id > l->last_id + 2) {
			l->gap = l->last_id;
			l->gap_end = hd->stream_id;
		}
		l->last_id = hd->stream_id;
	} else if (hd->stream_id > l->gap && hd->stream_id < l->gap_end) {
		nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
	}
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_link *l = arg;
	struct h2_stream *s;

	if (!l->client || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
		l->heading = half_of(session, frame->hd.stream_id);
		return 0;
	}
	s = h2_stream_new(l->h2, frame->hd.stream_id);
	if (!s)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	l->heading = &s->halves[H2_CLIENT_HALF];
	nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, l->heading);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
		     size_t value_len, uint8_t flags, void *arg)
{
	struct h2_half *half = ((struct h2_link *)arg)->heading;
	struct span n = { (const char *)name, name_len }, v = { (const char *)value, value_len };

	if (half && !h2_block_add(&half->block, n, v, flags & NGHTTP2_NV_FLAG_NO_INDEX))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return 0;
}

/* The home server's settings are the client's, as far as they say what it can do. */
static void pass_settings(struct h2_link *l)
{
	if (!l->home)
		return;
	l->h2->connect_protocol = nghttp2_session_get_remote_settings(l->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
	h2_greet(l->h2);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_link *l = arg;
	struct h2_half *half;
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		half = l->heading;
		l->heading = NULL;
		return half ? h2_on_block(half, end) : 0;
	case NGHTTP2_DATA:
		half = end ? half_of(session, frame->hd.stream_id) : NULL;
		if (half)
			h2_on_end(half);
		break;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			pass_settings(l);
		break;
	case NGHTTP2_GOAWAY:
		l->leaving = true;
		if (l->home)
			h2_leave(l->h2->client);
		break;
	default:
		break;
	}
	return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	bool is_end = frame->hd.type == NGHTTP2_DATA && frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	struct h2_half *half = is_end || frame->hd.type == NGHTTP2_HEADERS ? half_of(session, frame->hd.stream_id) : NULL;

	if (half)
		h2_on_sent(half, frame);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *arg)
{
	struct h2_half *half = half_of(session, id);

	if (half)
		return h2_on_data(half, data, len) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
	nghttp2_session_consume(session, id, len);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct h2_half *half = half_of(session, id);
	struct h2_link *l = arg;
	struct h2 *h = l->h2;

	if (half)
		h2_on_close(half, error);
	if (l->client && h->resets > h->answers + H2_RESETS)
		nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
	return 0;
}

static nghttp2_session_callbacks *make_callbacks(void)
{
	static nghttp2_session_callbacks *made;

	if (made || nghttp2_session_callbacks_new(&made) != 0)
		return made;
	nghttp2_session_callbacks_set_on_begin_frame_callback(made, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(made, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(made, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(made, on_frame_sent);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(made, on_stream_close);
	return made;
}

static nghttp2_option *make_options(void)
{
	static nghttp2_option *made;

	if (made || nghttp2_option_new(&made) != 0)
		return made;
	nghttp2_option_set_no_auto_window_update(made, 1);
	nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(made, 1); /* it is for the server to say */
	nghttp2_option_set_max_send_header_block_length(made, 2 * (size_t)HTTP_HEAD_MAX);
	return made;
}

/* Says what we are ready for: the first that a peer hears. */
static bool greet(struct h2_link *l)
{
	nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEAD_MAX },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	size_t n = l->client ? 3 : 4;

	if (l->client && l->h2->connect_protocol)
		settings[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 };
	return nghttp2_submit_settings(l->session, NGHTTP2_FLAG_NONE, settings, n) == 0 &&
	       nghttp2_session_set_local_window_size(l->session, NGHTTP2_FLAG_NONE, 0, H2_STREAMS * H2_WINDOW / 4) == 0;
}

void h2_greet(struct h2 *h)
{
	if (!h->greeted)
		h->client->broken |= !greet(h->client);
	h->greeted = true;
}

bool h2_has_greeted(const struct h2 *h)
{
	return h->greeted;
}

/* @greeted: it says at once what we are ready for. */
static struct h2_link *link_new(struct h2 *h, bool client, bool greeted)
{
	nghttp2_session_callbacks *callbacks = make_callbacks();
	nghttp2_option *options = make_options();
	struct h2_link *l = calloc(1, sizeof(*l));
	int rc = -1;

	if (!l || !callbacks || !options) {
		free(l);
		return NULL;
	}
	l->h2 = h;
	l->client = client;
	l->last_id = -1;
	if (client)
		rc = nghttp2_session_server_new3(&l->session, callbacks, l, options, h2_pool_mem());
	else
		rc = nghttp2_session_client_new3(&l->session, callbacks, l, options, h2_pool_mem());
	if (rc == 0 && (!greeted || greet(l)))
		return l;
	nghttp2_session_del(l->session);
	free(l);
	return NULL;
}

struct h2 *h2_new(const struct h2_events *events, void *arg, size_t body_max)
{
	struct h2 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->events = events;
	h->arg = arg;
	h->body_max = body_max;
	list_init(&h->servers);
	list_init(&h->streams);
	h->client = link_new(h, true, false);
	if (h->client)
		return h;
	free(h);
	return NULL;
}

static void link_free(struct h2_link *l)
{
	list_remove(&l->node);
	nghttp2_session_del(l->session);
	free(l);
}

void h2_free(struct h2 *h)
{
	if (!h)
		return;
	while (!list_empty(&h->streams))
		h2_stream_free(container_of(h->streams.next, struct h2_stream, node));
	while (!list_empty(&h->servers))
		link_free(container_of(h->servers.next, struct h2_link, node));
	link_free(h->client);
	free(h);
}

struct h2_link *h2_client(struct h2 *h)
{
	return h->client;
}

struct h2_link *h2_connect(struct h2 *h, bool home)
{
	struct h2_link *l = link_new(h, false, true);

	if (!l)
		return NULL;
	l->home = home;
	list_append(&h->servers, &l->node);
	return l;
}

/* What the client announced in its upgrade counts for both of its ends; then each says what it is ready for. */
static bool upgrade(struct h2 *h, struct h2_link *l, const uint8_t *settings, size_t len, bool is_head)
{
	struct h2_stream *s = h2_stream_upgraded(h, l, is_head);

	return s && nghttp2_session_upgrade2(h->client->session, settings, len, is_head, &s->halves[H2_CLIENT_HALF]) == 0 &&
	       nghttp2_session_upgrade2(l->session, settings, len, is_head, &s->halves[H2_SERVER_HALF]) == 0 && greet(l);
}

struct h2_link *h2_connect_upgraded(struct h2 *h, bool home, const uint8_t *settings, size_t len, bool is_head)
{
	struct h2_link *l = link_new(h, false, false);

	if (!l)
		return NULL;
	l->home = home;
	list_append(&h->servers, &l->node);
	h->client->last_id = 1;
	return upgrade(h, l, settings, len, is_head) ? l : NULL;
}

void h2_mark(struct h2_link *l, const struct http_marks *m)
{
	l->marks = *m;
}

bool h2_receive(struct h2_link *l, const uint8_t *data, size_t len)
{
	if (l->broken)
		return false;
	l->broken = nghttp2_session_mem_recv(l->session, data, len) < 0;
	return !l->broken;
}

size_t h2_pull(struct h2_link *l, const uint8_t **ret_data)
{
	ssize_t n = nghttp2_session_mem_send(l->session, ret_data);

	if (n < 0)
		l->broken = true;
	return n > 0 ? (size_t)n : 0;
}

bool h2_is_over(const struct h2_link *l)
{
	return l->broken || (!nghttp2_session_want_read(l->session) && !nghttp2_session_want_write(l->session));
}

bool h2_is_leaving(const struct h2_link *l)
{
	return l->leaving;
}

size_t h2_disconnect(struct h2_link *l, const char *why)
{
	struct h2 *h = l->h2;
	size_t failed = 0;

	for (struct list *n = h->streams.next, *next; n != &h->streams; n = next) {
		struct h2_stream *s = container_of(n, struct h2_stream, node);
		struct h2_half *half = &s->halves[H2_SERVER_HALF];

		next = n->next;
		if (half->link != l)
			continue;
		half->link = NULL;
		failed += !half->ended && s->halves[H2_CLIENT_HALF].link;
		h2_stream_fail(s, why);
		if (!s->halves[H2_CLIENT_HALF].link)
			h2_stream_free(s);
	}
	link_free(l);
	return failed;
}

bool h2_is_all(const struct h2_link *l)
{
	bool any = false;

	for (const struct list *n = l->h2->streams.next; n != &l->h2->streams; n = n->next) {
		const struct h2_stream *s = container_of(n, struct h2_stream, node);

		if (!s->halves[H2_CLIENT_HALF].link)
			continue;
		if (s->halves[H2_SERVER_HALF].link != l || s->halves[H2_SERVER_HALF].ended)
			return false;
		any = true;
	}
	return any;
}

void h2_ask_again(struct h2_link *l)
{
	struct h2 *h = l->h2;

	for (struct list *n = h->streams.next, *next; n != &h->streams; n = next) {
		struct h2_stream *s = container_of(n, struct h2_stream, node);

		next = n->next;
		if (s->halves[H2_SERVER_HALF].link == l)
			h2_stream_ask_again(s);
	}
	link_free(l);
}

void h2_leave(struct h2_link *l)
{
	if (!l->leaving)
		nghttp2_submit_goaway(l->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(l->session), NGHTTP2_NO_ERROR, NULL, 0);
	l->leaving = true;
}

void h2_warn(struct h2_link *l)
{
	if (!l->leaving && !l->warned)
		nghttp2_submit_shutdown_notice(l->session);
	l->warned = true;
}

uint64_t h2_give_up_bodies(struct h2 *h, uint64_t now)
{
	uint64_t next = 0;

	for (struct list *n = h->streams.next; n != &h->streams; n = n->next) {
		uint64_t until = h2_stream_give_up_body(container_of(n, struct h2_stream, node), now);

		if (until && (!next || until < next))
			next = until;
	}
	return next;
}

void h2_take_answers(struct h2 *h)
{
	for (struct list *n = h->streams.next; n != &h->streams; n = n->next)
		h2_stream_take_answers(container_of(n, struct h2_stream, node));
}
