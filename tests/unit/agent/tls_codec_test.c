// SPDX-License-Identifier: MIT
/* Two codecs that talk with each other: records that come whole, in pieces, many at a time, changed on the way; TLS's own end. */
#include "agent/tls_codec.h"

#include <stdlib.h>
#include <string.h>

#include "agent/openssl.h"
#include "tap.h"

enum { MOST = 3 * TLS_PIECE };

static struct tls_codec *ours, *theirs;
static uint8_t plain[MOST], wire[MOST + 4096], got[MOST + 4096 + TLS_RECORD];

/* A key and a certificate of its own. */
static SSL_CTX *server_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	SSL_CTX_use_certificate(ctx, cert);
	SSL_CTX_use_PrivateKey(ctx, key);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

static SSL *start(SSL_CTX *ctx, int version, BIO *bio)
{
	SSL *ssl = SSL_new(ctx);

	SSL_set_min_proto_version(ssl, version);
	SSL_set_max_proto_version(ssl, version);
	SSL_set_bio(ssl, bio, bio);
	return ssl;
}

/* @ours is the server. What it has sent behind the handshake (TLS 1.3: tickets) is read by the client already. */
static bool shake(int version)
{
	SSL_CTX *server = server_context(), *client = SSL_CTX_new(TLS_method());
	BIO *a, *b;
	SSL *s, *c;
	char byte;

	BIO_new_bio_pair(&a, 0, &b, 0);
	s = start(server, version, a);
	c = start(client, version, b);
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	for (int i = 0; i < 8; i++) {
		SSL_do_handshake(c);
		SSL_do_handshake(s);
	}
	SSL_read(c, &byte, 1);
	ERR_clear_error();
	ours = tls_codec_new(s);
	theirs = tls_codec_new(c);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	return ours && theirs && SSL_is_init_finished(s) && SSL_is_init_finished(c);
}

static void over(void)
{
	tls_codec_free(ours);
	tls_codec_free(theirs);
}

/* Puts @len bytes of `plain` into `wire`. */
static size_t seal(struct tls_codec *from, size_t len)
{
	size_t used = 0;

	for (size_t done = 0, piece, n; done < len; done += piece) {
		const uint8_t *records;

		piece = len - done < TLS_PIECE ? len - done : TLS_PIECE;
		records = tls_codec_seal(from, plain + done, piece, &n);
		memcpy(wire + used, records, n);
		used += n;
	}
	return used;
}

/* Gives @wire_len bytes to @to, @step at a time. True when @len bytes of `plain` came out. */
static bool opens(struct tls_codec *to, size_t wire_len, size_t step, size_t len)
{
	size_t total = 0;

	for (size_t at = 0; at < wire_len; at += step) {
		size_t piece = wire_len - at < step ? wire_len - at : step;
		uint8_t *copy = malloc(piece); /* of just that size, for the sanitizer */
		ssize_t n;

		memcpy(copy, wire + at, piece);
		n = tls_codec_open(to, copy, piece, got + total, sizeof(got) - total);
		free(copy);
		if (n < 0)
			return false;
		total += (size_t)n;
	}
	return total == len && memcmp(got, plain, len) == 0;
}

static void test_pieces(const char *name)
{
	static const size_t steps[] = { 1, 5, 6, 1000, TLS_RECORD, TLS_RECORD + 100, MOST + 4096 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		size_t len = steps[i] < 1000 ? 2000 : MOST, n = seal(ours, len);

		tap_ok(n > len && opens(theirs, n, steps[i], len), "%s: %zu bytes, %zu at a time", name, len, steps[i]);
	}
	tap_ok(tls_codec_open(theirs, wire, 0, got, sizeof(got)) == 0, "%s: nothing is in nothing", name);
}

/* A message that comes in two reads, whichever they are. */
static void test_splits(const char *name)
{
	bool good = true;
	size_t n = 0;

	for (size_t split = 1; split == 1 || split < n; split++) {
		n = seal(theirs, 50);
		good &= tls_codec_open(ours, wire, split, got, sizeof(got)) == 0;
		good &= tls_codec_open(ours, wire + split, n - split, got, sizeof(got)) == 50 && memcmp(got, plain, 50) == 0;
	}
	tap_ok(good, "%s: every split of a record", name);
}

static void test_end(const char *name)
{
	size_t n = seal(ours, 100), end_len, more;
	const uint8_t *end = tls_codec_seal_end(ours, &end_len);

	memcpy(wire + n, end, end_len);
	memset(wire + n + end_len, 'x', 10);
	tap_ok(end_len > 0 && !tls_codec_has_ended(theirs), "%s: an end is said", name);
	tap_ok(opens(theirs, n + end_len + 10, MOST, 100) && tls_codec_has_ended(theirs), "%s: bytes, an end, and what no one reads", name);
	tls_codec_seal_end(ours, &more);
	tap_ok(more == 0, "%s: it is said once", name);
	n = seal(theirs, 100);
	tap_ok(opens(ours, n, MOST, 100) && !tls_codec_has_ended(ours), "%s: the other way is open", name);
}

static void test_changed(const char *name)
{
	size_t n = seal(theirs, 100), both, alert;
	uint8_t first[200];

	memcpy(first, wire, n);
	both = n + seal(theirs, 100);
	memmove(wire + n, wire, both - n);
	memcpy(wire, first, n);
	wire[both - 1] ^= 1;
	tap_ok(opens(ours, both, both, 100) && tls_codec_has_failed(ours), "%s: a record, and one that was changed", name);
	tap_ok(tls_codec_open(ours, wire, 0, got, sizeof(got)) == -1, "%s: which is told behind the first", name);
	tls_codec_seal(ours, NULL, 0, &alert);
	tap_ok(alert > 0, "%s: who sent it is told", name);
}

int main(void)
{
	static const struct {
		const char *name;
		int version;
	} versions[] = { { "TLS 1.2", TLS1_2_VERSION }, { "TLS 1.3", TLS1_3_VERSION } };
	struct error err = { 0 };

	for (size_t i = 0; i < MOST; i++)
		plain[i] = (uint8_t)(i * 7 + i / 251);
	tap_ok(openssl_load(&err) == 0, "OpenSSL is there");
	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		tap_ok(shake(versions[i].version), "%s: a handshake", versions[i].name);
		test_pieces(versions[i].name);
		test_splits(versions[i].name);
		test_end(versions[i].name);
		over();
		shake(versions[i].version);
		test_changed(versions[i].name);
		over();
	}
	return tap_done();
}
