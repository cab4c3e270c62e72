// SPDX-License-Identifier: MIT
#include "agent/tls_dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define HANDSHAKE_TIME (30 * LOOP_SECOND)

struct tls_dial {
	struct dial dial;
	struct loop *loop;
	struct dial *inner; /* while it isn't connected */
	struct egress *egress; /* its, from then on */
	SSL *ssl;
	struct watch watch;
	struct timer timer;
	struct deferred reap;
	dial_done_fn done;
	void *arg;
};

static struct tls_dial *of(struct dial *d)
{
	return container_of(d, struct tls_dial, dial);
}

static void on_reap(struct deferred *d)
{
	free(container_of(d, struct tls_dial, reap));
}

static void dial_free(struct tls_dial *d)
{
	loop_disarm(d->loop, &d->timer);
	if (d->watch.fd >= 0) {
		loop_unwatch(d->loop, &d->watch);
		close(d->watch.fd);
	}
	if (d->ssl)
		ossl.SSL_free(d->ssl);
	loop_defer(d->loop, &d->reap, on_reap);
}

static void fail(struct tls_dial *d, int error)
{
	dial_done_fn done = d->done;
	void *arg = d->arg;

	dial_free(d);
	done(arg, error);
}

static void tls_abandon(struct dial *dial)
{
	struct tls_dial *d = of(dial);

	if (d->inner)
		d->inner->egress->ops->abandon(d->inner);
	dial_free(d);
}

static const struct egress_ops tls_ops = { .abandon = tls_abandon };
static struct egress tls_egress = { &tls_ops };

static void say_why(const struct tls_dial *d)
{
	long verified = ossl.SSL_get_verify_result(d->ssl);

	if (verified != X509_V_OK)
		log_limited(LOG_LEVEL_WARN, "tls: the server's certificate is not accepted: %s", ossl.X509_verify_cert_error_string(verified));
	else
		log_limited(LOG_LEVEL_INFO, "tls: the server refused: %s", openssl_reason());
	ossl.ERR_clear_error();
}

static void step(struct tls_dial *d)
{
	int r = ossl.SSL_do_handshake(d->ssl), error = r == 1 ? SSL_ERROR_NONE : ossl.SSL_get_error(d->ssl, r);

	if (r != 1 && (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE))
		return;
	if (r != 1) {
		say_why(d);
		fail(d, EPROTO);
		return;
	}
	loop_disarm(d->loop, &d->timer);
	loop_unwatch(d->loop, &d->watch);
	d->done(d->arg, 0);
}

static void on_ready(struct watch *w, uint32_t events)
{
	step(container_of(w, struct tls_dial, watch));
}

static void on_late(struct timer *t)
{
	fail(container_of(t, struct tls_dial, timer), ETIMEDOUT);
}

/* The connection is there. Returns 0, or an errno. */
static int connected(struct tls_dial *d)
{
	int fd;

	d->egress = d->inner->egress;
	fd = egress_dial_take(d->inner);
	d->inner = NULL;
	if (fd < 0)
		return -fd;
	d->watch.fd = fd;
	if (ossl.SSL_set_fd(d->ssl, fd) != 1 || loop_watch(d->loop, &d->watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_ready) < 0)
		return ENOMEM;
	loop_arm(d->loop, &d->timer, loop_now(d->loop) + HANDSHAKE_TIME);
	return 0;
}

void tls_dial_on_connected(void *arg, int error)
{
	struct tls_dial *d = arg;

	if (error)
		d->inner = NULL;
	else
		error = connected(d);
	if (error)
		fail(d, error);
}

/* A server name must not be an address (RFC 6066 §3); as what a certificate must be for it may. */
static bool is_address(const char *name)
{
	unsigned char b[16];

	return inet_pton(AF_INET, name, b) == 1 || inet_pton(AF_INET6, name, b) == 1;
}

static bool set_up(SSL *ssl, const struct tls_wish *wish)
{
	X509_VERIFY_PARAM *param = ossl.SSL_get0_param(ssl);
	const char *name = wish->server_name;
	int ok = 1;

	ossl.SSL_set_connect_state(ssl);
	if (*name && is_address(name))
		ok = wish->any_name || ossl.X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	else if (*name)
		ok = (wish->any_name || ossl.X509_VERIFY_PARAM_set1_host(param, name, 0) == 1) &&
		     ossl.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)name) == 1;
	if (ok && wish->alpn.len)
		ok = ossl.SSL_set_alpn_protos(ssl, (const unsigned char *)wish->alpn.at, (unsigned int)wish->alpn.len) == 0;
	return ok;
}

struct tls_dial *tls_dial_new(struct loop *loop, const struct tls_wish *wish, dial_done_fn done, void *arg)
{
	struct tls_dial *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->dial.egress = &tls_egress;
	d->loop = loop;
	d->watch.fd = -1;
	d->timer.on_due = on_late;
	d->done = done;
	d->arg = arg;
	d->ssl = ossl.SSL_new(wish->context);
	if (d->ssl && set_up(d->ssl, wish))
		return d;
	ossl.ERR_clear_error();
	if (d->ssl)
		ossl.SSL_free(d->ssl);
	free(d);
	return NULL;
}

struct dial **tls_dial_inner(struct tls_dial *d)
{
	return &d->inner;
}

int tls_dial_begin(struct tls_dial *d, int result, struct dial **ret_dial)
{
	if (!result)
		result = connected(d);
	else if (result != EINPROGRESS)
		d->inner = NULL;
	if (result && result != EINPROGRESS) {
		dial_free(d);
		return result;
	}
	*ret_dial = &d->dial;
	return EINPROGRESS;
}

bool tls_dial_is(const struct dial *d)
{
	return d->egress == &tls_egress;
}

int tls_dial_take(struct dial *dial, struct tls_codec **ret)
{
	struct tls_dial *d = of(dial);
	int fd = d->watch.fd;

	*ret = tls_codec_new(d->ssl);
	d->ssl = NULL;
	if (*ret)
		d->watch.fd = -1;
	dial_free(d);
	return *ret ? fd : -ENOMEM;
}

struct egress *tls_dial_egress(const struct dial *dial)
{
	return container_of(dial, const struct tls_dial, dial)->egress;
}

struct span tls_dial_alpn(const struct dial *dial)
{
	const struct tls_dial *d = container_of(dial, const struct tls_dial, dial);
	const unsigned char *name = NULL;
	unsigned int len = 0;

	ossl.SSL_get0_alpn_selected(d->ssl, &name, &len);
	return (struct span){ (const char *)name, len };
}
