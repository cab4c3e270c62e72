// SPDX-License-Identifier: MIT
/* Heads of messages.
 *
 * Smuggling lives from two parsers that see two different messages in the same bytes. So here is no leniency that another parser may not
 * have: a bare LF or CR, a NUL or another control character, white space before a colon, a folded line, a name that is no token, a length
 * twice or beside an encoding, an encoding other than plain "chunked": all that is H1_UNSAFE, and the connection goes to the real app
 * from there on, as it would without us. "Content_Length" is, too: some servers make it the same as Content-Length.
 *
 * Leniency that moves no boundary is fine: several spaces in a request line, any method in capitals, any bytes above 127. */
#include "http/h1.h"

#include <strings.h>

enum { METHOD_MAX = 32, LENGTH_DIGITS = 18 };

/* What a byte may be in. */
enum { TOKEN = 1, VALUE = 2, TARGET = 4, METHOD = 8 };

static uint8_t classes[256];

static void make_classes(void)
{
	for (int c = 0; c < 256; c++) {
		bool control = c < 0x20 || c == 0x7f;
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		classes[c] = (uint8_t)((letter || (c && strchr("!#$%&'*+-.^_`|~", c)) ? TOKEN : 0) | (!control || c == '\t' ? VALUE : 0) |
				       (!control && c != ' ' ? TARGET : 0) |
				       ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? METHOD : 0));
	}
}

/* The first byte that isn't of @class. */
static const uint8_t *span_class(const uint8_t *at, const uint8_t *end, uint8_t class)
{
	while (at < end && classes[*at] & class)
		at++;
	return at;
}

ssize_t h1_find_head(struct h1_scan *scan, const uint8_t *data, size_t len)
{
	size_t most = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;

	for (;;) {
		const uint8_t *lf = memchr(data + scan->seen, '\n', most - scan->seen);
		size_t at;

		if (!lf) {
			scan->seen = (uint32_t)most;
			return len >= HTTP_HEAD_MAX ? H1_TOO_LONG : 0;
		}
		at = (size_t)(lf - data);
		if (at == scan->line || lf[-1] != '\r')
			return H1_UNSAFE;
		if (at > scan->line + 1)
			scan->begun = true;
		else if (scan->begun)
			return (ssize_t)at + 1;
		scan->seen = scan->line = (uint32_t)at + 1;
	}
}

/* The head while it is read. */
struct reader {
	const uint8_t *at, *end;
	struct h1_message *message;
	struct h1_view *view;
	char *text; /* where the view's next line goes */
	unsigned int lengths, encodings;
	bool chunked, close, keep_alive, asks_upgrade, has_upgrade, http10;
};

/* The next line without its CRLF. h1_find_head() has seen to it that each LF has a CR before it. */
static struct span next_line(struct reader *r)
{
	const uint8_t *lf = memchr(r->at, '\n', (size_t)(r->end - r->at));
	struct span line = { (const char *)r->at, (size_t)(lf - r->at) - 1 };

	r->at = lf + 1;
	return line;
}

static bool is_name(const uint8_t *name, size_t len, const char *word)
{
	if (strlen(word) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = name[i];

		if (c >= 'A' && c <= 'Z')
			c |= 32;
		if (c != (uint8_t)word[i] && !(c == '_' && word[i] == '-'))
			return false;
	}
	return true;
}

static bool read_length(struct reader *r, struct span value)
{
	uint64_t n = 0;

	if (!value.len || value.len > LENGTH_DIGITS || r->lengths++)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(value.at[i] - '0');
	}
	r->message->length = n;
	return true;
}

static void read_connection(struct reader *r, struct span value)
{
	struct span member;

	while (span_split(&value, ',', &member)) {
		member = span_trim(member);
		r->close |= span_is(member, "close");
		r->keep_alive |= span_is(member, "keep-alive");
		r->asks_upgrade |= span_is(member, "upgrade");
	}
}

/* The fields that tell where a message ends and what comes behind it; the rest is of no interest here. */
static bool read_field(struct reader *r, const uint8_t *name, size_t len, struct span value)
{
	switch (len) {
	case 6:
		if (is_name(name, len, "expect") && span_is(value, "100-continue"))
			r->message->expects = true;
		break;
	case 7:
		if (is_name(name, len, "upgrade"))
			r->has_upgrade = true;
		break;
	case 10:
		if (is_name(name, len, "connection"))
			read_connection(r, value);
		break;
	case 14:
		if (is_name(name, len, "content-length"))
			return !memchr(name, '_', len) && read_length(r, value);
		break;
	case 17:
		if (is_name(name, len, "transfer-encoding")) {
			r->chunked = span_is(value, "chunked");
			return !memchr(name, '_', len) && r->chunked && !r->encodings++;
		}
		break;
	default:
		break;
	}
	return true;
}

static void show_field(struct reader *r, const uint8_t *name, size_t len, struct span value)
{
	struct http_request *request = &r->view->request;
	struct http_field *f = &r->view->fields[request->n_fields++];
	char *line = r->text;

	*f = (struct http_field){ line, (uint32_t)len, (uint32_t)(len + 2 + value.len) };
	for (size_t i = 0; i < len; i++)
		line[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 32 : name[i]);
	line[len] = ':';
	line[len + 1] = ' ';
	if (value.len)
		memcpy(line + len + 2, value.at, value.len);
	r->text += f->len;
	if (!request->authority.at && span_is(http_field_name(f), "host"))
		request->authority = http_field_value(f);
}

static bool read_fields(struct reader *r)
{
	for (struct span line = next_line(r); line.len; line = next_line(r)) {
		const uint8_t *name = (const uint8_t *)line.at, *end = name + line.len;
		const uint8_t *colon = span_class(name, end, TOKEN);
		struct span value;

		if (colon == name || colon == end || *colon != ':' || span_class(colon + 1, end, VALUE) != end)
			return false;
		value = span_trim((struct span){ (const char *)colon + 1, (size_t)(end - colon) - 1 });
		if (!read_field(r, name, (size_t)(colon - name), value))
			return false;
		if (r->view)
			show_field(r, name, (size_t)(colon - name), value);
	}
	return true;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static bool read_version(struct reader *r, struct span text)
{
	if (text.len != 8 || memcmp(text.at, "HTTP/1.", 7) != 0 || (text.at[7] != '0' && text.at[7] != '1'))
		return false;
	r->http10 = text.at[7] == '0';
	return true;
}

/* "http://host?query" has "/?query" for its path. */
static struct span target_behind(struct reader *r, struct span rest)
{
	char *text = r->text;

	if (!rest.len)
		return span_of("/");
	if (*rest.at == '/')
		return rest;
	*text = '/';
	memcpy(text + 1, rest.at, rest.len);
	r->text += 1 + rest.len;
	return (struct span){ text, 1 + rest.len };
}

/* The forms of RFC 9112 §3.2. */
static void show_target(struct reader *r, struct span target, bool connect)
{
	struct http_request *request = &r->view->request;
	const char *scheme = memmem(target.at, target.len, "://", 3), *end = target.at + target.len, *path;

	request->target = connect ? (struct span){ "", 0 } : target;
	request->authority = connect ? target : (struct span){ NULL, 0 };
	if (connect || *target.at == '/' || !scheme)
		return;
	for (path = scheme + 3; path < end && *path != '/' && *path != '?'; path++)
		;
	request->authority = (struct span){ scheme + 3, (size_t)(path - scheme) - 3 };
	request->target = target_behind(r, (struct span){ path, (size_t)(end - path) });
}

static bool read_request_line(struct reader *r)
{
	struct span line = next_line(r), method, target;
	const uint8_t *at, *end, *begin;

	while (!line.len)
		line = next_line(r);
	begin = (const uint8_t *)line.at;
	end = begin + line.len;
	at = span_class(begin, end, METHOD);
	method = (struct span){ line.at, (size_t)(at - begin) };
	if (!method.len || method.len > METHOD_MAX || at == end || *at != ' ')
		return false;
	while (at < end && *at == ' ')
		at++;
	begin = at;
	at = span_class(begin, end, TARGET);
	target = (struct span){ (const char *)begin, (size_t)(at - begin) };
	if (!target.len || at == end || *at != ' ')
		return false;
	while (at < end && *at == ' ')
		at++;
	if (!read_version(r, (struct span){ (const char *)at, (size_t)(end - at) }))
		return false;
	r->message->connect = span_equal(method, span_of("CONNECT"));
	r->message->head = span_equal(method, span_of("HEAD"));
	if (r->view) {
		r->view->request.method = method;
		show_target(r, target, r->message->connect);
	}
	return true;
}

/* "HTTP/1.1 200 OK"; the reason may be missing, with its space or without. */
static bool read_status_line(struct reader *r)
{
	struct span line = next_line(r);
	const char *s = line.at;

	if (line.len < 12 || !read_version(r, (struct span){ s, 8 }) || s[8] != ' ' || (line.len > 12 && s[12] != ' '))
		return false;
	for (int i = 9; i < 12; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		r->message->status = (uint16_t)(r->message->status * 10 + (s[i] - '0'));
	}
	return r->message->status >= 100 &&
	       span_class((const uint8_t *)s + 12, (const uint8_t *)s + line.len, VALUE) == (const uint8_t *)s + line.len;
}

static void begin(struct reader *r, const uint8_t *head, size_t len, struct h1_message *message)
{
	if (!classes['a'])
		make_classes();
	*message = (struct h1_message){ .framing = H1_EMPTY };
	*r = (struct reader){ .at = head, .end = head + len, .message = message };
}

int h1_parse_request(const uint8_t *head, size_t len, struct h1_message *ret, struct h1_view *view)
{
	struct h1_message m;
	struct reader r;

	begin(&r, head, len, &m);
	if (view) {
		r.view = view;
		r.text = view->text;
		view->request = (struct http_request){ .fields = view->fields };
	}
	if (!read_request_line(&r) || !read_fields(&r) || (r.encodings && (r.lengths || r.http10)))
		return H1_UNSAFE;
	if (m.connect && (r.encodings || r.lengths))
		return H1_UNSAFE; /* is it a body, or the other protocol's first bytes? */
	if (r.chunked)
		m.framing = H1_CHUNKED;
	else if (m.length)
		m.framing = H1_LENGTH;
	m.last = r.http10 ? !r.keep_alive || r.close : r.close;
	m.upgrade = m.connect || (r.asks_upgrade && r.has_upgrade);
	*ret = m;
	return 0;
}

int h1_parse_response(const uint8_t *head, size_t len, const struct h1_message *request, struct h1_message *ret)
{
	struct h1_message m;
	struct reader r;

	begin(&r, head, len, &m);
	if (!read_status_line(&r) || !read_fields(&r) || (r.encodings && (r.lengths || r.http10)))
		return H1_UNSAFE;
	m.last = r.http10 ? !r.keep_alive || r.close : r.close;
	if (m.status == 101 || (request->connect && m.status / 100 == 2))
		m.upgrade = true;
	else if (m.status < 200 || m.status == 204 || m.status == 304 || request->head)
		m.length = 0;
	else if (r.chunked)
		m.framing = H1_CHUNKED;
	else if (r.lengths)
		m.framing = m.length ? H1_LENGTH : H1_EMPTY;
	else
		m.framing = H1_UNTIL_CLOSE;
	*ret = m;
	return 0;
}
