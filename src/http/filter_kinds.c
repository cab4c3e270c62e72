// SPDX-License-Identifier: MIT
/* The kinds of conditions: what may stand in their place in the configuration, and what of a request they look at.
 *
 * A request whose body isn't there yet gets HTTP_NEEDS_BODY from a condition on the body; the composite ones pass that on only where the
 * others don't decide. So a body is waited for as seldom as can be. The same with HTTP_NEEDS_ANSWERS, of a jq program that was asked: it comes
 * before the body, which may not be needed then. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "http/filter_internal.h"
#include "http/json_text.h"

enum { WHERE = 512 };

static enum http_verdict verdict(bool yes)
{
	return yes ? HTTP_YES : HTTP_NO;
}

/* A search, with the count of those that were given up. */
static bool matches(struct http_filter *f, const struct regex *r, struct span subject)
{
	bool before = f->budget.spent;
	int found = regex_budget_is_spent(&f->budget) ? REGEX_TOO_LONG : regex_search(r, subject);

	if (found == REGEX_TOO_LONG && !before)
		f->trouble.regex++;
	return found == 1;
}

static int compile_regex(const json_t *text, const char *where, unsigned int flags, struct regex **ret, struct error *err)
{
	struct span pattern = { json_string_value(text), json_string_length(text) };

	if (!json_is_string(text))
		return error_set(err, 0, "%s: a regular expression must stand here, in quotes", where);
	if (!pattern.len)
		return error_set(err, 0, "%s: HTTP filter cannot be an empty string", where);
	*ret = regex_compile(pattern, flags, err);
	return *ret ? 0 : error_wrap(err, "%s: regular expression \"%.400s\"", where, pattern.at);
}

static int compile_caseless(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	return compile_regex(value, where, REGEX_CASELESS, &c->regex, err);
}

/* all_of, any_of, not */

static enum http_verdict match_all(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	enum http_verdict all = HTTP_YES;

	for (const struct condition *one = c->first; one && all != HTTP_NO; one = one->next) {
		enum http_verdict v = condition_match(f, one, r);

		if (v == HTTP_NO || v > all)
			all = v;
	}
	return all;
}

static enum http_verdict match_any(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	enum http_verdict any = HTTP_NO;

	for (const struct condition *one = c->first; one && any != HTTP_YES; one = one->next) {
		enum http_verdict v = condition_match(f, one, r);

		if (v == HTTP_YES || v > any)
			any = v;
	}
	return any;
}

static int compile_not(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	c->first = condition_compile(value, where, false, err);
	return c->first ? 0 : -1;
}

static enum http_verdict match_not(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	enum http_verdict v = condition_match(f, c->first, r);

	return v > HTTP_YES ? v : verdict(v == HTTP_NO);
}

/* header, and jq on headers */

static int compile_jq(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	struct span text = { json_string_value(value), json_string_length(value) };

	if (!json_is_string(value))
		return error_set(err, 0, "%s: a jq program must stand here, in quotes", where);
	if (!text.len)
		return error_set(err, 0, "%s: HTTP filter cannot be an empty string", where);
	c->jq = jq_compile_text(text, err);
	return c->jq ? 0 : error_wrap(err, "%s", where);
}

static enum http_verdict match_jq(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	int found = r->asks_nobody ? JQ_PENDING :
		    r->answers	   ? jq_ask(c->jq, r->answers, r->fields, r->n_fields) :
				     jq_any(c->jq, r->fields, r->n_fields);

	if (found == JQ_PENDING)
		return HTTP_NEEDS_ANSWERS;
	if (found == JQ_TROUBLE)
		f->trouble.jq++;
	return verdict(found == 1);
}

static int compile_header(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	char inner[WHERE];

	if (!json_is_object(value))
		return compile_caseless(c, value, where, err);
	if (json_object_size(value) != 1 || !json_object_get(value, "query"))
		return error_set(err, 0, "%s: a regular expression or {\"query\": \"jq program\"} must stand here", where);
	snprintf(inner, sizeof(inner), "%s.query", where);
	return compile_jq(c, json_object_get(value, "query"), inner, err);
}

static enum http_verdict match_header(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	if (c->jq)
		return match_jq(f, c, r);
	for (size_t i = 0; i < r->n_fields; i++)
		if (matches(f, c->regex, (struct span){ r->fields[i].line, r->fields[i].len }))
			return HTTP_YES;
	return HTTP_NO;
}

/* path, host, sni, alpn, client */

static enum http_verdict match_path(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	struct span rest = r->target, path;

	if (!r->target.len || !span_split(&rest, '?', &path))
		return HTTP_NO;
	return verdict(matches(f, c->regex, path) || (rest.at && matches(f, c->regex, r->target)));
}

/* Without the port. */
static struct span host_of(struct span authority)
{
	const char *bracket = authority.len && *authority.at == '[' ? memchr(authority.at, ']', authority.len) : NULL;
	const char *begin = bracket ? bracket : authority.at;
	const char *colon = begin ? memchr(begin, ':', authority.len - (size_t)(begin - authority.at)) : NULL;

	return colon ? (struct span){ authority.at, (size_t)(colon - authority.at) } : authority;
}

static enum http_verdict match_host(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	struct span host = host_of(r->authority);

	return verdict(matches(f, c->regex, host) || (host.len < r->authority.len && matches(f, c->regex, r->authority)));
}

static enum http_verdict match_sni(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	return verdict(r->sni.len && matches(f, c->regex, r->sni));
}

static enum http_verdict match_alpn(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	for (struct span rest = r->alpn; rest.len;) {
		struct span name = { rest.at + 1, (uint8_t)*rest.at };

		if (name.len >= rest.len)
			return HTTP_NO;
		if (matches(f, c->regex, name))
			return HTTP_YES;
		rest = (struct span){ name.at + name.len, rest.len - 1 - name.len };
	}
	return HTTP_NO;
}

static int compile_network(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	struct network *n = &c->networks[c->n_networks];
	const char *text = json_is_string(value) ? json_string_value(value) : "", *slash = strchr(text, '/');
	char address[IP_TEXT], *end = NULL;
	unsigned long len = 0;

	snprintf(address, sizeof(address), "%.*s", slash ? (int)(slash - text) : (int)sizeof(address), text);
	if (slash && slash[1] >= '0' && slash[1] <= '9')
		len = strtoul(slash + 1, &end, 10);
	if (!ip_parse(address, &n->prefix) || (slash && (!end || *end)) || len > (ip_is_v4(&n->prefix) ? 32 : 128))
		return error_set(err, 0, "%s: \"%s\" is no address and no network like 10.0.0.0/8", where, text);
	n->len = slash ? (unsigned int)len : ip_is_v4(&n->prefix) ? 32 : 128;
	c->n_networks++;
	return 0;
}

/* One, or a list. */
static int compile_client(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	size_t n = json_is_array(value) ? json_array_size(value) : 1;

	if (!n)
		return error_set(err, 0, "%s: the list is empty", where);
	c->networks = calloc(n, sizeof(*c->networks));
	if (!c->networks)
		return error_set(err, ENOMEM, "compile a filter");
	if (!json_is_array(value))
		return compile_network(c, value, where, err);
	for (size_t i = 0; i < n; i++)
		if (compile_network(c, json_array_get(value, i), where, err) < 0)
			return -1;
	return 0;
}

static enum http_verdict match_client(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	for (size_t i = 0; i < c->n_networks; i++)
		if (ip_in_prefix(&r->client, &c->networks[i].prefix, c->networks[i].len))
			return HTTP_YES;
	return HTTP_NO;
}

/* method, gRPC */

static int set_word(struct condition *c, size_t i, const json_t *value, const char *where, struct error *err)
{
	const char *text = json_string_value(value);

	if (value && !text)
		return error_set(err, 0, "%s: a word must stand here, in quotes", where);
	if (value && !*text)
		return error_set(err, 0, "%s: HTTP filter cannot be an empty string", where);
	c->words[i] = strdup(text ? text : "");
	return c->words[i] ? 0 : error_set(err, ENOMEM, "compile a filter");
}

/* RFC 9110 §5.6.2: no request has another. Lists in one word are what is mostly meant then. */
static int set_method(struct condition *c, size_t i, const json_t *value, const char *where, struct error *err)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *text = json_is_string(value) ? json_string_value(value) : "";

	if (text[strspn(text, token)])
		return error_set(err, 0, "%s: \"%.40s\" is no method; several are a list: [\"GET\", \"POST\"]", where, text);
	return set_word(c, i, value, where, err);
}

static int compile_method(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	size_t n = json_is_array(value) ? json_array_size(value) : 1;

	if (!n)
		return error_set(err, 0, "%s: the list is empty", where);
	c->words = calloc(n + 1, sizeof(*c->words));
	if (!c->words)
		return error_set(err, ENOMEM, "compile a filter");
	if (!json_is_array(value))
		return set_method(c, 0, value, where, err);
	for (size_t i = 0; i < n; i++)
		if (set_method(c, i, json_array_get(value, i), where, err) < 0)
			return -1;
	return 0;
}

static enum http_verdict match_method(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	for (char **w = c->words; *w; w++)
		if (span_is(r->method, *w))
			return HTTP_YES;
	return HTTP_NO;
}

static int compile_grpc(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	const json_t *service = json_object_get(value, "service"), *method = json_object_get(value, "method");
	size_t known = (service ? 1u : 0u) + (method ? 1u : 0u);

	if (!json_is_object(value) || known == 0 || json_object_size(value) != known)
		return error_set(err, 0, "%s: {\"service\": \"package.Service\", \"method\": \"Method\"} must stand here, or one of the two",
				 where);
	c->words = calloc(3, sizeof(*c->words));
	if (!c->words)
		return error_set(err, ENOMEM, "compile a filter");
	return set_word(c, 0, service, where, err) < 0 || set_word(c, 1, method, where, err) < 0 ? -1 : 0;
}

static bool is_grpc(const struct http_request *r)
{
	static const char type[] = "application/grpc";

	for (size_t i = 0; i < r->n_fields; i++) {
		struct span value = http_field_value(&r->fields[i]);

		if (span_is(http_field_name(&r->fields[i]), "content-type"))
			return value.len >= strlen(type) && strncasecmp(value.at, type, strlen(type)) == 0;
	}
	return false;
}

static bool word_fits(const char *word, struct span text)
{
	return !*word || span_equal(span_of(word), text);
}

/* The path is "/package.Service/Method". */
static enum http_verdict match_grpc(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	struct span rest = r->target, before, service;

	if (!span_split(&rest, '/', &before) || before.len || !span_split(&rest, '/', &service) || !rest.at)
		return HTTP_NO;
	return verdict(word_fits(c->words[0], service) && word_fits(c->words[1], rest) && is_grpc(r));
}

/* query, cookie */

static int compile_named(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	struct named_regex **last = &c->named;
	char inner[WHERE];
	const char *key;
	json_t *pattern;

	if (!json_is_object(value) || !json_object_size(value))
		return error_set(err, 0, "%s: {\"name\": \"regular expression\"} must stand here", where);
	json_object_foreach((json_t *)value, key, pattern) {
		*last = calloc(1, sizeof(**last));
		if (!*last || !((*last)->name = strdup(key)))
			return error_set(err, ENOMEM, "compile a filter");
		snprintf(inner, sizeof(inner), "%s.%s", where, key);
		if (compile_regex(pattern, inner, REGEX_CASELESS, &(*last)->value, err) < 0)
			return -1;
		last = &(*last)->next;
	}
	return 0;
}

/* Inside of lists, a string is the original's jq program. */
static int compile_query(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	return json_is_string(value) ? compile_jq(c, value, where, err) : compile_named(c, value, where, err);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As HTML forms encode it. @out has room for as much. */
static struct span decode_form(struct span s, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		bool escape = s.at[i] == '%' && s.len - i > 2 && hex_digit(s.at[i + 1]) >= 0 && hex_digit(s.at[i + 2]) >= 0;

		if (escape)
			out[n++] = (char)(hex_digit(s.at[i + 1]) * 16 + hex_digit(s.at[i + 2]));
		else
			out[n++] = s.at[i] == '+' ? ' ' : s.at[i];
		i += escape ? 2u : 0u;
	}
	return (struct span){ out, n };
}

static bool parameter_matches(struct http_filter *f, const struct named_regex *n, struct span pair)
{
	static char name_text[HTTP_HEAD_MAX], value_text[HTTP_HEAD_MAX];
	struct span name, value = pair;

	if (!span_split(&value, '=', &name) || name.len > sizeof(name_text) || value.len > sizeof(value_text))
		return false;
	if (!span_equal(decode_form(name, name_text), span_of(n->name)))
		return false;
	return matches(f, n->value, decode_form(value, value_text));
}

static enum http_verdict match_query(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	if (c->jq)
		return match_jq(f, c, r);
	for (const struct named_regex *n = c->named; n; n = n->next) {
		struct span query = r->target, pair;
		bool found = false;

		span_split(&query, '?', &pair);
		while (!found && span_split(&query, '&', &pair))
			found = parameter_matches(f, n, pair);
		if (!found)
			return HTTP_NO;
	}
	return HTTP_YES;
}

static bool cookie_matches(struct http_filter *f, const struct named_regex *n, const struct http_request *r)
{
	for (size_t i = 0; i < r->n_fields; i++) {
		struct span rest = http_field_value(&r->fields[i]), pair, name;

		if (!span_is(http_field_name(&r->fields[i]), "cookie"))
			continue;
		while (span_split(&rest, ';', &pair)) {
			pair = span_trim(pair);
			if (span_split(&pair, '=', &name) && pair.at && span_equal(name, span_of(n->name)) && matches(f, n->value, pair))
				return true;
		}
	}
	return false;
}

static enum http_verdict match_cookie(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	for (const struct named_regex *n = c->named; n; n = n->next)
		if (!cookie_matches(f, n, r))
			return HTTP_NO;
	return HTTP_YES;
}

/* body */

static int compile_body(struct condition *c, const json_t *value, const char *where, struct error *err)
{
	const json_t *type = json_object_get(value, "body"), *query = json_object_get(value, "query"), *pattern = json_object_get(value, "matches");
	struct span path = { json_string_value(query), json_string_length(query) };
	char inner[WHERE];
	const char *key;
	json_t *any;

	if (!json_is_string(type) || strcmp(json_string_value(type), "json") != 0)
		return error_set(err, 0, "%s: {\"body\": \"json\", \"query\": JSONPath, \"matches\": regular expression} must stand here", where);
	json_object_foreach((json_t *)value, key, any)
		if (strcmp(key, "body") != 0 && strcmp(key, "query") != 0 && strcmp(key, "matches") != 0)
			return error_set(err, 0, "%s.%s: there is no such key here; there are body, query and matches", where, key);
	if (!json_is_string(query))
		return error_set(err, 0, "%s: \"query\" is missing: a JSONPath, in quotes", where);
	c->path = jsonpath_compile(path, err);
	if (!c->path)
		return error_wrap(err, "%s.query: JSONPath \"%.400s\"", where, path.at);
	snprintf(inner, sizeof(inner), "%s.matches", where);
	return pattern ? compile_regex(pattern, inner, 0, &c->regex, err) : 0;
}

struct body_search {
	struct http_filter *filter;
	const struct regex *regex;
	bool found;
};

static bool on_node(void *arg, json_t *node)
{
	struct body_search *s = arg;
	struct span text;
	char *made = NULL;

	if (!s->regex) {
		s->found = true;
	} else if (json_is_string(node)) {
		text = (struct span){ json_string_value(node), json_string_length(node) };
		s->found = matches(s->filter, s->regex, text);
	} else {
		made = json_text(node, &text.len);
		text.at = made;
		s->found = made && matches(s->filter, s->regex, text);
		free(made);
	}
	return !s->found;
}

static enum http_verdict match_body(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	struct body_search s = { .filter = f, .regex = c->regex };
	json_t *body;

	if (r->body_state != HTTP_BODY_WHOLE)
		return r->body_state == HTTP_BODY_AHEAD ? HTTP_NEEDS_BODY : HTTP_NO;
	body = json_read(r->body);
	if (!body)
		return HTTP_NO;
	if (jsonpath_select(c->path, body, on_node, &s) < 0)
		f->trouble.regex++;
	json_decref(body);
	return verdict(s.found);
}

const struct condition_kind CONDITION_KINDS[] = {
	{ "all_of", "all_of", OF_OTHERS, condition_compile_list, match_all },
	{ "any_of", "any_of", OF_OTHERS, condition_compile_list, match_any },
	{ "not", "not", OF_OTHERS, compile_not, match_not },
	{ "header", "header_filter", OF_REQUEST, compile_header, match_header },
	{ NULL, "header_filter_jq", OF_REQUEST, compile_jq, match_jq },
	{ "path", "path_filter", OF_REQUEST, compile_caseless, match_path },
	{ "method", "method_filter", OF_REQUEST, compile_method, match_method },
	{ "body", "body_filter", OF_REQUEST, compile_body, match_body },
	{ "query", NULL, OF_REQUEST, compile_query, match_query },
	{ NULL, "query", OF_REQUEST, compile_named, match_query },
	{ "grpc", "grpc", OF_REQUEST, compile_grpc, match_grpc },
	{ "host", "host", OF_REQUEST, compile_caseless, match_host },
	{ "cookie", "cookie", OF_REQUEST, compile_named, match_cookie },
	{ "client", "client", OF_CONNECTION, compile_client, match_client },
	{ "sni", "sni", OF_CONNECTION, compile_caseless, match_sni },
	{ "alpn", "alpn", OF_CONNECTION, compile_caseless, match_alpn },
};
const size_t CONDITION_KINDS_COUNT = sizeof(CONDITION_KINDS) / sizeof(*CONDITION_KINDS);
