// SPDX-License-Identifier: MIT
/* An exec that runs.
 *
 * Each message's first byte is its channel: 0 stdin, 1 stdout, 2 stderr, 3 the Status at the end, 255 closes the channel that its second byte
 * names (v5). A message of ours is one frame: of one in several, the API server loses all but the first. Theirs may come in any number.
 *
 * Memory is bounded: from the local side nothing is read while a message waits to be sent, and nothing is received while the local side has
 * not taken what came before. Bytes that libcurl has decrypted already don't show in the socket, so receiving goes on until it says "again"
 * whenever something changed, not only when the socket is ready. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kube/exec_internal.h"

enum channel { CHANNEL_STDIN = 0, CHANNEL_STDOUT = 1, CHANNEL_STDERR = 2, CHANNEL_STATUS = 3, CHANNEL_CLOSE = 255, CHANNEL_NONE = -1 };
enum { TURNS = 64 };

static const uint8_t *next_mask(struct kube_exec *e)
{
	if (e->masks_at + 4 > sizeof(e->masks)) {
		if (getrandom(e->masks, sizeof(e->masks), 0) < 0)
			memset(e->masks, 0, sizeof(e->masks));
		e->masks_at = 0;
	}
	e->masks_at += 4;
	return e->masks + e->masks_at - 4;
}

static void on_deferred_end(struct deferred *d)
{
	struct kube_exec *e = container_of(d, struct kube_exec, end);

	e->events->on_end(e->arg, &e->why);
}

static void finish(struct kube_exec *e)
{
	if (e->ended)
		return;
	e->ended = true;
	loop_unwatch(e->loop, &e->sock_watch);
	loop_unwatch(e->loop, &e->local_watch);
	fd_closep(&e->local);
	loop_defer(e->loop, &e->end, on_deferred_end);
}

static void break_off(struct kube_exec *e, const char *why)
{
	if (!e->ended && !error_is_set(&e->why))
		error_set(&e->why, 0, "%s", why);
	e->broke = true;
	finish(e);
}

/* {"status":"Failure","message":"command terminated with exit code 1","reason":"NonZeroExitCode",…}. Another reason is that of servers between
 * us and the command, and tells nothing of it. */
static void read_status(struct kube_exec *e)
{
	json_t *status = json_loadb(e->status, e->status_len, 0, NULL);
	const char *word = json_string_value(json_object_get(status, "status")), *message = json_string_value(json_object_get(status, "message"));
	const char *reason = json_string_value(json_object_get(status, "reason"));

	log_debug("kube: exec: %.*s", (int)e->status_len, e->status);
	if (!word || strcmp(word, "Success") != 0) {
		error_set(&e->why, 0, "%s", message ? message : "the command failed");
		e->broke = !reason || strcmp(reason, "NonZeroExitCode") != 0;
	}
	json_decref(status);
	finish(e);
}

/* Frames of ours that carry no input; what doesn't fit is a flood of pings, and left out. */
static void queue_frame(struct kube_exec *e, enum websocket_opcode opcode, const uint8_t *data, size_t len)
{
	const uint8_t *mask = next_mask(e);
	size_t n;

	if (e->control_len + WEBSOCKET_HEADER_MAX + len > sizeof(e->control))
		return;
	n = websocket_encode_header(opcode, len, mask, e->control + e->control_len);
	memcpy(e->control + e->control_len + n, data, len);
	websocket_mask(e->control + e->control_len + n, len, mask, 0);
	e->control_len += n + len;
}

static void take_status(struct kube_exec *e, const uint8_t *data, size_t len, bool last)
{
	size_t room = sizeof(e->status) - e->status_len;

	len = len < room ? len : room;
	memcpy(e->status + e->status_len, data, len);
	e->status_len += len;
	e->has_status = last && e->status_len;
}

static void take_message(struct kube_exec *e, const struct websocket_piece *p)
{
	const uint8_t *data = p->data;
	size_t len = p->len;

	if (p->first)
		e->channel = CHANNEL_NONE;
	if (e->channel == CHANNEL_NONE && len) {
		e->channel = *data++;
		len--;
	}
	if (e->channel == CHANNEL_STDOUT && len && !e->local_gone) {
		e->pending[e->pending_n++] = (struct iovec){ .iov_base = (void *)data, .iov_len = len };
	} else if (e->channel == CHANNEL_STDERR && len) {
		e->events->on_stderr(e->arg, (const char *)data, len);
	} else if (e->channel == CHANNEL_STATUS) {
		take_status(e, data, len, p->last);
	}
}

static void take_piece(struct kube_exec *e, const struct websocket_piece *p)
{
	switch (p->opcode) {
	case WEBSOCKET_BINARY:
	case WEBSOCKET_TEXT:
		take_message(e, p);
		break;
	case WEBSOCKET_PING:
		queue_frame(e, WEBSOCKET_PONG, p->data, p->len);
		break;
	case WEBSOCKET_CLOSE:
		e->closed = true;
		break;
	default:
		break;
	}
}

/* Gives the local side what it takes. Returns whether there was progress. */
static bool give(struct kube_exec *e)
{
	struct msghdr msg = { .msg_iov = e->pending + e->pending_at, .msg_iovlen = e->pending_n - e->pending_at };
	ssize_t n = sendmsg(e->local, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		e->local_gone = true; /* nobody is there any more: the rest is read for the sake of the Status */
		e->pending_at = e->pending_n = 0;
		return true;
	}
	if (n <= 0)
		return false;
	while (e->pending_at < e->pending_n && (size_t)n >= e->pending[e->pending_at].iov_len)
		n -= (ssize_t)e->pending[e->pending_at++].iov_len;
	if (e->pending_at == e->pending_n) {
		e->pending_at = e->pending_n = 0;
		return true;
	}
	e->pending[e->pending_at].iov_base = (uint8_t *)e->pending[e->pending_at].iov_base + n;
	e->pending[e->pending_at].iov_len -= (size_t)n;
	return true;
}

/* All that there is, behind a header that came in part. What goes wrong behind something that came does so again when that is done with.
 * Returns whether there was progress. */
static bool receive(struct kube_exec *e)
{
	size_t before = e->in_len - e->in_at, n;

	memmove(e->in, e->in + e->in_at, before);
	e->in_at = 0;
	e->in_len = before;
	while (e->in_len < sizeof(e->in)) {
		CURLcode code;

		n = 0;
		code = e->kube->curl->easy_recv(e->handle, e->in + e->in_len, sizeof(e->in) - e->in_len, &n);
		if (code == CURLE_OK && n) {
			e->in_len += n;
			continue;
		}
		if (e->in_len == before && code != CURLE_AGAIN)
			break_off(e, code != CURLE_OK ? e->kube->curl->easy_strerror(code) : "the connection to the cluster broke");
		break;
	}
	return e->in_len > before;
}

/* Looks at what was received, until that is all or something has to wait for what the local side takes first. Returns whether there was
 * progress. */
static bool take(struct kube_exec *e)
{
	size_t before = e->in_at;

	while (e->in_at < e->in_len && e->pending_n < EXEC_PIECES && !e->has_status && !e->closed) {
		struct websocket_piece piece;
		bool has;
		ssize_t n = websocket_decode(&e->decoder, e->in + e->in_at, e->in_len - e->in_at, &piece, &has);

		if (n < 0 && !e->pending_n)
			break_off(e, websocket_strerror((enum websocket_error)n));
		if (n < 0 || (n == 0 && !has))
			break;
		e->in_at += (size_t)n;
		if (has)
			take_piece(e, &piece);
	}
	return e->in_at > before;
}

/* Returns whether there was progress. */
static bool step_in(struct kube_exec *e)
{
	if (e->pending_n)
		return give(e);
	if (e->has_status)
		read_status(e);
	else if (e->closed)
		break_off(e, "the cluster closed the exec stream");
	else
		return take(e) || (!e->ended && receive(e));
	return false;
}

static void queue_end(struct kube_exec *e)
{
	static const uint8_t close_stdin[] = { CHANNEL_CLOSE, CHANNEL_STDIN }, normal[] = { 1000 >> 8, 1000 & 0xff };

	e->local_ended = true;
	if (e->closes_stdin)
		queue_frame(e, WEBSOCKET_BINARY, close_stdin, sizeof(close_stdin));
	else
		queue_frame(e, WEBSOCKET_CLOSE, normal, sizeof(normal));
}

/* The next message from what the local side wrote. Returns whether there is one. */
static bool fill(struct kube_exec *e)
{
	uint8_t *payload = e->out + WEBSOCKET_HEADER_MAX, header[WEBSOCKET_HEADER_MAX];
	const uint8_t *mask;
	size_t n;
	ssize_t len = e->local_ended ? -1 : recv(e->local, payload + 1, EXEC_MESSAGE, MSG_DONTWAIT);

	if (len == 0 || (len < 0 && !e->local_ended && errno != EAGAIN && errno != EINTR)) {
		queue_end(e);
		return true;
	}
	if (len < 0)
		return false;
	mask = next_mask(e);
	payload[0] = CHANNEL_STDIN;
	n = websocket_encode_header(WEBSOCKET_BINARY, (size_t)len + 1, mask, header);
	memcpy(payload - n, header, n);
	websocket_mask(payload, (size_t)len + 1, mask, 0);
	e->out_at = WEBSOCKET_HEADER_MAX - n;
	e->out_len = WEBSOCKET_HEADER_MAX + 1 + (size_t)len;
	return true;
}

static bool step_out(struct kube_exec *e)
{
	size_t n = 0;
	CURLcode code;

	if (e->out_at == e->out_len && e->control_len) {
		memcpy(e->out, e->control, e->control_len);
		e->out_at = 0;
		e->out_len = e->control_len;
		e->control_len = 0;
	}
	if (e->out_at == e->out_len)
		return fill(e);
	code = e->kube->curl->easy_send(e->handle, e->out + e->out_at, e->out_len - e->out_at, &n);
	if (code != CURLE_OK && code != CURLE_AGAIN)
		break_off(e, e->kube->curl->easy_strerror(code));
	e->out_at += n;
	return n > 0;
}

/* Interest is a function of the state. A local side that has ended is looked at only when it is to take something still. With @more we
 * stopped for others' sake, and go on at once: the connection nearly always takes something. */
static void update(struct kube_exec *e, bool more)
{
	uint32_t local = (!e->local_ended && e->out_at == e->out_len ? EPOLLIN : 0) | (e->pending_n ? EPOLLOUT : 0);
	uint32_t sock = (e->pending_n ? 0 : EPOLLIN) | (more || e->out_at < e->out_len || e->control_len ? EPOLLOUT : 0);

	if (e->ended)
		return;
	loop_rewatch(e->loop, &e->sock_watch, sock);
	if (local == 0 && e->local_ended)
		loop_unwatch(e->loop, &e->local_watch);
	else
		loop_rewatch(e->loop, &e->local_watch, local);
}

static void turn(struct kube_exec *e)
{
	bool in = true, out = true;

	for (int i = 0; i < TURNS && !e->ended && (in || out); i++) {
		in = step_in(e);
		out = !e->ended && step_out(e);
	}
	update(e, in || out);
}

static void on_sock(struct watch *w, uint32_t events)
{
	turn(container_of(w, struct kube_exec, sock_watch));
}

static void on_local(struct watch *w, uint32_t events)
{
	struct kube_exec *e = container_of(w, struct kube_exec, local_watch);

	turn(e);
	if (!e->ended && (events & (EPOLLHUP | EPOLLERR)) && e->local_ended && !e->pending_n)
		loop_unwatch(e->loop, w);
}

int kube_exec_join(struct kube_exec *e, struct loop *loop, int fd, const struct kube_exec_events *events, void *arg, struct error *err)
{
	int r;

	e->loop = loop;
	e->local = fd;
	e->events = events;
	e->arg = arg;
	r = loop_watch(loop, &e->sock_watch, e->sock, EPOLLIN | EPOLLOUT, on_sock); /* what came behind the handshake is looked at */
	if (r == 0)
		r = loop_watch(loop, &e->local_watch, fd, EPOLLIN, on_local);
	return r < 0 ? error_set(err, -r, "watch the exec stream") : 0;
}

void kube_exec_hang_up(struct kube_exec *e)
{
	break_off(e, "nothing comes");
}

const struct error *kube_exec_why(const struct kube_exec *e)
{
	return &e->why;
}

bool kube_exec_broke(const struct kube_exec *e)
{
	return e->broke;
}

void kube_exec_free(struct kube_exec *e)
{
	if (!e)
		return;
	if (e->loop) {
		loop_unwatch(e->loop, &e->sock_watch);
		loop_unwatch(e->loop, &e->local_watch);
		list_remove(&e->end.node);
	}
	fd_closep(&e->local);
	if (e->handle)
		e->kube->curl->easy_cleanup(e->handle);
	e->kube->curl->slist_free_all(e->headers);
	free(e);
}
