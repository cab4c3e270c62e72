// SPDX-License-Identifier: MIT
/* The grammar of a filter's entries, and what one of them matches. */
#include "config/address_rule.h"

#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

const char *address_rule_error(enum rule_error e)
{
	static const char *const texts[] = {
		[RULE_OK] = "nothing is wrong",
		[RULE_BAD_PROTOCOL] = "the protocol is tcp://, udp:// or any://",
		[RULE_BAD_HOST] = "expected a name, an address or `:port`",
		[RULE_BAD_NAME] = ("a name is labels of 1 to 63 letters, digits, `-`, `_` or `*` with dots between; `**` is a whole label, twice at "
				   "most"),
		[RULE_BAD_BRACKET] = "expected an IPv6 address between `[` and `]`",
		[RULE_NAME_WITH_PREFIX] = "a prefix length stands behind an address, not behind a name",
		[RULE_BAD_PREFIX] = "a prefix length is 0 to 32 for IPv4 and 0 to 128 for IPv6",
		[RULE_BAD_PORT] = "a port is a number from 0 to 65535",
		[RULE_BAD_RANGE] = "a range of ports goes from a lower one, at least 1, to a higher one",
		[RULE_TRAILING] = "this is too much: an entry is [protocol://][host][/prefix][:port[-port]]",
		[RULE_TOO_LONG] = "an entry is at most 299 bytes long",
	};

	return texts[e];
}

struct reader {
	const char *text, *p;
	bool v6; /* written as an IPv6 address, though it may be a mapped one */
	struct address_rule rule;
};

static enum rule_error protocol(struct reader *r)
{
	static const struct {
		const char *name;
		int protocol;
	} names[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "any", 0 } };
	const char *end = strstr(r->p, "://");

	if (!end)
		return RULE_OK;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((size_t)(end - r->p) != strlen(names[i].name) || strncasecmp(r->p, names[i].name, strlen(names[i].name)) != 0)
			continue;
		r->rule.protocol = names[i].protocol;
		r->p = end + 3;
		return RULE_OK;
	}
	return RULE_BAD_PROTOCOL;
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_' || c == '*';
}

static bool set_ip(struct reader *r, const char *text, size_t len)
{
	char copy[64];

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!ip_parse(copy, &r->rule.prefix))
		return false;
	r->v6 = strchr(copy, ':');
	r->rule.host = RULE_PREFIX;
	r->rule.len = 128;
	return true;
}

/* "**" is a whole label, twice at most, which bounds how many ways there are to try; the others are of 1 to 63 bytes, and all fit a name. */
static bool good_name(const char *name)
{
	size_t total = 0, deep = 0;

	for (const char *p = name;; p++) {
		size_t len = strcspn(p, ".");

		total += len + 1;
		if (len == 0 || len > 63 || total > 254)
			return false;
		if (memmem(p, len, "**", 2) && (len != 2 || ++deep > 2))
			return false;
		p += len;
		if (!*p)
			return true;
	}
}

static enum rule_error name(struct reader *r)
{
	size_t len = 0;

	while (is_name_char(r->p[len]))
		len++;
	if (set_ip(r, r->p, len)) {
		r->p += len;
		return RULE_OK;
	}
	if (len == 0)
		return RULE_BAD_HOST;
	if (len >= sizeof(r->rule.name))
		return RULE_BAD_NAME;
	for (size_t i = 0; i < len; i++)
		r->rule.name[i] = (char)tolower((unsigned char)r->p[i]);
	if (len > 1 && r->rule.name[len - 1] == '.')
		r->rule.name[len - 1] = '\0';
	if (!good_name(r->rule.name))
		return RULE_BAD_NAME;
	r->rule.host = RULE_NAME;
	r->p += len;
	return RULE_OK;
}

/* An IPv6 address may stand without brackets when the rest is nothing but it and its prefix length. */
static bool bare_ipv6(struct reader *r)
{
	size_t len = strcspn(r->p, "/");
	const char *colon = strchr(r->p, ':');

	if (!colon || !strchr(colon + 1, ':') || strspn(r->p, "0123456789abcdefABCDEF:.") != len || !set_ip(r, r->p, len))
		return false;
	r->p += len;
	return true;
}

static enum rule_error host(struct reader *r)
{
	const char *end;

	if (*r->p == '[') {
		end = strchr(r->p, ']');
		if (!end || !memchr(r->p, ':', (size_t)(end - r->p)) || !set_ip(r, r->p + 1, (size_t)(end - r->p) - 1))
			return RULE_BAD_BRACKET;
		r->p = end + 1;
		return RULE_OK;
	}
	if (*r->p == '\0' || bare_ipv6(r))
		return RULE_OK;
	return *r->p == ':' ? RULE_OK : name(r);
}

/* A decimal number of at most @most. */
static bool number(struct reader *r, unsigned int most, unsigned int *ret)
{
	unsigned int v = 0;

	if (!isdigit((unsigned char)*r->p))
		return false;
	for (; isdigit((unsigned char)*r->p); r->p++) {
		v = v * 10 + (unsigned int)(*r->p - '0');
		if (v > most)
			return false;
	}
	*ret = v;
	return true;
}

static void mask(struct address_rule *rule)
{
	for (unsigned int bit = rule->len; bit < 128; bit++)
		rule->prefix.b[bit / 8] &= (uint8_t)(0xff ^ 0x80 >> bit % 8);
}

static enum rule_error prefix(struct reader *r)
{
	bool v4 = !r->v6;
	unsigned int len;

	if (*r->p != '/')
		return RULE_OK;
	if (r->rule.host != RULE_PREFIX)
		return r->rule.host == RULE_NAME ? RULE_NAME_WITH_PREFIX : RULE_BAD_HOST;
	r->p++;
	if (!number(r, v4 ? 32 : 128, &len))
		return RULE_BAD_PREFIX;
	r->rule.len = (uint8_t)(len + (v4 ? 96 : 0));
	mask(&r->rule);
	return RULE_OK;
}

static enum rule_error ports(struct reader *r)
{
	unsigned int low, high;

	r->rule.high = UINT16_MAX;
	if (*r->p != ':')
		return RULE_OK;
	r->p++;
	if (!number(r, UINT16_MAX, &low))
		return RULE_BAD_PORT;
	high = low;
	if (*r->p == '-') {
		r->p++;
		if (!number(r, UINT16_MAX, &high) || low == 0 || high < low)
			return RULE_BAD_RANGE;
	}
	if (high == 0)
		return RULE_OK;
	r->rule.low = (uint16_t)low;
	r->rule.high = (uint16_t)high;
	return RULE_OK;
}

enum rule_error address_rule_parse(const char *text, struct address_rule *ret, unsigned int *ret_at)
{
	static enum rule_error (*const parts[])(struct reader *) = { protocol, host, prefix, ports };
	struct reader r = { .text = text, .p = text };
	enum rule_error e = strlen(text) >= ADDRESS_RULE_TEXT ? RULE_TOO_LONG : RULE_OK;

	for (size_t i = 0; e == RULE_OK && i < sizeof(parts) / sizeof(parts[0]); i++)
		e = parts[i](&r);
	if (e == RULE_OK && *r.p)
		e = RULE_TRAILING;
	if (e != RULE_OK) {
		*ret_at = (unsigned int)(r.p - text);
		return e;
	}
	/* The unspecified address is any address, of either family. */
	if (r.rule.host == RULE_PREFIX && r.rule.len == 128 && ip_is_any(&r.rule.prefix))
		r.rule.host = RULE_ANY;
	*ret = r.rule;
	return RULE_OK;
}

bool address_rule_has_wildcard(const struct address_rule *r)
{
	return r->host == RULE_NAME && strchr(r->name, '*');
}

bool address_rule_port_matches(const struct address_rule *r, int protocol, uint16_t port)
{
	if (r->protocol && r->protocol != protocol)
		return false;
	return port >= r->low && port <= r->high && (r->low == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_UDP);
}

bool address_rule_ip_matches(const struct address_rule *r, const struct ip *ip)
{
	/* ::/0 is IPv6 alone, though IPv4 stands within it here. */
	if (r->len < 96 && ip_is_v4(ip))
		return false;
	return ip_in_prefix(ip, &r->prefix, ip_is_v4(ip) ? r->len - 96u : r->len);
}

bool address_label_matches(const char *pattern, size_t pattern_len, const uint8_t *label, size_t len)
{
	size_t p = 0, l = 0, star = SIZE_MAX, mark = 0;

	while (l < len) {
		if (p < pattern_len && pattern[p] == '*') {
			star = p++;
			mark = l;
		} else if (p < pattern_len && pattern[p] == (char)tolower(label[l])) {
			p++;
			l++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			l = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern_len && pattern[p] == '*')
		p++;
	return p == pattern_len;
}

/* Where each label of a name begins; returns how many. */
static size_t labels_of(const struct dns_name *n, uint8_t at[128])
{
	size_t count = 0;

	for (size_t i = 0; i + 1 < n->len && n->wire[i]; i += n->wire[i] + 1u)
		at[count++] = (uint8_t)i;
	return count;
}

/* From the left; `**` tries every number of labels. */
static bool match_from(const char *pattern, const struct dns_name *n, const uint8_t *at, size_t count)
{
	size_t len = strcspn(pattern, ".");
	const char *rest = pattern[len] ? pattern + len + 1 : NULL;

	if (len == 2 && pattern[0] == '*' && pattern[1] == '*') {
		for (size_t taken = 1; taken <= count; taken++)
			if (rest ? match_from(rest, n, at + taken, count - taken) : taken == count)
				return true;
		return false;
	}
	if (count == 0 || !address_label_matches(pattern, len, n->wire + at[0] + 1, n->wire[at[0]]))
		return false;
	return rest ? match_from(rest, n, at + 1, count - 1) : count == 1;
}

bool address_rule_name_matches(const struct address_rule *r, const struct dns_name *name)
{
	uint8_t at[128];

	return match_from(r->name, name, at, labels_of(name, at));
}

bool address_name_to_dns(const char *text, struct dns_name *ret)
{
	struct dns_name n = { 0 };
	size_t at = 0;

	for (const char *p = text; *p;) {
		size_t len = strcspn(p, ".");

		if (len == 0 || len > 63 || at + len + 2 > sizeof(n.wire))
			return false;
		n.wire[at] = (uint8_t)len;
		memcpy(n.wire + at + 1, p, len);
		at += len + 1;
		p += len + (p[len] == '.');
	}
	n.len = (uint8_t)(at + 1);
	*ret = n;
	return at > 0;
}
