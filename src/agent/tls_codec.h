// SPDX-License-Identifier: MIT
/* TLS of one connection, behind its handshake, without the socket: records in, bytes out, and the other way round. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "relay/backlog.h"

struct tls_codec;
struct ssl_st;

enum {
	TLS_RECORD = 16 << 10, /* the most that one record holds */
	TLS_PIECE = 128 << 10, /* tls_codec_seal()'s */
};

/* Owns @ssl, whose handshake is done. NULL without memory; @ssl is freed then. */
struct tls_codec *tls_codec_new(struct ssl_st *ssl);
/* NULL is none. */
void tls_codec_free(struct tls_codec *c);
/* Becomes what it was made of, which wants a socket again; owned by the caller. What is early is lost. */
struct ssl_st *tls_codec_undo(struct tls_codec *c);

/* All of @wire is taken. Returns how many bytes of plain text are in @ret, which has room for @len and a record, or -1: the peer broke the rules,
 * or said that we did. What came before that is returned first. */
ssize_t tls_codec_open(struct tls_codec *c, const uint8_t *wire, size_t len, uint8_t *ret, size_t room);
/* Was TLS's own end received? Nothing comes any more. */
bool tls_codec_has_ended(const struct tls_codec *c);
/* Is -1 what it says from now on? */
bool tls_codec_has_failed(const struct tls_codec *c);
/* Records of TLS_PIECE bytes at most. Returns them, and with NULL what the codec has to say by itself; valid until the next call of any codec's.
 * *ret_len is 0 when there is nothing, or on an error (no memory). */
const uint8_t *tls_codec_seal(struct tls_codec *c, const void *data, size_t len, size_t *ret_len);
/* The same with TLS's own end; nothing the second time. */
const uint8_t *tls_codec_seal_end(struct tls_codec *c, size_t *ret_len);

/* What it was given isn't whole: TLS's own end will not be said. */
void tls_codec_cut(struct tls_codec *c);

/* Plain text that was decrypted before anybody wanted to have it. */
struct backlog *tls_codec_early(struct tls_codec *c);
