// SPDX-License-Identifier: MIT
/* Reading forwardings: fields between colons, from the right. */
#include "forward/rule.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "config/address_rule.h"

enum { FIELDS = 4, TEXT_MAX = 512 };

struct fields {
	char text[TEXT_MAX];
	char *at[FIELDS];
	size_t n;
};

/* Cuts at colons outside of brackets, which are taken away. */
static bool split(struct fields *f, size_t max)
{
	char *p = f->text;

	for (f->n = 0;; p++) {
		bool bracket = *p == '[';
		char *end;

		if (f->n == max)
			return false;
		p += bracket;
		end = bracket ? strchr(p, ']') : p + strcspn(p, ":");
		if (!end || end == p)
			return false;
		f->at[f->n++] = p;
		p = end;
		if (bracket) {
			*p++ = '\0';
			if (!strchr(f->at[f->n - 1], ':'))
				return false;
		}
		if (!*p)
			return true;
		if (*p != ':')
			return false;
		*p = '\0';
	}
}

static bool read_port(const char *text, bool zero, uint16_t *ret)
{
	unsigned long n = 0;

	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9' || p - text > 4)
			return false;
		n = n * 10 + (unsigned long)(*p - '0');
	}
	if (n > UINT16_MAX || (!n && !zero))
		return false;
	*ret = (uint16_t)n;
	return true;
}

static bool read_host(const char *text, char ret[FORWARD_HOST_MAX + 1])
{
	struct dns_name name;
	struct ip ip;

	if (strlen(text) > FORWARD_HOST_MAX || (!ip_parse(text, &ip) && (strchr(text, ':') || !address_name_to_dns(text, &name))))
		return false;
	strcpy(ret, text);
	return true;
}

/* Where to listen here; "*" is every address. */
static bool read_listen(const char *text, struct ip *ret)
{
	if (strcmp(text, "*") == 0) {
		*ret = IP_ANY6;
		return true;
	}
	return ip_parse(strcmp(text, "localhost") == 0 ? "127.0.0.1" : text, ret);
}

static bool read_local(const struct fields *f, struct forward_rule *r)
{
	char *const *last = f->at + f->n - 1;

	return f->n >= 2 && read_port(*last, false, &r->port) && read_host(last[-1], r->host) &&
	       read_port(f->n >= 3 ? last[-2] : *last, true, &r->listen.port) && read_listen(f->n == 4 ? f->at[0] : "127.0.0.1", &r->listen.ip);
}

static bool read_remote(const struct fields *f, struct forward_rule *r)
{
	r->listen.ip = IP_ANY6;
	return read_port(f->at[f->n - 1], false, &r->port) && read_port(f->at[0], false, &r->listen.port) &&
	       read_host(f->n == 3 ? f->at[1] : "localhost", r->host);
}

/* Takes "/udp" off the end. */
static bool take_protocol(char *text, int *ret)
{
	char *slash = strrchr(text, '/');

	*ret = IPPROTO_TCP;
	if (!slash)
		return true;
	*slash++ = '\0';
	*ret = strcmp(slash, "udp") == 0 ? IPPROTO_UDP : IPPROTO_TCP;
	return *ret == IPPROTO_UDP || strcmp(slash, "tcp") == 0;
}

int forward_rule_parse(bool remote, const char *text, struct forward_rule *ret, struct error *err)
{
	struct forward_rule r = { .remote = remote };
	struct fields f = { .n = 0 };

	if (strlen(text) < sizeof(f.text)) {
		strcpy(f.text, text);
		if (take_protocol(f.text, &r.protocol) && split(&f, remote ? 3 : FIELDS) && (remote ? read_remote(&f, &r) : read_local(&f, &r))) {
			*ret = r;
			return 0;
		}
	}
	error_set(err, 0, "-%c %s can't be understood", remote ? 'R' : 'L', text);
	if (remote)
		return error_hint(err, "it is [TARGET_PORT:[HOST:]]PORT with /udp behind it or nothing, for example 80:localhost:8080");
	return error_hint(err, "it is [[ADDRESS:]LOCAL_PORT:]HOST:PORT with /udp behind it or nothing, IPv6 addresses in brackets, for example "
			       "8080:payment-service:80");
}

bool forward_rule_clashes(const struct forward_rule *a, const struct forward_rule *b)
{
	return a->remote == b->remote && a->protocol == b->protocol && a->listen.port && endpoint_equal(&a->listen, &b->listen);
}

const char *forward_rule_format(const struct forward_rule *r, char buf[FORWARD_RULE_TEXT])
{
	const char *protocol = r->protocol == IPPROTO_UDP ? " (UDP)" : "";
	bool v6 = strchr(r->host, ':') != NULL;
	char listen[ENDPOINT_TEXT];
	const char *before = v6 ? "[" : "", *behind = v6 ? "]" : "";

	if (r->remote)
		snprintf(buf, FORWARD_RULE_TEXT, "port %u of the target%s leads to %s%s%s:%u here", r->listen.port, protocol, before, r->host,
			 behind, r->port);
	else
		snprintf(buf, FORWARD_RULE_TEXT, "%s%s leads to %s%s%s:%u in the target", endpoint_format(&r->listen, listen), protocol, before,
			 r->host, behind, r->port);
	return buf;
}
