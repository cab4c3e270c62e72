// SPDX-License-Identifier: MIT
#include "agent/tls_keys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/files.h"

static const char pem[] = "-----BEGIN ";

static void free_text(char **text)
{
	free(*text);
}
#define _cleanup_text_ __attribute__((cleanup(free_text)))

/* The PEM text that @what is or names, and in @ret_name what to call it. Anything may stand before PEM text (RFC 7468 §2), and does in what
 * OpenSSL writes. */
static char *read_text(int root, const char *what, const char **ret_name, struct error *err)
{
	char *text;

	*ret_name = what;
	if (strstr(what, pem)) {
		*ret_name = "the PEM text";
		text = strdup(what);
		if (!text)
			error_set(err, ENOMEM, "read a certificate");
		return text;
	}
	if (root < 0) {
		error_set(err, 0, "%s can't be read: the target's files are out of the agent's reach", what);
		error_hint(err, "Give a file of this machine: \"local:PATH\".");
		return NULL;
	}
	text = root_file(root, what);
	if (!text)
		error_set(err, errno, "read %s in the target", what);
	else if (!strstr(text, pem))
		error_set(err, 0, "%s in the target: there is no PEM text in it", what);
	else
		return text;
	free(text);
	return NULL;
}

/* There is nobody to ask for one. @arg: NULL, or where to say that one is needed. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	if (arg)
		*(bool *)arg = true;
	return -1;
}

static X509 *next_cert(BIO *bio)
{
	return ossl.PEM_read_bio_X509(bio, NULL, no_password, NULL);
}

/* The first certificate is ours, the others lead to a root. */
static int use_chain(SSL_CTX *ctx, BIO *bio, X509 **ret_cert)
{
	X509 *cert = next_cert(bio), *more;
	int ok = cert && ossl.SSL_CTX_use_certificate(ctx, cert) == 1;

	while (ok && (more = next_cert(bio))) {
		ok = ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_CHAIN_CERT, 0, more) == 1; /* owned then */
		if (!ok)
			ossl.X509_free(more);
	}
	if (!ok) {
		ossl.X509_free(cert);
		return -1;
	}
	ossl.ERR_clear_error(); /* "no start line", behind the last */
	*ret_cert = cert;
	return 0;
}

static int load_chain(SSL_CTX *ctx, int root, const char *what, X509 **ret_cert, struct error *err)
{
	const char *name;
	_cleanup_text_ char *text = read_text(root, what, &name, err);
	BIO *bio = text ? ossl.BIO_new_mem_buf(text, -1) : NULL;
	int rc = bio ? use_chain(ctx, bio, ret_cert) : -1;

	if (text && rc < 0)
		error_set(err, 0, "%s is no certificate that can be used: %s", name, openssl_reason());
	ossl.BIO_free(bio);
	return rc;
}

static int load_key(SSL_CTX *ctx, int root, const char *what, struct error *err)
{
	const char *name;
	_cleanup_text_ char *text = read_text(root, what, &name, err);
	BIO *bio = text ? ossl.BIO_new_mem_buf(text, -1) : NULL;
	bool encrypted = false;
	EVP_PKEY *key = bio ? ossl.PEM_read_bio_PrivateKey(bio, NULL, no_password, &encrypted) : NULL;
	int rc = -1;

	if (encrypted) {
		error_set(err, 0, "the private key (%s) is encrypted, and nobody can be asked for its password", name);
		error_hint(err, "Give one that isn't: `openssl pkey -in KEY -out PLAIN`, and \"local:PLAIN\".");
		ossl.ERR_clear_error();
	} else if (text && !key) {
		error_set(err, 0, "%s is no private key that can be used: %s", name, openssl_reason());
	} else if (key && (ossl.SSL_CTX_use_PrivateKey(ctx, key) != 1 || ossl.SSL_CTX_check_private_key(ctx) != 1)) {
		error_set(err, 0, "the private key (%s) isn't the certificate's: %s", name, openssl_reason());
	} else if (key) {
		rc = 0;
	}
	ossl.EVP_PKEY_free(key);
	ossl.BIO_free(bio);
	return rc;
}

/* @ret_cert may be NULL. */
static int load_identity(SSL_CTX *ctx, int root, const struct tls_identity *identity, X509 **ret_cert, struct error *err)
{
	X509 *cert = NULL;
	int rc;

	if (!identity->cert)
		return 0;
	rc = load_chain(ctx, root, identity->cert, &cert, err) < 0 ? -1 : load_key(ctx, root, identity->key, err);
	if (rc == 0 && ret_cert)
		*ret_cert = cert;
	else
		ossl.X509_free(cert);
	return rc;
}

static int add_roots(SSL_CTX *ctx, const char *text, const char *name, bool of_clients, struct error *err)
{
	BIO *bio = ossl.BIO_new_mem_buf(text, -1);
	size_t n = 0;

	for (X509 *cert; bio && (cert = next_cert(bio)); n++) {
		ossl.X509_STORE_add_cert(ossl.SSL_CTX_get_cert_store(ctx), cert);
		if (of_clients)
			ossl.SSL_CTX_add_client_CA(ctx, cert);
		ossl.X509_free(cert);
	}
	ossl.BIO_free(bio);
	if (!n)
		return error_set(err, 0, "%s: no certificate is in it: %s", name, openssl_reason());
	ossl.ERR_clear_error();
	/* A certificate that is trusted by itself needs no issuer. */
	ossl.X509_STORE_set_flags(ossl.SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}

static int anybody(X509_STORE_CTX *store, void *arg)
{
	return 1;
}

static int trust(SSL_CTX *ctx, int root, const struct tls_trust *t, bool of_clients, struct error *err)
{
	static const unsigned char id[] = "mirrord";
	int mode = SSL_VERIFY_PEER | (of_clients && !t->nobody_too ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);

	ossl.SSL_CTX_set_verify(ctx, t->wanted && (of_clients || !t->anybody) ? mode : SSL_VERIFY_NONE, NULL);
	if (t->anybody)
		ossl.SSL_CTX_set_cert_verify_callback(ctx, anybody, NULL);
	if (of_clients)
		ossl.SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
	for (size_t i = 0; i < t->n_roots; i++) {
		const char *name;
		_cleanup_text_ char *text = read_text(root, t->roots[i], &name, err);

		if (!text || add_roots(ctx, text, name, of_clients, err) < 0)
			return -1;
	}
	return 0;
}

static SSL_CTX *context_new(struct error *err)
{
	SSL_CTX *ctx = openssl_load(err) < 0 ? NULL : ossl.SSL_CTX_new(ossl.TLS_method());

	if (!ctx) {
		if (!error_is_set(err))
			error_set(err, 0, "start OpenSSL: %s", openssl_reason());
		return NULL;
	}
	ossl.SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_MODE,
			  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, NULL);
	return ctx;
}

static void key_fini(struct tls_key *k)
{
	if (k->cert)
		ossl.X509_free(k->cert);
	if (k->server)
		ossl.SSL_CTX_free(k->server);
	if (k->app)
		ossl.SSL_CTX_free(k->app);
}

static int key_init(struct tls_key *k, const struct tls_port_options *o, int root, struct error *err)
{
	k->server = context_new(err);
	k->app = k->server ? context_new(err) : NULL;
	if (!k->app || load_identity(k->server, root, &o->server, &k->cert, err) < 0 || trust(k->server, root, &o->clients, true, err) < 0 ||
	    load_identity(k->app, root, &o->client, NULL, err) < 0 || trust(k->app, root, &o->app, false, err) < 0)
		return -1;
	k->has_alpn = o->has_alpn;
	for (size_t i = 0; i < o->n_alpn; i++) {
		size_t len = strlen(o->alpn[i]);

		k->alpn[k->alpn_len++] = (unsigned char)len;
		memcpy(k->alpn + k->alpn_len, o->alpn[i], len);
		k->alpn_len += len;
	}
	return 0;
}

int tls_keys_new(const struct http_options *o, uint16_t port, int root, struct tls_keys **ret, struct error *err)
{
	struct tls_keys *k = NULL;

	for (size_t i = 0; i < o->n_tls; i++) {
		if (port && o->tls[i].port != port)
			continue;
		if (!k && !(k = calloc(1, sizeof(*k))))
			return error_set(err, ENOMEM, "decrypt TLS");
		k->refs = 1;
		if (key_init(&k->keys[k->n++], &o->tls[i], root, err) < 0) {
			tls_keys_unref(k);
			return error_wrap(err, "TLS on port %u", o->tls[i].port);
		}
	}
	*ret = k;
	return 0;
}

struct tls_keys *tls_keys_ref(struct tls_keys *k)
{
	k->refs++;
	return k;
}

void tls_keys_unref(struct tls_keys *k)
{
	if (!k || --k->refs)
		return;
	for (size_t i = 0; i < k->n; i++)
		key_fini(&k->keys[i]);
	free(k);
}

const struct tls_key *tls_keys_for(const struct tls_keys *k, struct span name)
{
	for (size_t i = 0; name.len && i < k->n; i++)
		if (ossl.X509_check_host(k->keys[i].cert, name.at, name.len, 0, NULL) == 1)
			return &k->keys[i];
	return &k->keys[0];
}

/* A name that a server can be asked for by: no wildcard, nor words. False: @text is none. */
static bool take_name(const void *text, int len, char ret[256])
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	char name[256] = "";

	if (len <= 0 || len > 255)
		return false;
	memcpy(name, text, (size_t)len);
	if (strspn(name, good) != (size_t)len)
		return false;
	memcpy(ret, name, sizeof(name));
	return true;
}

static bool take_alternative(const GENERAL_NAME *alternative, char ret[256])
{
	int type;
	const ASN1_STRING *name = ossl.GENERAL_NAME_get0_value(alternative, &type);
	int len = type == GEN_DNS || type == GEN_IPADD ? ossl.ASN1_STRING_length(name) : 0;
	const void *data = len ? ossl.ASN1_STRING_get0_data(name) : NULL;

	if (type == GEN_IPADD && (len == 4 || len == 16))
		return inet_ntop(len == 4 ? AF_INET : AF_INET6, data, ret, 256) != NULL;
	return type == GEN_DNS && take_name(data, len, ret);
}

/* The first name or address that a certificate is for; without any, what it is called. Nothing, when it is for wildcards alone. */
static void first_name(const char *text, char ret[256])
{
	BIO *bio = ossl.BIO_new_mem_buf(text, -1);
	X509 *cert = bio ? next_cert(bio) : NULL;
	GENERAL_NAMES *names = cert ? ossl.X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
	bool found = false;
	char common[256] = "";

	for (int i = 0; names && !found && i < ossl.OPENSSL_sk_num((const OPENSSL_STACK *)names); i++)
		found = take_alternative(ossl.OPENSSL_sk_value((const OPENSSL_STACK *)names, i), ret);
	if (cert && !names)
		take_name(common, ossl.X509_NAME_get_text_by_NID(ossl.X509_get_subject_name(cert), NID_commonName, common, sizeof(common)), ret);
	ossl.GENERAL_NAMES_free(names);
	if (cert)
		ossl.X509_free(cert);
	ossl.BIO_free(bio);
	ossl.ERR_clear_error();
}

int tls_delivery_init(struct tls_delivery *d, const struct tls_delivery_options *o, struct error *err)
{
	*d = (struct tls_delivery){ 0 };
	if (o->plain)
		return 0;
	d->program = context_new(err);
	if (!d->program)
		return -1;
	if (o->server_name)
		snprintf(d->server_name, sizeof(d->server_name), "%s", o->server_name);
	else if (o->cert)
		first_name(o->cert, d->server_name);
	d->any_name = o->cert && !*d->server_name;
	if ((o->roots && add_roots(d->program, o->roots, "tls_delivery.trust_roots", false, err) < 0) ||
	    (o->cert && add_roots(d->program, o->cert, "tls_delivery.server_cert", false, err) < 0)) {
		tls_delivery_fini(d);
		return -1;
	}
	if (o->roots || o->cert)
		ossl.SSL_CTX_set_verify(d->program, SSL_VERIFY_PEER, NULL);
	return 0;
}

void tls_delivery_fini(struct tls_delivery *d)
{
	if (d->program)
		ossl.SSL_CTX_free(d->program);
	*d = (struct tls_delivery){ 0 };
}
