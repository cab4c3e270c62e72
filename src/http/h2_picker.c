// SPDX-License-Identifier: MIT
/* A stream's way:
 *
 *   head ─► the filter ─┬─ no ──────────────────────────► nothing is known of it any more
 *                       ├─ needs the body ─► UNDECIDED ─► (all of it is there, or too much of it) ─► yes, or no
 *                       └─ yes ─► SENT: a request to the program; data, trailer, end and reset follow as they come
 *                                  └─ the program has answered it, or refused it ─► gone
 *
 * The program is a server of its own: it has its own limits and windows, to which nghttp2 keeps, and what doesn't go out waits here. Its
 * answers are dropped. Until it has said something in HTTP/2, only what begins HTTP/2 is sent to it.
 *
 * Streams that the target has refused are copied all the same: its answers aren't seen. */
#include "http/h2_picker.h"

#include <stdlib.h>

#include "base/table.h"
#include "http/h2_reader.h"
#include "http/sniff.h"

enum { BEGINNING = 2 }; /* frames: the preface, and SETTINGS */

struct stream {
	struct table_node node;
	struct list of_all;
	struct h2_picker *picker;
	int32_t id, sent_as; /* the client's number, and the program's: 0, nothing was sent */
	struct h2_block head, trailer;
	struct h2_queue queue;
	size_t weight; /* of what isn't in the queue */
	bool ended;
};

struct h2_picker {
	struct http_filter *filter;
	const struct picker_events *events;
	void *arg;
	size_t body_max, kept;
	struct ip client;
	struct h2_reader *reader;
	struct table by_id;
	struct list streams;
	size_t sent; /* of them */
	int32_t last_id; /* of the client's */
	bool ended;	 /* the client */
	/* The connection to the program. */
	nghttp2_session *session;
	unsigned int pulled;
	bool spoken, leaving, taken_leave;
};

static bool is_id(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, struct stream, node)->id, key, sizeof(int32_t)) == 0;
}

static struct stream *find(const struct h2_picker *p, int32_t id)
{
	struct table_node *node = table_find(&p->by_id, &id, sizeof(id));

	return node ? container_of(node, struct stream, node) : NULL;
}

static void tell(struct h2_picker *p, enum picker_event what)
{
	p->events->on_event(p->arg, what);
}

static void stream_free(struct stream *s)
{
	struct h2_picker *p = s->picker;

	if (s->sent_as) {
		nghttp2_session_set_stream_user_data(p->session, s->sent_as, NULL);
		p->sent--;
	}
	p->kept -= s->weight + h2_queue_len(&s->queue);
	table_remove(&p->by_id, &s->node);
	list_remove(&s->of_all);
	h2_block_fini(&s->head);
	h2_block_fini(&s->trailer);
	h2_queue_fini(&s->queue);
	free(s);
}

/* Takes @head over. NULL: there are too many. */
static struct stream *stream_new(struct h2_picker *p, int32_t id, struct h2_block *head)
{
	struct stream *s = p->by_id.n < H2_PICKED ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return NULL;
	s->picker = p;
	s->id = id;
	s->head = *head;
	s->weight = sizeof(*s) + head->len;
	p->kept += s->weight;
	*head = (struct h2_block){ 0 };
	table_add(&p->by_id, &s->node, &s->id, sizeof(s->id));
	list_append(&p->streams, &s->of_all);
	return s;
}

/* To the program. */

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct stream *s = source->ptr;
	size_t had = h2_queue_len(&s->queue);
	ssize_t n = h2_queue_give(&s->queue, s->ended, &s->trailer, session, id, buf, len, flags);

	s->picker->kept -= had - h2_queue_len(&s->queue);
	return n;
}

static void wake(struct stream *s)
{
	h2_queue_wake(&s->queue, s->picker->session, s->sent_as);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);

	if (!s)
		return 0;
	stream_free(s);
	if (error == NGHTTP2_REFUSED_STREAM)
		tell(arg, PICKER_REFUSED);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_picker *p = arg;

	p->leaving |= frame->hd.type == NGHTTP2_GOAWAY;
	return 0;
}

static nghttp2_session *session_new(struct h2_picker *p)
{
	static const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW }, { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 } };
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_session *session = NULL;
	nghttp2_option *option = NULL;

	if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
		nghttp2_option_set_no_http_messaging(option, 1); /* what was sent is sent, and answers are nobody's */
		nghttp2_option_set_max_send_header_block_length(option, 2 * (size_t)HTTP_HEAD_MAX);
		nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
		nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
		if (nghttp2_session_client_new2(&session, callbacks, p, option) != 0)
			session = NULL;
	}
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	if (session && nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2) == 0 &&
	    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, H2_WINDOW) == 0)
		return session;
	nghttp2_session_del(session);
	return NULL;
}

static bool submit(struct stream *s, bool no_body)
{
	const nghttp2_data_provider body = { .source.ptr = s, .read_callback = on_read };
	struct h2_picker *p = s->picker;
	int32_t id;

	if (!p->session)
		p->session = session_new(p);
	if (!p->session || p->leaving)
		return false;
	id = nghttp2_submit_request(p->session, NULL, h2_block_nv(&s->head), s->head.n, no_body ? NULL : &body, s);
	h2_block_fini(&s->head);
	if (id <= 0)
		return false;
	s->sent_as = id;
	p->sent++;
	return true;
}

/* What isn't sent by now will not be. */
static void reset(struct stream *s, uint32_t error)
{
	s->ended = true;
	s->picker->kept -= h2_queue_len(&s->queue);
	h2_queue_fini(&s->queue);
	nghttp2_submit_rst_stream(s->picker->session, NGHTTP2_FLAG_NONE, s->sent_as, error);
}

void h2_picker_disconnect(struct h2_picker *p)
{
	for (struct list *n = p->streams.next, *next; n != &p->streams; n = next) {
		struct stream *s = container_of(n, struct stream, of_all);

		next = n->next;
		if (s->sent_as)
			stream_free(s);
	}
	nghttp2_session_del(p->session);
	p->session = NULL;
	p->pulled = 0;
	p->spoken = p->leaving = p->taken_leave = false;
}

void h2_picker_forget(struct h2_picker *p)
{
	while (!list_empty(&p->streams))
		stream_free(container_of(p->streams.next, struct stream, of_all));
	h2_picker_disconnect(p);
}

bool h2_picker_answer(struct h2_picker *p, const uint8_t *data, size_t len)
{
	if (!p->session || (!p->spoken && !sniff_server_is_http2(data, len)))
		return false;
	p->spoken = true;
	return nghttp2_session_mem_recv(p->session, data, len) >= 0;
}

size_t h2_picker_pull(struct h2_picker *p, const uint8_t **ret_data)
{
	ssize_t n;

	if (!p->session || (!p->spoken && p->pulled == BEGINNING))
		return 0;
	if (p->ended && list_empty(&p->streams) && !p->taken_leave)
		p->taken_leave = nghttp2_session_terminate_session(p->session, NGHTTP2_NO_ERROR) == 0;
	n = nghttp2_session_mem_send(p->session, ret_data);
	p->pulled += n > 0 && !p->spoken;
	return n > 0 ? (size_t)n : 0;
}

bool h2_picker_has_spoken(const struct h2_picker *p)
{
	return p->spoken;
}

bool h2_picker_is_left(const struct h2_picker *p)
{
	return p->leaving && !p->sent;
}

bool h2_picker_is_over(const struct h2_picker *p)
{
	return p->ended && list_empty(&p->streams) && (!p->session || (p->taken_leave && !nghttp2_session_want_write(p->session)));
}

/* From the client. */

static bool wants(struct h2_picker *p, const struct h2_block *head, enum http_body state, struct span body, bool *ret_wait)
{
	struct http_request r;
	enum http_verdict v;

	if (head->too_large || !h2_block_known(head, H2_METHOD).len)
		return false; /* the target refuses it */
	h2_block_view(head, &r);
	r.client = p->client;
	r.body_state = state;
	r.body = body;
	v = http_filter_match(p->filter, &r);
	*ret_wait = v == HTTP_NEEDS_BODY;
	return v == HTTP_YES;
}

static void send_stream(struct stream *s, bool no_body)
{
	struct h2_picker *p = s->picker;

	tell(p, PICKER_WANTED); /* behind it there may be another connection */
	if (submit(s, no_body))
		return;
	stream_free(s);
	tell(p, PICKER_REFUSED);
}

static void decide(struct stream *s, enum http_body state)
{
	struct h2_picker *p = s->picker;
	const struct span body = { (const char *)(s->queue.data ? s->queue.data + s->queue.at : NULL), h2_queue_len(&s->queue) };
	bool wait;

	if (wants(p, &s->head, state, body, &wait)) {
		send_stream(s, false);
	} else {
		stream_free(s);
		tell(p, PICKER_OTHER);
	}
}

static void on_request(struct h2_picker *p, int32_t id, struct h2_block *b, bool end)
{
	bool wait = false, wanted = wants(p, b, end ? HTTP_BODY_WHOLE : HTTP_BODY_AHEAD, (struct span){ NULL, 0 }, &wait);
	struct stream *s;

	if (!wanted && !wait) {
		tell(p, PICKER_OTHER);
		return;
	}
	s = stream_new(p, id, b);
	if (!s) {
		tell(p, PICKER_REFUSED);
		return;
	}
	s->ended = end;
	if (wanted)
		send_stream(s, end);
}

static void end_stream(struct stream *s)
{
	s->ended = true;
	if (s->sent_as)
		wake(s);
	else
		decide(s, HTTP_BODY_WHOLE);
}

static void on_block(void *arg, int32_t id, struct h2_block *b, bool end)
{
	struct h2_picker *p = arg;
	struct stream *s = find(p, id);

	if (id > p->last_id) {
		p->last_id = id;
		on_request(p, id, b, end);
	} else if (s && !s->ended && !s->trailer.n) {
		s->trailer = *b;
		*b = (struct h2_block){ 0 };
		s->weight += s->trailer.len;
		p->kept += s->trailer.len;
		if (end)
			end_stream(s);
	}
}

static void on_data(void *arg, int32_t id, const uint8_t *data, size_t len)
{
	struct h2_picker *p = arg;
	struct stream *s = find(p, id);

	if (!s || s->ended)
		return;
	if (!h2_queue_add(&s->queue, data, len)) {
		tell(p, PICKER_REFUSED);
		if (s->sent_as)
			reset(s, NGHTTP2_CANCEL);
		else
			stream_free(s);
		return;
	}
	p->kept += len;
	if (s->sent_as)
		wake(s);
	else if (h2_queue_len(&s->queue) > p->body_max)
		decide(s, HTTP_BODY_UNKNOWN);
}

static void on_end(void *arg, int32_t id)
{
	struct stream *s = find(arg, id);

	if (s && !s->ended)
		end_stream(s);
}

/* The client has given it up, and so does the copy. */
static void on_reset(void *arg, int32_t id, uint32_t error)
{
	struct stream *s = find(arg, id);

	if (s && s->sent_as)
		reset(s, error);
	else if (s)
		stream_free(s);
}

static void on_hole(void *arg, int32_t id)
{
	if (!find(arg, id))
		return;
	tell(arg, PICKER_HOLE);
	on_reset(arg, id, NGHTTP2_CANCEL);
}

struct h2_picker *h2_picker_new(struct http_filter *filter, size_t body_max, const struct ip *client, const struct picker_events *events, void *arg)
{
	static const struct h2_reader_events reads = { on_block, on_data, on_end, on_reset, on_hole };
	struct h2_picker *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct h2_picker){ .filter = filter, .body_max = body_max, .client = *client, .events = events, .arg = arg };
	list_init(&p->streams);
	p->reader = h2_reader_new(&reads, p);
	if (p->reader && table_init(&p->by_id, is_id) == 0)
		return p;
	h2_reader_free(p->reader);
	free(p);
	return NULL;
}

void h2_picker_free(struct h2_picker *p)
{
	if (!p)
		return;
	h2_picker_forget(p);
	table_fini(&p->by_id);
	h2_reader_free(p->reader);
	free(p);
}

bool h2_picker_data(struct h2_picker *p, const uint8_t *data, size_t len)
{
	return h2_reader_take(p->reader, data, len);
}

bool h2_picker_gap(struct h2_picker *p, size_t len)
{
	return h2_reader_skip(p->reader, len);
}

/* What the client hasn't ended it has given up. */
void h2_picker_end(struct h2_picker *p)
{
	for (struct list *n = p->streams.next, *next; n != &p->streams; n = next) {
		struct stream *s = container_of(n, struct stream, of_all);

		next = n->next;
		if (!s->ended)
			on_reset(p, s->id, NGHTTP2_CANCEL);
	}
	p->ended = true;
}

size_t h2_picker_kept(const struct h2_picker *p)
{
	return p->kept;
}
