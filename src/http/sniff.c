// SPDX-License-Identifier: MIT
/* HTTP/1 from its request line, as early as the bytes can't be anything else's: methods are capitals, and a target begins with one of a
 * few characters. A protocol whose clients send "hello" and then wait for an answer gets one. */
#include "http/sniff.h"

#include <strings.h>

#include "net/bytes.h"

const char SNIFF_HTTP2_PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum { METHOD_MAX = 32 };

static size_t skip_empty_lines(const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (len - at >= 2 && data[at] == '\r' && data[at + 1] == '\n')
		at += 2;
	return at;
}

static bool in_method(uint8_t c, size_t at)
{
	return (c >= 'A' && c <= 'Z') || (at > 0 && ((c >= '0' && c <= '9') || c == '-' || c == '_'));
}

/* Can @text go on as one of the ways an absolute target begins? */
static bool begins_absolute(const uint8_t *text, size_t len)
{
	static const char *const schemes[] = { "http://", "https://", "ws://", "wss://" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t n = strlen(schemes[i]);

		if (strncasecmp((const char *)text, schemes[i], len < n ? len : n) == 0)
			return true;
	}
	return false;
}

static bool ends_with_version(const uint8_t *line, size_t len)
{
	return len >= 9 && memcmp(line + len - 9, " HTTP/1.", 8) == 0 && (line[len - 1] == '0' || line[len - 1] == '1');
}

static enum sniff sniff_http1(const uint8_t *data, size_t len)
{
	const uint8_t *lf;
	size_t at = 0;
	bool connect;

	while (at < len && at <= METHOD_MAX && in_method(data[at], at))
		at++;
	if (at == len)
		return at <= METHOD_MAX ? SNIFF_MORE : SNIFF_NEITHER;
	if (at == 0 || at > METHOD_MAX || data[at] != ' ')
		return SNIFF_NEITHER;
	connect = at == 7 && memcmp(data, "CONNECT", 7) == 0;
	while (at < len && data[at] == ' ')
		at++;
	if (at < len && !connect && data[at] != '/' && data[at] != '*' && !begins_absolute(data + at, len - at))
		return SNIFF_NEITHER;
	lf = memchr(data + at, '\n', len - at);
	if (!lf)
		return len < HTTP_HEAD_MAX ? SNIFF_MORE : SNIFF_NEITHER;
	return lf > data + at && lf[-1] == '\r' && ends_with_version(data, (size_t)(lf - data) - 1) ? SNIFF_HTTP1 : SNIFF_NEITHER;
}

enum sniff sniff_client(const uint8_t *data, size_t len)
{
	size_t at = skip_empty_lines(data, len), most = len < SNIFF_PREFACE ? len : SNIFF_PREFACE;

	if (len == 0)
		return SNIFF_MORE;
	if (data[0] == 0x16) /* a handshake record of SSL 3 to TLS 1.3, whose first version byte is 3 */
		return len < 2 ? SNIFF_MORE : data[1] == 3 ? SNIFF_TLS : SNIFF_NEITHER;
	if (memcmp(data, SNIFF_HTTP2_PREFACE, most) == 0 && most > 3)
		return most == SNIFF_PREFACE ? SNIFF_HTTP2 : SNIFF_MORE;
	if (at == len || (at + 1 == len && data[at] == '\r'))
		return len < HTTP_HEAD_MAX ? SNIFF_MORE : SNIFF_NEITHER;
	return sniff_http1(data + at, len - at);
}

/* Length, a multiple of 6; type 4; no flags; stream 0. */
bool sniff_server_is_http2(const uint8_t *data, size_t len)
{
	static const uint8_t rest[] = { 4, 0, 0, 0, 0, 0 };

	for (size_t i = 0; i < len && i < SNIFF_SETTINGS; i++)
		if (i < 2 ? data[i] != 0 : i > 2 && data[i] != rest[i - 3])
			return false;
	return len < 3 || data[2] % 6 == 0;
}

/* Puts the handshake message together from its records. Returns its bytes so far, or -1. */
static ssize_t join_records(const uint8_t *data, size_t len, uint8_t *out, size_t size)
{
	size_t at = 0, n = 0;

	while (len - at >= 5) {
		size_t body = get16(data + at + 3), have = len - at - 5 < body ? len - at - 5 : body;

		if (data[at] != 0x16 || data[at + 1] != 3 || body == 0)
			return n >= 4 ? (ssize_t)n : -1;
		if (n + have > size)
			have = size - n;
		memcpy(out + n, data + at + 5, have);
		n += have;
		if (have < body)
			break;
		at += 5 + body;
	}
	return (ssize_t)n;
}

/* Bytes that are read front to back; reading beyond the end makes it bad. */
struct reader {
	const uint8_t *at, *end;
	bool bad;
};

static struct reader take(struct reader *r, size_t n)
{
	struct reader part = { r->at, r->at, false };

	if ((size_t)(r->end - r->at) < n) {
		r->bad = part.bad = true;
		return part;
	}
	part.end = r->at += n;
	return part;
}

static size_t number(struct reader *r, size_t bytes)
{
	struct reader part = take(r, bytes);
	size_t n = 0;

	while (part.at < part.end)
		n = n << 8 | *part.at++;
	return n;
}

static void read_sni(struct reader extension, struct tls_hello *ret)
{
	struct reader list = take(&extension, number(&extension, 2));

	while (list.at < list.end && !list.bad) {
		size_t type = number(&list, 1);
		struct reader name = take(&list, number(&list, 2));

		if (type == 0 && !name.bad) {
			ret->sni = (struct span){ (const char *)name.at, (size_t)(name.end - name.at) };
			return;
		}
	}
}

int sniff_tls_hello(const uint8_t *data, size_t len, struct tls_hello *ret)
{
	ssize_t n = join_records(data, len, ret->text, sizeof(ret->text));
	struct reader r = { ret->text, ret->text + (n > 0 ? n : 0), false }, body, extensions;

	ret->sni = ret->alpn = (struct span){ "", 0 };
	if (n < 0 || (n > 0 && ret->text[0] != 1))
		return -1;
	if (n < 4)
		return 0;
	number(&r, 1);
	body = take(&r, number(&r, 3));
	if (body.bad)
		return (size_t)n == sizeof(ret->text) ? -1 : 0;
	take(&body, 2 + 32);		      /* version, random */
	take(&body, number(&body, 1));	      /* session */
	take(&body, number(&body, 2));	      /* ciphers */
	take(&body, number(&body, 1));	      /* compression */
	if (body.at == body.end && !body.bad) /* no extensions at all */
		return 1;
	extensions = take(&body, number(&body, 2));
	while (extensions.at < extensions.end && !extensions.bad) {
		size_t type = number(&extensions, 2);
		struct reader extension = take(&extensions, number(&extensions, 2));

		if (type == 0) {
			read_sni(extension, ret);
		} else if (type == 16) {
			struct reader list = take(&extension, number(&extension, 2));

			ret->alpn = (struct span){ (const char *)list.at, (size_t)(list.end - list.at) };
		}
	}
	return body.bad || extensions.bad ? -1 : 1;
}
