// SPDX-License-Identifier: MIT
#include "http/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who hears of what is wrong: all of it is told, the first thing is also kept. */
struct hearer {
	void (*each)(void *arg, const struct error *e); /* or NULL */
	void *arg;
	struct error *first;
};

/* A value of the text's, and what to call it in a message. */
struct place {
	const json_t *json;
	char path[160];
	const struct hearer *hearer;
};

__attribute__((format(printf, 2, 3))) static int wrong(const struct place *p, const char *format, ...)
{
	struct error e = { 0 };
	char what[256];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	error_set(&e, 0, "%s: %s", p->path, what);
	if (p->hearer->each)
		p->hearer->each(p->hearer->arg, &e);
	if (!error_is_set(p->hearer->first))
		*p->hearer->first = e;
	return -1;
}

static struct place member(const struct place *p, const char *key)
{
	struct place m = { .json = json_object_get(p->json, key), .hearer = p->hearer };

	snprintf(m.path, sizeof(m.path), "%.120s.%s", p->path, key);
	return m;
}

static struct place element(const struct place *p, size_t i)
{
	struct place m = { .json = json_array_get(p->json, i), .hearer = p->hearer };

	snprintf(m.path, sizeof(m.path), "%.120s[%zu]", p->path, i);
	return m;
}

/* An object with none but the @keys ("a|b|c"). */
static int check_object(const struct place *p, const char *keys)
{
	const char *key;
	json_t *value;
	int rc = 0;

	if (!json_is_object(p->json))
		return wrong(p, "expected an object");
	json_object_foreach((json_t *)p->json, key, value) {
		const char *at = strstr(keys, key);
		size_t len = strlen(key);

		if (!at || !len || (at != keys && at[-1] != '|') || (at[len] && at[len] != '|'))
			rc = wrong(p, "there is no key \"%.40s\" (there are: %s)", key, keys);
	}
	return rc;
}

static int read_bool(const struct place *p, bool *ret)
{
	if (p->json && !json_is_boolean(p->json))
		return wrong(p, "expected true or false");
	if (p->json)
		*ret = json_is_true(p->json);
	return 0;
}

static int read_number(const struct place *p, json_int_t least, json_int_t most, json_int_t *ret)
{
	if (!p->json)
		return 0;
	if (!json_is_integer(p->json) || json_integer_value(p->json) < least || json_integer_value(p->json) > most)
		return wrong(p, "expected a whole number from %lld to %lld", (long long)least, (long long)most);
	*ret = json_integer_value(p->json);
	return 0;
}

static int read_text(const struct place *p, const char **ret)
{
	if (!p->json)
		return 0;
	if (!json_is_string(p->json) || !json_string_length(p->json))
		return wrong(p, "expected a string");
	*ret = json_string_value(p->json);
	return 0;
}

static int read_texts(const struct place *p, size_t most, const char **ret, size_t *ret_n)
{
	int rc = 0;

	if (!p->json)
		return 0;
	if (!json_is_array(p->json) || json_array_size(p->json) > most)
		return wrong(p, "expected an array of at most %zu strings", most);
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place e = element(p, i);

		rc |= read_text(&e, &ret[i]);
	}
	*ret_n = json_array_size(p->json);
	return rc;
}

static int read_identity(const struct place *p, struct tls_identity *ret)
{
	struct place cert, key;
	int rc;

	if (!p->json)
		return 0;
	rc = check_object(p, "certPem|keyPem");
	cert = member(p, "certPem");
	key = member(p, "keyPem");
	if (rc == 0 && (!cert.json || !key.json))
		return wrong(p, "certPem and keyPem belong together");
	return rc | read_text(&cert, &ret->cert) | read_text(&key, &ret->key);
}

static int read_trust(const struct place *p, bool clients, struct tls_trust *ret)
{
	struct place anybody, nobody_too, roots;
	int rc;

	if (!p->json)
		return 0;
	rc = check_object(p, clients ? "allowAnonymous|acceptAnyCert|trustRoots" : "acceptAnyCert|trustRoots");
	anybody = member(p, "acceptAnyCert");
	nobody_too = member(p, "allowAnonymous");
	roots = member(p, "trustRoots");
	ret->wanted = true;
	rc |= read_bool(&anybody, &ret->anybody) | read_bool(&nobody_too, &ret->nobody_too) |
	      read_texts(&roots, TLS_ROOTS, ret->roots, &ret->n_roots);
	if (rc == 0 && !ret->anybody && !ret->n_roots && !ret->nobody_too)
		return wrong(p, "trusts nobody: name trustRoots, or set acceptAnyCert");
	return rc;
}

static int read_server(const struct place *p, struct tls_port_options *ret)
{
	struct place identity, trust, alpn;
	int rc;

	if (!p->json)
		return wrong(p, "is missing: the certificate and key that clients are shown");
	rc = check_object(p, "authentication|alpnProtocols|verification");
	identity = member(p, "authentication");
	trust = member(p, "verification");
	alpn = member(p, "alpnProtocols");
	if (rc == 0 && !identity.json)
		rc = wrong(&identity, "is missing: the certificate and key that clients are shown");
	ret->has_alpn = alpn.json != NULL;
	rc |= read_identity(&identity, &ret->server) | read_trust(&trust, true, &ret->clients) |
	      read_texts(&alpn, TLS_NAMES, ret->alpn, &ret->n_alpn);
	for (size_t i = 0; i < ret->n_alpn; i++)
		if (ret->alpn[i] && strlen(ret->alpn[i]) > 255)
			return wrong(&alpn, "a name is longer than 255 bytes");
	return rc;
}

static int read_client(const struct place *p, struct tls_port_options *ret)
{
	struct place identity, trust;
	int rc;

	if (!p->json)
		return 0;
	rc = check_object(p, "authentication|verification");
	identity = member(p, "authentication");
	trust = member(p, "verification");
	return rc | read_identity(&identity, &ret->client) | read_trust(&trust, false, &ret->app);
}

static int read_port(const struct place *p, struct tls_port_options *ret)
{
	struct place port, server, client;
	json_int_t number = 0;
	int rc = check_object(p, "port|agentAsServer|agentAsClient");

	if (!json_is_object(p->json))
		return rc;
	port = member(p, "port");
	server = member(p, "agentAsServer");
	client = member(p, "agentAsClient");
	if (rc == 0 && !port.json)
		rc = wrong(&port, "is missing");
	rc |= read_number(&port, 1, UINT16_MAX, &number) | read_server(&server, ret) | read_client(&client, ret);
	ret->port = (uint16_t)number;
	return rc;
}

static int read_ports(const struct place *p, struct http_options *ret)
{
	size_t n = json_array_size(p->json);
	int rc = 0;

	if (!p->json)
		return 0;
	if (!json_is_array(p->json) || n > TLS_PORTS)
		return wrong(p, "expected an array of at most %d ports", TLS_PORTS);
	ret->tls = calloc(n ? n : 1, sizeof(*ret->tls));
	if (!ret->tls)
		return error_set(p->hearer->first, ENOMEM, "read the options of TLS");
	for (size_t i = 0; i < n; i++) {
		struct place e = element(p, i);

		rc |= read_port(&e, &ret->tls[i]);
	}
	ret->n_tls = n;
	return rc;
}

static int read_delivery(const struct place *p, struct tls_delivery_options *ret)
{
	struct place protocol, roots, cert, name;
	const char *word = "tls";
	int rc;

	if (!p->json)
		return 0;
	rc = check_object(p, "protocol|trust_roots|server_cert|server_name");
	protocol = member(p, "protocol");
	roots = member(p, "trust_roots");
	cert = member(p, "server_cert");
	name = member(p, "server_name");
	rc |= read_text(&protocol, &word) | read_text(&roots, &ret->roots) | read_text(&cert, &ret->cert) | read_text(&name, &ret->server_name);
	ret->plain = strcmp(word, "tcp") == 0;
	if (!ret->plain && strcmp(word, "tls") != 0)
		return wrong(&protocol, "expected \"tls\" or \"tcp\"");
	return rc;
}

static int read_all(const json_t *json, struct http_options *o, const struct hearer *hearer)
{
	struct place all = { .json = json, .path = "incoming", .hearer = hearer };
	struct place size, time, inject, cache, tls, delivery;
	json_int_t most = HTTP_BODY_MAX, ms = HTTP_BODY_MS;
	int rc = check_object(&all, "max_body_buffer_size|max_body_buffer_timeout|inject_headers|override_cache_control|steal_tls|tls_delivery");

	size = member(&all, "max_body_buffer_size");
	time = member(&all, "max_body_buffer_timeout");
	inject = member(&all, "inject_headers");
	cache = member(&all, "override_cache_control");
	tls = member(&all, "steal_tls");
	delivery = member(&all, "tls_delivery");
	rc |= read_number(&size, 0, HTTP_BODY_MOST, &most) | read_number(&time, 1, 60000, &ms) | read_bool(&inject, &o->inject_headers) |
	      read_bool(&cache, &o->override_cache_control) | read_ports(&tls, o) | read_delivery(&delivery, &o->delivery);
	o->body_max = (size_t)most;
	o->body_ms = (unsigned int)ms;
	return rc;
}

static int parse(const char *text, struct http_options *ret, const struct hearer *hearer)
{
	struct http_options o = { .body_max = HTTP_BODY_MAX, .body_ms = HTTP_BODY_MS };
	json_error_t why;

	if (text && !(o.json = json_loads(text, JSON_REJECT_DUPLICATES, &why)))
		return error_set(hearer->first, 0, "the options of HTTP, at character %d: %s", why.position, why.text);
	if (o.json && read_all(o.json, &o, hearer) < 0) {
		http_options_fini(&o);
		return -1;
	}
	*ret = o;
	return 0;
}

int http_options_parse(const char *text, struct http_options *ret, struct error *err)
{
	const struct hearer hearer = { .first = err };

	return parse(text, ret, &hearer);
}

void http_options_check(const char *text, void (*each)(void *arg, const struct error *e), void *arg)
{
	struct error first = { 0 };
	const struct hearer hearer = { each, arg, &first };
	struct http_options o = { 0 };

	if (parse(text, &o, &hearer) == 0)
		http_options_fini(&o);
}

void http_options_fini(struct http_options *o)
{
	free(o->tls);
	json_decref(o->json);
	*o = (struct http_options){ 0 };
}
