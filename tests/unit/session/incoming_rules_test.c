// SPDX-License-Identifier: MIT
#include "session/incoming_rules.h"

#include <netinet/in.h>

#include "tap.h"

static uint16_t p80[] = { 80 }, p80_443[] = { 80, 443 }, p3000[] = { 3000 };
static char debugger_range[] = "5678-5679", *debugger[] = { debugger_range };
static const struct config_strings debugger_ports = { debugger, 1, true };
static struct config_pair web[] = { { 3000, 80 }, { 3001, 443 } };

#define PORTS(array)                                                                               \
	{                                                                                          \
		.items = (array), .n = sizeof(array) / sizeof((array)[0]), .set = true             \
	}

static const struct {
	const char *name;
	struct incoming_options options;
	const char *ip;
	uint16_t port, want; /* 0: none */
} rows[] = {
	{ "all", { .mode = INCOMING_MIRROR }, "0.0.0.0", 80, 80 },
	{ "steal", { .mode = INCOMING_STEAL }, "::", 80, 80 },
	{ "off", { .mode = INCOMING_OFF }, "0.0.0.0", 80, 0 },
	{ "listed", { .ports = PORTS(p80_443) }, "0.0.0.0", 443, 443 },
	{ "not listed", { .ports = PORTS(p80_443) }, "0.0.0.0", 8080, 0 },
	{ "an empty list", { .ports = { .set = true } }, "0.0.0.0", 80, 0 },
	{ "ignored", { .ignore_ports = PORTS(p80) }, "0.0.0.0", 80, 0 },
	{ "a debugger's", { .debugger_ports = &debugger_ports }, "127.0.0.1", 5678, 0 },
	{ "not a debugger's", { .debugger_ports = &debugger_ports }, "127.0.0.1", 5680, 5680 },
	{ "not ignored", { .ignore_ports = PORTS(p80) }, "0.0.0.0", 81, 81 },
	{ "mapped", { .port_mapping = PORTS(web) }, "0.0.0.0", 3000, 80 },
	{ "not mapped", { .port_mapping = PORTS(web) }, "0.0.0.0", 8080, 8080 },
	{ "the list has the target's ports", { .port_mapping = PORTS(web), .ports = PORTS(p80) }, "0.0.0.0", 3000, 80 },
	{ "and not the local ones", { .port_mapping = PORTS(web), .ports = PORTS(p3000) }, "0.0.0.0", 3000, 0 },
	{ "what is ignored are local ports", { .port_mapping = PORTS(web), .ignore_ports = PORTS(p3000) }, "0.0.0.0", 3000, 0 },
	{ "and not the target's", { .port_mapping = PORTS(web), .ignore_ports = PORTS(p80) }, "0.0.0.0", 3000, 80 },
	{ "localhost", { .mode = INCOMING_MIRROR }, "127.0.0.1", 80, 80 },
	{ "localhost is ignored", { .ignore_localhost = true }, "127.0.0.1", 80, 0 },
	{ "another loopback address, too", { .ignore_localhost = true }, "127.9.9.9", 80, 0 },
	{ "::1, too", { .ignore_localhost = true }, "::1", 80, 0 },
	{ "the wildcard isn't localhost", { .ignore_localhost = true }, "0.0.0.0", 80, 80 },
	{ "nor is ::", { .ignore_localhost = true }, "::", 80, 80 },
	{ "nor an address", { .ignore_localhost = true }, "10.0.0.7", 80, 80 },
};

static void test_filtered(void)
{
	struct incoming_options o = { .http_filter = NULL };

	tap_ok(!incoming_rules_filtered(&o, 80), "without a filter nothing is filtered");
	o.http_filter = "{}";
	tap_ok(incoming_rules_filtered(&o, 80), "a filter holds for every port");
	o.filter_ports = (struct config_ports)PORTS(p80);
	tap_ok(incoming_rules_filtered(&o, 80) && !incoming_rules_filtered(&o, 81), "or for those that it names");
	o.filter_ports = (struct config_ports){ .set = true };
	tap_ok(!incoming_rules_filtered(&o, 80), "of which there may be none");
}

int main(void)
{
	struct incoming_options published = { .listen_ports = PORTS(web) };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct diag_socket s = { .protocol = IPPROTO_TCP, .local.port = rows[i].port };
		uint16_t port = 0;
		bool is;

		ip_parse(rows[i].ip, &s.local.ip);
		is = incoming_rules_port(&rows[i].options, &s, &port);
		tap_ok(is == (rows[i].want != 0) && port == rows[i].want, "%s", rows[i].name);
	}
	test_filtered();
	tap_int(incoming_rules_published(&published, 3001), 443, "the port where it must be published");
	tap_int(incoming_rules_published(&published, 80), 0, "others are published anywhere");
	return tap_done();
}
