// SPDX-License-Identifier: MIT
/* OpenSSL reads from the bytes that it is given and writes into a buffer, both of which are there for one call only: so the owner of the
 * socket reads and writes as much at a time as without TLS, and nothing is kept here but a record that isn't complete. */
#include "agent/tls_codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/openssl.h"

enum { OVERHEAD = 8 << 10 }; /* of a piece's records, and what OpenSSL says by itself */

struct tls_codec {
	SSL *ssl;
	const uint8_t *in;
	size_t in_len;
	bool ended, failed, said_end;
	struct backlog early;
};

/* What was written since the last call. */
static uint8_t sealed[TLS_PIECE + OVERHEAD];
static size_t sealed_len;

static int on_read(BIO *bio, char *data, int size)
{
	struct tls_codec *c = ossl.BIO_get_data(bio);
	size_t n = (size_t)size < c->in_len ? (size_t)size : c->in_len;

	ossl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
	if (!n) {
		ossl.BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
		return -1;
	}
	memcpy(data, c->in, n);
	c->in += n;
	c->in_len -= n;
	return (int)n;
}

static int on_write(BIO *bio, const char *data, int size)
{
	if ((size_t)size > sizeof(sealed) - sealed_len)
		return -1;
	memcpy(sealed + sealed_len, data, (size_t)size);
	sealed_len += (size_t)size;
	return size;
}

static long on_ctrl(BIO *bio, int what, long number, void *pointer)
{
	return what == BIO_CTRL_FLUSH;
}

/* One for all, made with the first codec and never freed. */
static BIO_METHOD *method(void)
{
	static BIO_METHOD *made;

	if (!made && (made = ossl.BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tls_codec"))) {
		ossl.BIO_meth_set_read(made, on_read);
		ossl.BIO_meth_set_write(made, on_write);
		ossl.BIO_meth_set_ctrl(made, on_ctrl);
	}
	return made;
}

struct tls_codec *tls_codec_new(SSL *ssl)
{
	struct tls_codec *c = calloc(1, sizeof(*c));
	BIO *bio = c && method() ? ossl.BIO_new(method()) : NULL;

	if (!bio) {
		ossl.ERR_clear_error();
		ossl.SSL_free(ssl);
		free(c);
		return NULL;
	}
	c->ssl = ssl;
	ossl.BIO_set_data(bio, c);
	ossl.BIO_set_init(bio, 1);
	ossl.SSL_set_bio(ssl, bio, bio);
	return c;
}

void tls_codec_free(struct tls_codec *c)
{
	if (c)
		ossl.SSL_free(tls_codec_undo(c));
}

SSL *tls_codec_undo(struct tls_codec *c)
{
	SSL *ssl = c->ssl;

	backlog_fini(&c->early);
	free(c);
	return ssl;
}

ssize_t tls_codec_open(struct tls_codec *c, const uint8_t *wire, size_t len, uint8_t *ret, size_t room)
{
	size_t got = 0;

	assert(room >= len + TLS_RECORD);
	c->in = wire;
	c->in_len = len;
	while (!c->ended && !c->failed && (c->in_len || ossl.SSL_has_pending(c->ssl))) {
		int n = ossl.SSL_read(c->ssl, ret + got, (int)(room - got)), error;

		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		error = ossl.SSL_get_error(c->ssl, n);
		if (error == SSL_ERROR_WANT_READ)
			break;
		ossl.ERR_clear_error();
		c->ended = error == SSL_ERROR_ZERO_RETURN;
		c->failed = !c->ended;
	}
	return c->failed && !got ? -1 : (ssize_t)got;
}

bool tls_codec_has_ended(const struct tls_codec *c)
{
	return c->ended;
}

bool tls_codec_has_failed(const struct tls_codec *c)
{
	return c->failed;
}

static const uint8_t *take_sealed(size_t *ret_len)
{
	*ret_len = sealed_len;
	sealed_len = 0;
	return sealed;
}

const uint8_t *tls_codec_seal(struct tls_codec *c, const void *data, size_t len, size_t *ret_len)
{
	size_t done = 0;

	while (done < len) {
		int n = ossl.SSL_write(c->ssl, (const uint8_t *)data + done, (int)(len - done));

		if (n <= 0) {
			ossl.ERR_clear_error();
			sealed_len = 0;
			break;
		}
		done += (size_t)n;
	}
	return take_sealed(ret_len);
}

const uint8_t *tls_codec_seal_end(struct tls_codec *c, size_t *ret_len)
{
	if (!c->said_end && ossl.SSL_shutdown(c->ssl) < 0)
		ossl.ERR_clear_error();
	c->said_end = true;
	return take_sealed(ret_len);
}

void tls_codec_cut(struct tls_codec *c)
{
	c->said_end = true;
}

struct backlog *tls_codec_early(struct tls_codec *c)
{
	return &c->early;
}
