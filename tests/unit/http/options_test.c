// SPDX-License-Identifier: MIT
/* What a session says of HTTP beside its filter: every member, and where what is wrong. */
#include "http/options.h"

#include <stdio.h>
#include <string.h>

#include "tap.h"

#define AUTHENTICATION "\"authentication\": {\"certPem\": \"/c\", \"keyPem\": \"/k\"}"
#define PORT(more)     "{\"steal_tls\": [{\"port\": 443, \"agentAsServer\": {" AUTHENTICATION more "}}]}"

static const struct {
	const char *name, *text, *error;
} rows[] = {
	{ "no JSON", "{\"inject_headers\": }", "the options of HTTP, at character 20: " },
	{ "a member twice", "{\"inject_headers\": true, \"inject_headers\": false}", "the options of HTTP, at character " },
	{ "no object", "[]", "incoming: expected an object" },
	{ "unknown member", "{\"header\": 1}", "incoming: there is no key \"header\" (there are: max_body_buffer_size|" },
	{ "the end of a member's name", "{\"headers\": 1}", "incoming: there is no key \"headers\"" },
	{ "an empty name", "{\"\": 1}", "incoming: there is no key \"\"" },
	{ "a text for a number", "{\"max_body_buffer_size\": \"1\"}", "incoming.max_body_buffer_size: expected a whole number from 0 to 16777216" },
	{ "too many bytes", "{\"max_body_buffer_size\": 16777217}", "incoming.max_body_buffer_size: " },
	{ "no time", "{\"max_body_buffer_timeout\": 0}", "incoming.max_body_buffer_timeout: expected a whole number from 1 to 60000" },
	{ "a number for a bool", "{\"inject_headers\": 1}", "incoming.inject_headers: expected true or false" },
	{ "ports that are none", "{\"steal_tls\": {}}", "incoming.steal_tls: expected an array of at most 64 ports" },
	{ "no port", "{\"steal_tls\": [{}]}", "incoming.steal_tls[0].port: is missing" },
	{ "port 0", "{\"steal_tls\": [{\"port\": 0}]}", "incoming.steal_tls[0].port: expected a whole number from 1 to 65535" },
	{ "no server", "{\"steal_tls\": [{\"port\": 1}]}", "incoming.steal_tls[0].agentAsServer: is missing: the certificate and key" },
	{ "no certificate",
	  "{\"steal_tls\": [{\"port\": 1, \"agentAsServer\": {}}]}", "incoming.steal_tls[0].agentAsServer.authentication: is missing" },
	{ "no key", "{\"steal_tls\": [{\"port\": 1, \"agentAsServer\": {\"authentication\": {\"certPem\": \"/c\"}}}]}",
	  "incoming.steal_tls[0].agentAsServer.authentication: certPem and keyPem belong together" },
	{ "an empty path",
	  "{\"steal_tls\": [{\"port\": 1, \"agentAsServer\": {\"authentication\": {\"certPem\": \"\", \"keyPem\": \"/k\"}}}]}",
	  "incoming.steal_tls[0].agentAsServer.authentication.certPem: expected a string" },
	{ "many protocols", PORT(", \"alpnProtocols\": [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]"),
	  "incoming.steal_tls[0].agentAsServer.alpnProtocols: expected an array of at most 8 strings" },
	{ "a protocol that is none", PORT(", \"alpnProtocols\": [5]"), "incoming.steal_tls[0].agentAsServer.alpnProtocols[0]: expected a string" },
	{ "nobody is trusted", PORT(", \"verification\": {}"), "incoming.steal_tls[0].agentAsServer.verification: trusts nobody" },
	{ "an app may not be anonymous",
	  "{\"steal_tls\": [{\"port\": 1, \"agentAsServer\": {" AUTHENTICATION "}, "
	  "\"agentAsClient\": {\"verification\": {\"allowAnonymous\": true}}}]}",
	  "incoming.steal_tls[0].agentAsClient.verification: there is no key \"allowAnonymous\"" },
	{ "the second port", "{\"steal_tls\": [{\"port\": 1, \"agentAsServer\": {" AUTHENTICATION "}}, {\"port\": 2}]}",
	  "incoming.steal_tls[1].agentAsServer: is missing" },
	{ "a protocol of delivery that is none",
	  "{\"tls_delivery\": {\"protocol\": \"udp\"}}", "incoming.tls_delivery.protocol: expected \"tls\" or \"tcp\"" },
};

static void test_wrong(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_options o = { .body_ms = 77 };
		struct error err = { 0 };

		tap_int(http_options_parse(rows[i].text, &o, &err), -1, "%s", rows[i].name);
		tap_ok(strncmp(err.text, rows[i].error, strlen(rows[i].error)) == 0, "%s: where and why: %s", rows[i].name, err.text);
		tap_int(o.body_ms, 77, "%s: nothing is set", rows[i].name);
	}
}

static void test_defaults(void)
{
	static const char *const texts[] = { NULL, "{}", "{\"steal_tls\": [], \"tls_delivery\": {}}" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct http_options o;
		struct error err = { 0 };

		tap_int(http_options_parse(texts[i], &o, &err), 0, "%s", texts[i] ? texts[i] : "no text");
		tap_ok(o.body_max == HTTP_BODY_MAX && o.body_ms == HTTP_BODY_MS && !o.inject_headers &&
			       !o.override_cache_control && !o.n_tls && !o.delivery.plain && !o.delivery.roots && !o.delivery.cert &&
			       !o.delivery.server_name,
		       "nothing but the defaults");
		http_options_fini(&o);
	}
}

static void test_all(void)
{
	static const char text[] =
		"{\"max_body_buffer_size\": 16777216, \"max_body_buffer_timeout\": 60000, \"inject_headers\": true, \"override_cache_control\": true,"
		" \"steal_tls\": [{\"port\": 65535, \"agentAsServer\": {" AUTHENTICATION ", \"alpnProtocols\": [\"h2\", \"http/1.1\"],"
		" \"verification\": {\"allowAnonymous\": true, \"acceptAnyCert\": true, \"trustRoots\": [\"/r1\", \"/r2\"]}},"
		" \"agentAsClient\": {\"authentication\": {\"certPem\": \"/cc\", \"keyPem\": \"/ck\"}, "
		"\"verification\": {\"trustRoots\": [\"/a\"]}}},"
		" {\"port\": 1, \"agentAsServer\": {" AUTHENTICATION ", \"alpnProtocols\": []}}],"
		" \"tls_delivery\": {\"protocol\": \"tcp\", \"trust_roots\": \"R\", \"server_cert\": \"C\", \"server_name\": \"n\"}}";
	const struct tls_port_options *p;
	struct http_options o;
	struct error err = { 0 };

	tap_int(http_options_parse(text, &o, &err), 0, "all members (%s)", err.text);
	tap_ok(o.body_max == 16 << 20 && o.body_ms == 60000 && o.inject_headers && o.override_cache_control, "numbers and marks");
	tap_int(o.n_tls, 2, "ports");
	p = &o.tls[0];
	tap_ok(p->port == 65535 && strcmp(p->server.cert, "/c") == 0 && strcmp(p->server.key, "/k") == 0, "what clients are shown");
	tap_ok(p->has_alpn && p->n_alpn == 2 && strcmp(p->alpn[1], "http/1.1") == 0, "protocols");
	tap_ok(p->clients.wanted && p->clients.anybody && p->clients.nobody_too && p->clients.n_roots == 2 &&
		       strcmp(p->clients.roots[1], "/r2") == 0,
	       "whom we believe of the clients");
	tap_ok(strcmp(p->client.cert, "/cc") == 0 && p->app.wanted && !p->app.anybody && p->app.n_roots == 1, "towards the app");
	tap_ok(o.tls[1].has_alpn && !o.tls[1].n_alpn && !o.tls[1].clients.wanted && !o.tls[1].client.cert, "no protocol is not any protocol");
	tap_ok(o.delivery.plain && strcmp(o.delivery.roots, "R") == 0 && strcmp(o.delivery.cert, "C") == 0 &&
		       strcmp(o.delivery.server_name, "n") == 0,
	       "the delivery");
	http_options_fini(&o);
}

int main(void)
{
	test_wrong();
	test_defaults();
	test_all();
	return tap_done();
}
