// SPDX-License-Identifier: MIT
/* Header blocks and queues of bytes: memory that grows to a bound. */
#include "http/h2_internal.h"

static bool make_room(struct h2_block *b, size_t len)
{
	if (b->len + len > b->room) {
		size_t room = 2 * b->room + len + 448;
		char *text = h2_pool_resize(b->text, room);

		if (!text)
			return false;
		b->text = text;
		b->room = room;
	}
	if (b->n == b->fields_room) {
		size_t room = 2 * b->fields_room + 16;
		void *fields = h2_pool_resize(b->fields, room * sizeof(*b->fields));

		if (!fields)
			return false;
		b->fields = fields;
		b->fields_room = room;
	}
	return true;
}

static enum h2_name name_of(struct span name)
{
	switch (name.len) {
	case 4:
		return memcmp(name.at, "host", 4) == 0 ? H2_HOST : H2_NAMES;
	case 5:
		return memcmp(name.at, ":path", 5) == 0 ? H2_PATH : H2_NAMES;
	case 6:
		return memcmp(name.at, "expect", 6) == 0 ? H2_EXPECT : H2_NAMES;
	case 7:
		if (memcmp(name.at, ":method", 7) == 0)
			return H2_METHOD;
		return memcmp(name.at, ":status", 7) == 0 ? H2_STATUS : H2_NAMES;
	case 10:
		return memcmp(name.at, ":authority", 10) == 0 ? H2_AUTHORITY : H2_NAMES;
	case 12:
		return memcmp(name.at, "content-type", 12) == 0 ? H2_CONTENT_TYPE : H2_NAMES;
	default:
		return H2_NAMES;
	}
}

bool h2_block_add(struct h2_block *b, struct span name, struct span value, bool sensitive)
{
	size_t len = name.len + 2 + value.len;
	enum h2_name known = name_of(name);
	char *line;

	if (b->too_large || b->len + len > HTTP_HEAD_MAX || b->n == HTTP_FIELDS_MAX) {
		b->too_large = true;
		return true;
	}
	if (!make_room(b, len))
		return false;
	if (known < H2_NAMES && !b->known[known])
		b->known[known] = (uint32_t)b->n + 1;
	line = b->text + b->len;
	memcpy(line, name.at, name.len);
	line[name.len] = ':';
	line[name.len + 1] = ' ';
	if (value.len)
		memcpy(line + name.len + 2, value.at, value.len);
	b->fields[b->n].at = (uint32_t)b->len;
	b->fields[b->n].name_len = (uint32_t)name.len;
	b->fields[b->n].len = (uint32_t)len;
	b->fields[b->n++].sensitive = sensitive;
	b->len += len;
	return true;
}

void h2_block_fini(struct h2_block *b)
{
	if (!b->text && !b->too_large)
		return;
	h2_pool_free(b->text);
	h2_pool_free(b->fields);
	*b = (struct h2_block){ 0 };
}

static nghttp2_nv *fill_nv(const struct h2_block *b, uint8_t flags)
{
	static nghttp2_nv nv[HTTP_FIELDS_MAX + 2]; /* and marks */

	for (size_t i = 0; i < b->n; i++) {
		uint8_t *line = (uint8_t *)b->text + b->fields[i].at;
		size_t name_len = b->fields[i].name_len;

		nv[i] = (nghttp2_nv){ line, line + name_len + 2, name_len, b->fields[i].len - name_len - 2, flags };
		if (b->fields[i].sensitive)
			nv[i].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
	}
	return nv;
}

nghttp2_nv *h2_block_nv(const struct h2_block *b)
{
	return fill_nv(b, NGHTTP2_NV_FLAG_NONE);
}

nghttp2_nv *h2_block_nv_kept(const struct h2_block *b)
{
	return fill_nv(b, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
}

static nghttp2_nv nv_of(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}

size_t h2_block_mark(nghttp2_nv *nv, size_t n, const struct http_marks *m)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++)
		if (!m->no_cache || nv[i].namelen != 13 || memcmp(nv[i].name, "cache-control", 13) != 0)
			nv[left++] = nv[i];
	if (m->agent)
		nv[left++] = nv_of("mirrord-agent", m->agent);
	if (m->no_cache)
		nv[left++] = nv_of("cache-control", HTTP_NO_CACHE);
	return left;
}

static struct http_field field_at(const struct h2_block *b, size_t i)
{
	return (struct http_field){ b->text + b->fields[i].at, b->fields[i].name_len, b->fields[i].len };
}

struct span h2_block_value(const struct h2_block *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++) {
		struct http_field f = field_at(b, i);

		if (span_equal(http_field_name(&f), span_of(name)))
			return http_field_value(&f);
	}
	return (struct span){ NULL, 0 };
}

struct span h2_block_known(const struct h2_block *b, enum h2_name name)
{
	struct http_field f;

	if (!b->known[name])
		return (struct span){ NULL, 0 };
	f = field_at(b, b->known[name] - 1);
	return http_field_value(&f);
}

void h2_block_view(const struct h2_block *b, struct http_request *ret)
{
	static struct http_field fields[HTTP_FIELDS_MAX + 1];
	static char host[HTTP_HEAD_MAX + 8] = "host: ";
	struct span authority = h2_block_known(b, H2_AUTHORITY);
	bool add = authority.at && !h2_block_known(b, H2_HOST).at;
	size_t n = 0;

	*ret = (struct http_request){ .fields = fields, .body_state = HTTP_BODY_AHEAD };
	for (size_t i = 0; i < b->n; i++) {
		struct http_field f = field_at(b, i);

		if (add && *f.line != ':') { /* behind the pseudo-headers */
			size_t len = 6 + authority.len;

			memcpy(host + 6, authority.at, authority.len);
			fields[n++] = (struct http_field){ host, 4, (uint32_t)len };
			add = false;
		}
		fields[n++] = f;
	}
	if (add) {
		memcpy(host + 6, authority.at, authority.len);
		fields[n++] = (struct http_field){ host, 4, (uint32_t)(6 + authority.len) };
	}
	ret->n_fields = n;
	ret->method = h2_block_known(b, H2_METHOD);
	ret->target = h2_block_known(b, H2_PATH);
	ret->authority = authority.at ? authority : h2_block_known(b, H2_HOST);
}

size_t h2_queue_len(const struct h2_queue *q)
{
	return q->end - q->at;
}

bool h2_queue_add(struct h2_queue *q, const uint8_t *data, size_t len)
{
	if (!len)
		return true;
	if (q->room - q->end < len && q->at) {
		memmove(q->data, q->data + q->at, q->end - q->at);
		q->end -= q->at;
		q->at = 0;
	}
	if (q->room - q->end < len) {
		size_t room = q->end + len > 2 * q->room ? q->end + len : 2 * q->room;
		uint8_t *more = h2_pool_resize(q->data, room);

		if (!more)
			return false;
		q->data = more;
		q->room = room;
	}
	memcpy(q->data + q->end, data, len);
	q->end += len;
	return true;
}

static size_t take(struct h2_queue *q, uint8_t *out, size_t len)
{
	size_t n = h2_queue_len(q) < len ? h2_queue_len(q) : len;

	if (!n)
		return 0;
	memcpy(out, q->data + q->at, n);
	q->at += n;
	if (q->at == q->end)
		h2_queue_fini(q);
	return n;
}

void h2_queue_fini(struct h2_queue *q)
{
	h2_pool_free(q->data);
	*q = (struct h2_queue){ 0 };
}

ssize_t h2_queue_give(struct h2_queue *q, bool ending, struct h2_block *trailer, nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
		      uint32_t *flags)
{
	size_t n = take(q, buf, len);

	q->deferred = !n && (h2_queue_len(q) || !ending);
	if (q->deferred)
		return NGHTTP2_ERR_DEFERRED;
	if (h2_queue_len(q) || !ending)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (!trailer->n)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	if (nghttp2_submit_trailer(session, id, h2_block_nv(trailer), trailer->n) < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	h2_block_fini(trailer);
	return (ssize_t)n;
}

void h2_queue_wake(struct h2_queue *q, nghttp2_session *session, int32_t id)
{
	if (q->deferred && session)
		nghttp2_session_resume_data(session, id);
	q->deferred = false;
}
