// SPDX-License-Identifier: MIT
/* What a connection speaks, by the first bytes that its client sends. Pure; bytes are given from the start each time, with more behind
 * them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "http/request.h"

enum sniff { SNIFF_MORE, SNIFF_HTTP1, SNIFF_HTTP2, SNIFF_TLS, SNIFF_NEITHER };

/* Says SNIFF_MORE only while the bytes can still become HTTP: other protocols aren't held up. HTTP/1 is known when the request line is
 * there, HTTP/2 by its preface (RFC 9113 §3.4), TLS by the record header. */
enum sniff sniff_client(const uint8_t *data, size_t len);

/* Can these first bytes of a server's be HTTP/2's? Such a server may speak before its client, with a SETTINGS frame. */
bool sniff_server_is_http2(const uint8_t *data, size_t len);
enum { SNIFF_SETTINGS = 9 };

enum { SNIFF_PREFACE = 24 };
extern const char SNIFF_HTTP2_PREFACE[];

/* What a ClientHello asks for (RFC 6066 §3, RFC 7301); both empty when it doesn't. @alpn is the list as it stands: names with a byte of
 * length before each. They point into @text. */
struct tls_hello {
	struct span sni, alpn;
	uint8_t text[8192]; /* the hello without its record headers */
};
/* Returns 1 when the hello is all there, 0 for more, -1 when it is none, or longer than @text. */
int sniff_tls_hello(const uint8_t *data, size_t len, struct tls_hello *ret);
