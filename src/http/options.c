// SPDX-License-Identifier: MIT
#include "http/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A value of the text's, and what to call it in a message. */
struct place {
	const json_t *json;
	char path[160];
	struct error *err;
};

static int wrong(const struct place *p, const char *what)
{
	return error_set(p->err, 0, "%s: %s", p->path, what);
}

static struct place member(const struct place *p, const char *key)
{
	struct place m = { .json = json_object_get(p->json, key), .err = p->err };

	snprintf(m.path, sizeof(m.path), "%.120s.%s", p->path, key);
	return m;
}

static struct place element(const struct place *p, size_t i)
{
	struct place m = { .json = json_array_get(p->json, i), .err = p->err };

	snprintf(m.path, sizeof(m.path), "%.120s[%zu]", p->path, i);
	return m;
}

/* An object with none but the @keys ("a|b|c"). */
static int check_object(const struct place *p, const char *keys)
{
	const char *key;
	json_t *value;

	if (!json_is_object(p->json))
		return wrong(p, "expected an object");
	json_object_foreach((json_t *)p->json, key, value) {
		const char *at = strstr(keys, key);
		size_t len = strlen(key);

		if (!at || !len || (at != keys && at[-1] != '|') || (at[len] && at[len] != '|'))
			return error_set(p->err, 0, "%s: there is no key \"%.40s\" (there are: %s)", p->path, key, keys);
	}
	return 0;
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
		return error_set(p->err, 0, "%s: expected a whole number from %lld to %lld", p->path, (long long)least, (long long)most);
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
	if (!p->json)
		return 0;
	if (!json_is_array(p->json) || json_array_size(p->json) > most)
		return error_set(p->err, 0, "%s: expected an array of at most %zu strings", p->path, most);
	for (size_t i = 0; i < json_array_size(p->json); i++) {
		struct place e = element(p, i);

		if (read_text(&e, &ret[i]) < 0)
			return -1;
	}
	*ret_n = json_array_size(p->json);
	return 0;
}

static int read_identity(const struct place *p, struct tls_identity *ret)
{
	struct place cert, key;

	if (!p->json)
		return 0;
	if (check_object(p, "certPem|keyPem") < 0)
		return -1;
	cert = member(p, "certPem");
	key = member(p, "keyPem");
	if (!cert.json || !key.json)
		return wrong(p, "certPem and keyPem belong together");
	return read_text(&cert, &ret->cert) < 0 ? -1 : read_text(&key, &ret->key);
}

static int read_trust(const struct place *p, bool clients, struct tls_trust *ret)
{
	struct place anybody, nobody_too, roots;

	if (!p->json)
		return 0;
	if (check_object(p, clients ? "allowAnonymous|acceptAnyCert|trustRoots" : "acceptAnyCert|trustRoots") < 0)
		return -1;
	anybody = member(p, "acceptAnyCert");
	nobody_too = member(p, "allowAnonymous");
	roots = member(p, "trustRoots");
	ret->wanted = true;
	if (read_bool(&anybody, &ret->anybody) < 0 || read_bool(&nobody_too, &ret->nobody_too) < 0 ||
	    read_texts(&roots, TLS_ROOTS, ret->roots, &ret->n_roots) < 0)
		return -1;
	if (!ret->anybody && !ret->n_roots && !ret->nobody_too)
		return wrong(p, "trusts nobody: name trustRoots, or set acceptAnyCert");
	return 0;
}

static int read_server(const struct place *p, struct tls_port_options *ret)
{
	struct place identity, trust, alpn;

	if (!p->json)
		return wrong(p, "is missing: the certificate and key that clients are shown");
	if (check_object(p, "authentication|alpnProtocols|verification") < 0)
		return -1;
	identity = member(p, "authentication");
	trust = member(p, "verification");
	alpn = member(p, "alpnProtocols");
	if (!identity.json)
		return wrong(&identity, "is missing: the certificate and key that clients are shown");
	ret->has_alpn = alpn.json != NULL;
	if (read_identity(&identity, &ret->server) < 0 || read_trust(&trust, true, &ret->clients) < 0 ||
	    read_texts(&alpn, TLS_NAMES, ret->alpn, &ret->n_alpn) < 0)
		return -1;
	for (size_t i = 0; i < ret->n_alpn; i++)
		if (strlen(ret->alpn[i]) > 255)
			return wrong(&alpn, "a name is longer than 255 bytes");
	return 0;
}

static int read_client(const struct place *p, struct tls_port_options *ret)
{
	struct place identity, trust;

	if (!p->json)
		return 0;
	if (check_object(p, "authentication|verification") < 0)
		return -1;
	identity = member(p, "authentication");
	trust = member(p, "verification");
	return read_identity(&identity, &ret->client) < 0 ? -1 : read_trust(&trust, false, &ret->app);
}

static int read_port(const struct place *p, struct tls_port_options *ret)
{
	struct place port, server, client;
	json_int_t number = 0;

	if (check_object(p, "port|agentAsServer|agentAsClient") < 0)
		return -1;
	port = member(p, "port");
	server = member(p, "agentAsServer");
	client = member(p, "agentAsClient");
	if (!port.json)
		return wrong(&port, "is missing");
	if (read_number(&port, 1, UINT16_MAX, &number) < 0 || read_server(&server, ret) < 0 || read_client(&client, ret) < 0)
		return -1;
	ret->port = (uint16_t)number;
	return 0;
}

static int read_ports(const struct place *p, struct http_options *ret)
{
	size_t n = json_array_size(p->json);

	if (!p->json)
		return 0;
	if (!json_is_array(p->json) || n > TLS_PORTS)
		return error_set(p->err, 0, "%s: expected an array of at most %d ports", p->path, TLS_PORTS);
	ret->tls = calloc(n ? n : 1, sizeof(*ret->tls));
	if (!ret->tls)
		return error_set(p->err, ENOMEM, "read the options of TLS");
	for (size_t i = 0; i < n; i++) {
		struct place e = element(p, i);

		if (read_port(&e, &ret->tls[i]) < 0)
			return -1;
	}
	ret->n_tls = n;
	return 0;
}

static int read_delivery(const struct place *p, struct tls_delivery_options *ret)
{
	struct place protocol, roots, cert, name;
	const char *word = "tls";

	if (!p->json)
		return 0;
	if (check_object(p, "protocol|trust_roots|server_cert|server_name") < 0)
		return -1;
	protocol = member(p, "protocol");
	roots = member(p, "trust_roots");
	cert = member(p, "server_cert");
	name = member(p, "server_name");
	if (read_text(&protocol, &word) < 0 || read_text(&roots, &ret->roots) < 0 || read_text(&cert, &ret->cert) < 0 ||
	    read_text(&name, &ret->server_name) < 0)
		return -1;
	ret->plain = strcmp(word, "tcp") == 0;
	if (!ret->plain && strcmp(word, "tls") != 0)
		return wrong(&protocol, "expected \"tls\" or \"tcp\"");
	return 0;
}

static int read_all(const json_t *json, struct http_options *o, struct error *err)
{
	struct place all = { .json = json, .path = "incoming", .err = err };
	struct place size, time, inject, cache, tls, delivery;
	json_int_t most = HTTP_BODY_MAX, ms = HTTP_BODY_MS;

	if (check_object(&all, "max_body_buffer_size|max_body_buffer_timeout|inject_headers|override_cache_control|steal_tls|tls_delivery") < 0)
		return -1;
	size = member(&all, "max_body_buffer_size");
	time = member(&all, "max_body_buffer_timeout");
	inject = member(&all, "inject_headers");
	cache = member(&all, "override_cache_control");
	tls = member(&all, "steal_tls");
	delivery = member(&all, "tls_delivery");
	if (read_number(&size, 0, HTTP_BODY_MOST, &most) < 0 || read_number(&time, 1, 60000, &ms) < 0 ||
	    read_bool(&inject, &o->inject_headers) < 0 || read_bool(&cache, &o->override_cache_control) < 0 || read_ports(&tls, o) < 0 ||
	    read_delivery(&delivery, &o->delivery) < 0)
		return -1;
	o->body_max = (size_t)most;
	o->body_ms = (unsigned int)ms;
	return 0;
}

int http_options_parse(const char *text, struct http_options *ret, struct error *err)
{
	struct http_options o = { .body_max = HTTP_BODY_MAX, .body_ms = HTTP_BODY_MS };
	json_error_t why;

	if (text && !(o.json = json_loads(text, JSON_REJECT_DUPLICATES, &why)))
		return error_set(err, 0, "the options of HTTP, at character %d: %s", why.position, why.text);
	if (o.json && read_all(o.json, &o, err) < 0) {
		http_options_fini(&o);
		return -1;
	}
	*ret = o;
	return 0;
}

void http_options_fini(struct http_options *o)
{
	free(o->tls);
	json_decref(o->json);
	*o = (struct http_options){ 0 };
}
