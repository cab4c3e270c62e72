// SPDX-License-Identifier: MIT
/* A connection that is decrypted.
 *
 *   LISTENS ── its first bytes are no ClientHello ─► http_serve(), as it is
 *      │ ClientHello, looked at and left in the socket
 *   ASKS ──── the server is connected to that gets what no filter wants, with the client's server name and list of protocols
 *      │ what it has chosen (without it: what we would) is what the client gets
 *   SHAKES ── handshake with the client
 *      │
 *   SERVED ── http_serve() has the socket, and a codec for what comes by it; connections to the app and to programs are made by us, in TLS
 *      │
 *   (http_peers.release) nobody needs us any more
 */
#include "agent/tls_serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/tls_dial.h"
#include "agent/tls_farewell.h"
#include "agent/tls_link.h"
#include "base/fd.h"
#include "base/log.h"
#include "http/sniff.h"

#define HANDSHAKE_TIME (30 * LOOP_SECOND)
#define LINGER_TIME    (2 * LOOP_SECOND)
enum { HELLO_MAX = 16 << 10 };

struct tls_conn {
	struct list all;
	struct http_port *port;
	struct loop *loop;
	struct http_peers outer, peers; /* as it came; as http_serve() gets it */
	struct tls_keys *keys;
	const struct tls_key *key;
	struct watch watch;
	SSL *ssl;
	struct dial *home; /* made ahead, while nobody has taken it */
	bool decided, served, refused;
	unsigned char offered[256], chosen[256]; /* lists as on the wire; of @chosen it is one name, or none */
	size_t offered_len, chosen_len;
	char server_name[256];
	struct timer timer;
	struct deferred reap;
};

static struct list conns = { &conns, &conns };
static size_t count;

size_t tls_count(void)
{
	return count + tls_link_count() + tls_farewell_count();
}

static void on_reap(struct deferred *d)
{
	free(container_of(d, struct tls_conn, reap));
}

static void conn_free(struct tls_conn *t)
{
	if (!t->served)
		count--;
	list_remove(&t->all);
	loop_disarm(t->loop, &t->timer);
	if (t->home)
		t->home->egress->ops->abandon(t->home);
	if (t->watch.fd >= 0) {
		loop_unwatch(t->loop, &t->watch);
		close(t->watch.fd);
	}
	if (t->ssl)
		ossl.SSL_free(t->ssl);
	http_port_unref(t->port);
	tls_keys_unref(t->keys);
	loop_defer(t->loop, &t->reap, on_reap);
}

static void release(void *arg)
{
	conn_free(arg);
}

/* Towards servers */

/* The protocols to ask a server for: what was agreed upon with the client, before that all it can. */
static struct span wanted(const struct tls_conn *t)
{
	if (t->decided)
		return (struct span){ (const char *)t->chosen, t->chosen_len };
	return (struct span){ (const char *)t->offered, t->offered_len };
}

/* The first connection that is asked for is the one that was made ahead. */
static bool take_home(struct tls_conn *t, struct dial **ret_dial)
{
	if (!t->served || !t->home)
		return false;
	*ret_dial = t->home;
	t->home = NULL;
	return true;
}

static int on_dial_app(void *app, const struct endpoint *client, const struct endpoint *destination, dial_done_fn done, void *arg,
		       struct dial **ret_dial)
{
	struct tls_conn *t = app;
	const struct tls_wish wish = { .context = t->key->app, .server_name = t->server_name, .alpn = wanted(t) };
	struct tls_dial *d;

	if (take_home(t, ret_dial))
		return 0;
	d = tls_dial_new(t->loop, &wish, done, arg);
	if (!d)
		return ENOMEM;
	return tls_dial_begin(d, t->outer.dial_app(t->outer.app, client, destination, tls_dial_on_connected, d, tls_dial_inner(d)), ret_dial);
}

/* A program that has no HTTP/2 may say so. */
static struct span program_alpn(const struct tls_conn *t, struct span asked)
{
	static const char both[] = "\x02h2\x08http/1.1";

	if (asked.len)
		return asked;
	return t->decided && t->chosen_len == 3 && memcmp(t->chosen, both, 3) == 0 ? span_of(both) : wanted(t);
}

static int on_dial_program(void *app, struct egress *e, const struct endpoint *local, const struct endpoint *remote,
			   const struct tls_delivery *delivery, struct span alpn, dial_done_fn done, void *arg, struct dial **ret_dial)
{
	struct tls_conn *t = app;
	const struct tls_wish wish = {
		.context = delivery->program,
		.server_name = *delivery->server_name ? delivery->server_name : *t->server_name ? t->server_name : "localhost",
		.any_name = delivery->any_name,
		.alpn = program_alpn(t, alpn),
	};
	struct tls_dial *d;

	if (take_home(t, ret_dial))
		return 0;
	if (!delivery->program)
		return e->ops->dial(e, local, remote, done, arg, ret_dial);
	d = tls_dial_new(t->loop, &wish, done, arg);
	if (!d)
		return ENOMEM;
	return tls_dial_begin(d, e->ops->dial(e, local, remote, tls_dial_on_connected, d, tls_dial_inner(d)), ret_dial);
}

/* Towards the client */

static void serve(struct tls_conn *t)
{
	struct tls_codec *codec = tls_codec_new(t->ssl);
	int fd = t->watch.fd;

	t->ssl = NULL;
	if (!codec) {
		conn_free(t);
		return;
	}
	loop_disarm(t->loop, &t->timer);
	loop_unwatch(t->loop, &t->watch);
	t->watch.fd = -1;
	t->served = true;
	count--;
	http_serve(t->port, fd, codec, &t->peers);
}

/* It has been told why. What it still sends is read, or a reset would overtake that. */
static void hear_out(struct tls_conn *t)
{
	uint8_t data[4096];
	ssize_t n;

	while ((n = recv(t->watch.fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
		;
	if (n < 0 && errno == EAGAIN)
		return;
	fd_reset_on_close(t->watch.fd, false);
	conn_free(t);
}

static void shake(struct tls_conn *t)
{
	int r = ossl.SSL_do_handshake(t->ssl), error = r == 1 ? SSL_ERROR_NONE : ossl.SSL_get_error(t->ssl, r);

	if (r == 1) {
		serve(t);
	} else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
		log_limited(LOG_LEVEL_INFO, "tls: no handshake with a client: %s", openssl_reason());
		t->refused = true;
		shutdown(t->watch.fd, SHUT_WR);
		loop_arm(t->loop, &t->timer, loop_now(t->loop) + LINGER_TIME);
		hear_out(t);
	}
}

/* Is the one name in the list? */
static bool has_name(const unsigned char *list, size_t len, const unsigned char *name)
{
	for (size_t at = 0; at < len; at += 1u + list[at])
		if (at + 1u + list[at] <= len && list[at] == *name && memcmp(list + at, name, 1u + *name) == 0)
			return true;
	return false;
}

static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len, const unsigned char *list, unsigned int len, void *arg)
{
	const struct tls_conn *t = ossl.SSL_get_ex_data(ssl, 0);

	if (!t->chosen_len || !has_name(list, len, t->chosen))
		return SSL_TLSEXT_ERR_NOACK;
	*ret = t->chosen + 1;
	*ret_len = *t->chosen;
	return SSL_TLSEXT_ERR_OK;
}

static void begin_handshake(struct tls_conn *t)
{
	ossl.SSL_CTX_set_alpn_select_cb(t->key->server, on_alpn, NULL);
	t->decided = true;
	t->ssl = ossl.SSL_new(t->key->server);
	if (!t->ssl || ossl.SSL_set_fd(t->ssl, t->watch.fd) != 1 || ossl.SSL_set_ex_data(t->ssl, 0, t) != 1) {
		conn_free(t);
		return;
	}
	ossl.SSL_set_accept_state(t->ssl);
	shake(t);
}

/* The protocol that we would choose, when there is no server to choose: HTTP/2 or 1 if the client can, else what it likes best. */
static void choose_alone(struct tls_conn *t)
{
	static const unsigned char known[] = "\x02h2\x08http/1.1";

	for (const unsigned char *name = known; *name && !t->chosen_len; name += 1u + *name)
		if (has_name(t->offered, t->offered_len, name))
			memcpy(t->chosen, name, t->chosen_len = 1u + *name);
	if (!t->chosen_len && t->offered_len)
		memcpy(t->chosen, t->offered, t->chosen_len = 1u + *t->offered);
}

static void on_home(void *arg, int error);

static void dial_home(struct tls_conn *t)
{
	int error = http_dial_home(t->port, &t->peers, on_home, t, &t->home);

	if (error != EINPROGRESS)
		on_home(t, error);
}

/* The server that gets what no filter wants has answered. */
static void on_home(void *arg, int error)
{
	struct tls_conn *t = arg;
	struct span alpn = { NULL, 0 };

	if (!t->peers.home_refused && http_refusal_passes(error) && http_port_takes_rest(t->port)) {
		t->home = NULL;
		t->peers.home_refused = true;
		dial_home(t);
		return;
	}
	if (error) {
		log_limited(LOG_LEVEL_INFO, "tls: the server behind port %u can't be connected to: %s", t->outer.destination.port, strerror(error));
		t->home = NULL;
	}
	if (error || !tls_dial_is(t->home))
		choose_alone(t);
	else
		alpn = tls_dial_alpn(t->home);
	if (alpn.len) {
		t->chosen[0] = (unsigned char)alpn.len;
		memcpy(t->chosen + 1, alpn.at, alpn.len);
		t->chosen_len = 1 + alpn.len;
	}
	begin_handshake(t);
}

/* What the client can and the user lets it. */
static void note_offer(struct tls_conn *t, struct span alpn)
{
	const unsigned char *list = (const unsigned char *)alpn.at;

	for (size_t at = 0; at < alpn.len; at += 1u + list[at]) {
		size_t len = 1u + list[at];

		if (at + len > alpn.len || t->offered_len + len > sizeof(t->offered) || len == 1)
			return;
		if (t->key->has_alpn && !has_name(t->key->alpn, t->key->alpn_len, list + at))
			continue;
		memcpy(t->offered + t->offered_len, list + at, len);
		t->offered_len += len;
	}
}

static void on_hello(struct tls_conn *t, const struct tls_hello *hello)
{
	t->key = tls_keys_for(t->keys, hello->sni);
	if (hello->sni.len < sizeof(t->server_name) && !memchr(hello->sni.at ? hello->sni.at : "", 0, hello->sni.len))
		memcpy(t->server_name, hello->sni.at ? hello->sni.at : "", hello->sni.len);
	note_offer(t, hello->alpn);
	t->peers.sni = span_of(t->server_name);
	t->peers.alpn = (struct span){ (const char *)t->offered, t->offered_len };
	dial_home(t);
}

/* Not TLS: as on any other port. */
static void serve_plain(struct tls_conn *t)
{
	int fd = t->watch.fd;

	loop_unwatch(t->loop, &t->watch);
	t->watch.fd = -1;
	http_serve(t->port, fd, NULL, &t->outer);
	conn_free(t);
}

/* @ended: no more will come. */
static void listen_to(struct tls_conn *t, bool ended)
{
	static uint8_t data[HELLO_MAX];
	static struct tls_hello hello;
	ssize_t n = recv(t->watch.fd, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT);
	enum sniff what;
	int whole;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		serve_plain(t);
		return;
	}
	if (!t->timer.index)
		loop_arm(t->loop, &t->timer, loop_now(t->loop) + HANDSHAKE_TIME);
	what = sniff_client(data, (size_t)n);
	whole = what == SNIFF_TLS ? sniff_tls_hello(data, (size_t)n, &hello) : what == SNIFF_MORE ? 0 : -1;
	if (whole > 0)
		on_hello(t, &hello);
	else if (whole < 0 || ended || n == sizeof(data))
		serve_plain(t);
}

static void on_client(struct watch *w, uint32_t events)
{
	struct tls_conn *t = container_of(w, struct tls_conn, watch);

	if (t->refused)
		hear_out(t);
	else if (t->ssl)
		shake(t);
	else if (!t->key)
		listen_to(t, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
	else if (events & (EPOLLHUP | EPOLLERR))
		conn_free(t);
}

static void on_late(struct timer *timer)
{
	conn_free(container_of(timer, struct tls_conn, timer));
}

void tls_serve(struct http_port *p, struct loop *loop, int fd, const struct http_peers *peers, struct tls_keys *keys)
{
	struct tls_conn *t = calloc(1, sizeof(*t));

	if (!t) {
		close(fd);
		return;
	}
	t->port = p;
	t->loop = loop;
	t->outer = t->peers = *peers;
	t->peers.dial_app = on_dial_app;
	t->peers.dial_program = on_dial_program;
	t->peers.release = release;
	t->peers.app = t;
	t->keys = tls_keys_ref(keys);
	t->timer.on_due = on_late;
	list_append(&conns, &t->all);
	http_port_ref(p);
	count++;
	if (loop_watch(loop, &t->watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_client) == 0) {
		listen_to(t, false);
		return;
	}
	close(fd);
	t->watch.fd = -1;
	conn_free(t);
}

void tls_forget(const struct http_port *p)
{
	for (struct list *n = conns.next, *next; n != &conns; n = next) {
		struct tls_conn *t = container_of(n, struct tls_conn, all);

		next = n->next;
		if (t->port != p || !t->home)
			continue;
		t->home->egress->ops->abandon(t->home);
		t->home = NULL;
		if (!t->decided)
			dial_home(t);
	}
}

void tls_reset_all(void)
{
	for (struct list *n = conns.next, *next; n != &conns; n = next) {
		struct tls_conn *t = container_of(n, struct tls_conn, all);

		next = n->next;
		if (!t->served)
			conn_free(t);
	}
	tls_link_reset_all();
	tls_farewell_reset_all();
}
