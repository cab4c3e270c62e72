// SPDX-License-Identifier: MIT
/* An exec stream whose server is a script and whose libcurl a socket: what the command wrote arrives whole, in order and before the end, however
 * the bytes come and however slowly they are taken. */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kube/exec_internal.h"
#include "tap.h"

enum { MESSAGES = 150, MESSAGE = 3001, ALL = MESSAGES * MESSAGE, SMALL = 4096 };

static size_t step;    /* the most that libcurl gives at a time, as a TLS record is the most that OpenSSL does */
static size_t at_once; /* the most that the server sends before others have their turn: little of it cuts headers */
static int server;     /* our end of the connection */

struct outcome {
	struct loop *loop;
	struct watch watch, server_watch;
	uint8_t *script;
	size_t script_len, script_at;
	uint8_t got[ALL + 1];
	size_t len;
	char why[sizeof(((struct error *)0)->text)];
	unsigned int ends;
	bool eof;
};

static CURLcode fake_recv(CURL *handle, void *data, size_t len, size_t *n)
{
	ssize_t r = recv(*(int *)handle, data, len < step ? len : step, MSG_DONTWAIT);

	*n = r > 0 ? (size_t)r : 0;
	return r >= 0 ? CURLE_OK : errno == EAGAIN ? CURLE_AGAIN : CURLE_RECV_ERROR;
}

static CURLcode fake_send(CURL *handle, const void *data, size_t len, size_t *n)
{
	ssize_t r = send(*(int *)handle, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	*n = r > 0 ? (size_t)r : 0;
	return r >= 0 ? CURLE_OK : errno == EAGAIN ? CURLE_AGAIN : CURLE_SEND_ERROR;
}

static const char *fake_strerror(CURLcode code)
{
	return "refused by the script";
}

static void fake_free(struct curl_slist *list)
{
}

static const struct curl_api fake = { .easy_recv = fake_recv, .easy_send = fake_send, .easy_strerror = fake_strerror, .slist_free_all = fake_free };

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

/* Appends a frame as servers write it. */
static void frame(struct outcome *o, enum websocket_opcode opcode, int channel, const void *data, size_t len)
{
	uint8_t *p = o->script + o->script_len, *begin = p;
	size_t all = len + (channel >= 0);

	*p++ = (uint8_t)(0x80 | opcode);
	*p++ = (uint8_t)(all < 126 ? all : 126);
	if (all >= 126) {
		*p++ = (uint8_t)(all >> 8);
		*p++ = (uint8_t)all;
	}
	if (channel >= 0)
		*p++ = (uint8_t)channel;
	memcpy(p, data, len);
	o->script_len += (size_t)(p - begin) + len;
}

static void on_server(struct watch *w, uint32_t events)
{
	struct outcome *o = container_of(w, struct outcome, server_watch);
	size_t left = o->script_len - o->script_at;
	ssize_t n = send(server, o->script + o->script_at, left < at_once ? left : at_once, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		o->script_at += (size_t)n;
	if (o->script_at < o->script_len)
		return;
	loop_unwatch(o->loop, w);
	shutdown(server, SHUT_WR);
}

static void read_some(struct outcome *o)
{
	ssize_t n = recv(o->watch.fd, o->got + o->len, sizeof(o->got) - o->len < 1000 ? sizeof(o->got) - o->len : 1000, MSG_DONTWAIT);

	if (n > 0)
		o->len += (size_t)n;
	o->eof = n == 0 || (n < 0 && errno != EAGAIN);
}

static void on_local(struct watch *w, uint32_t events)
{
	struct outcome *o = container_of(w, struct outcome, watch);

	read_some(o);
	if (o->eof)
		loop_unwatch(o->loop, w);
	if (o->eof && o->ends)
		loop_stop(o->loop);
}

static void on_stderr(void *arg, const char *text, size_t len)
{
}

static void on_end(void *arg, const struct error *why)
{
	struct outcome *o = arg;

	o->ends++;
	snprintf(o->why, sizeof(o->why), "%s", why->text);
	if (o->eof)
		loop_stop(o->loop);
}

static void small(int fd)
{
	static const int size = SMALL;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void run(struct outcome *o)
{
	static const struct kube_exec_events events = { .on_stderr = on_stderr, .on_end = on_end };
	struct kube k = { .curl = &fake };
	struct kube_exec *e = calloc(1, sizeof(*e));
	struct error err = { 0 };
	int connection[2], local[2];

	socketpair(AF_UNIX, SOCK_STREAM, 0, connection);
	socketpair(AF_UNIX, SOCK_STREAM, 0, local);
	small(local[0]);
	server = connection[1];
	e->kube = &k;
	e->sock = connection[0];
	e->channel = -1;
	e->masks_at = sizeof(e->masks);
	o->loop = loop_new(&err);
	loop_watch(o->loop, &o->server_watch, server, EPOLLOUT, on_server);
	loop_watch(o->loop, &o->watch, local[1], EPOLLIN, on_local);
	kube_exec_join(e, o->loop, local[0], &events, o, &err);
	e->handle = (CURL *)&connection[0];
	alarm(60);
	loop_run(o->loop, &err);
	alarm(0);
	e->handle = NULL;
	kube_exec_free(e);
	loop_free(o->loop);
	close(connection[0]);
	close(connection[1]);
	close(local[1]);
	free(o->script);
}

static struct outcome *begin(void)
{
	struct outcome *o = calloc(1, sizeof(*o));
	uint8_t message[MESSAGE];

	o->script = malloc(2 * (size_t)ALL);
	for (size_t m = 0; m < MESSAGES; m++) {
		for (size_t i = 0; i < MESSAGE; i++)
			message[i] = byte_at(m * MESSAGE + i);
		frame(o, WEBSOCKET_BINARY, 1, message, MESSAGE);
		if (m % 7 == 0)
			frame(o, WEBSOCKET_PING, -1, "x", 1);
		if (m % 11 == 0)
			frame(o, WEBSOCKET_BINARY, 2, "said", 4);
		if (m % 13 == 0)
			frame(o, WEBSOCKET_BINARY, 1, "", 0);
	}
	return o;
}

static void check(struct outcome *o, const char *name, const char *why)
{
	size_t right = 0;

	run(o);
	while (right < o->len && o->got[right] == byte_at(right))
		right++;
	tap_int(right, ALL, "%s, at most %zu at a time: all bytes came", name, step);
	tap_int(o->len, ALL, "%s, at most %zu at a time: and no more", name, step);
	tap_int(o->ends, 1, "%s, at most %zu at a time: one end", name, step);
	tap_str(o->why, why, "%s, at most %zu at a time: why", name, step);
	free(o);
}

static void check_ends(void)
{
	static const char status[] = "{\"status\":\"Success\"}";
	static const char failure[] = "{\"status\":\"Failure\",\"message\":\"exit code 3\",\"reason\":\"NonZeroExitCode\"}";
	struct outcome *o = begin();

	frame(o, WEBSOCKET_BINARY, 3, status, sizeof(status) - 1);
	check(o, "a command that ends well", "");
	o = begin();
	frame(o, WEBSOCKET_BINARY, 3, failure, sizeof(failure) - 1);
	frame(o, WEBSOCKET_CLOSE, -1, "\3\350", 2);
	check(o, "a command that fails", "exit code 3");
	o = begin();
	frame(o, WEBSOCKET_CLOSE, -1, "\3\350", 2);
	check(o, "a stream that is closed", "the cluster closed the exec stream");
	o = begin();
	frame(o, 5, -1, "x", 1);
	check(o, "a stream with a bad frame", "a frame of an unknown kind");
	check(begin(), "a connection that breaks", "the connection to the cluster broke");
}

int main(void)
{
	static const size_t sizes[][2] = { { 7, 31 }, { 1000, 1 << 20 }, { 16384, 1 << 20 }, { 1 << 20, 1 << 20 } };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		step = sizes[i][0];
		at_once = sizes[i][1];
		check_ends();
	}
	return tap_done();
}
