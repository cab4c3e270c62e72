// SPDX-License-Identifier: MIT
/* mirrord explain: where a destination would be reached from, and which rule says so. Nothing is looked up and nobody is asked. */
#include "cli/explain.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config_options.h"
#include "cli/options.h"
#include "session/dns_rules.h"
#include "session/route.h"

static const struct cli_command command = {
	.name = "explain",
	.usage = "mirrord explain FILE HOST[:PORT] [tcp|udp|icmp]",
	.summary = "Says where a destination would be reached from under the configuration FILE (- is standard input), and why.",
	.example = "mirrord explain .mirrord/mirrord.json payment-service:8080",
};

struct destination {
	const char *text;
	int protocol;
	uint16_t port;
	bool is_ip;
	struct ip ip;
	struct dns_name name;
};

/* HOST:PORT, [IPV6]:PORT, or a host alone: no URL, and nothing that no name can be. */
static bool parse(const char *text, struct destination *d)
{
	char host[300];
	const char *colon = strrchr(text, ':');
	char *end;
	unsigned long port = 0;
	size_t len;

	d->text = text;
	if (*text != '[' && ip_parse(text, &d->ip)) {
		d->is_ip = true;
		return true;
	}
	if (colon && *text == '[' && colon[-1] != ']')
		colon = NULL;
	if (colon) {
		port = strtoul(colon + 1, &end, 10);
		if (end == colon + 1 || *end || port > UINT16_MAX)
			return false;
	}
	d->port = (uint16_t)port;
	len = colon ? (size_t)(colon - text) : strlen(text);
	if (len > 2 && *text == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	d->is_ip = ip_parse(host, &d->ip);
	return d->is_ip || (!host[strcspn(host, " \t/:[]@")] && address_name_to_dns(host, &d->name));
}

static void explain_name(const struct config *c, const struct destination *d)
{
	const struct dns_question q = { .name = d->name, .type = DNS_A, .class = DNS_CLASS_IN };
	const char *side = c->dns_rules.side == FILTER_LOCAL ? "local" : "remote";
	struct dns_rules rules;
	struct dns_name ask;
	bool local;
	int rule = -1;

	if (!c->dns_enabled) {
		puts("its name is resolved by this machine: feature.network.dns is off");
		return;
	}
	if (dns_rules_init(&rules, c, NULL) < 0)
		return;
	local = dns_rules_local(&rules, &q, &ask, &rule);
	printf("its name is resolved by %s: ", local ? "this machine" : "the target");
	if (rules.side == FILTER_NONE)
		puts("there is no feature.network.dns.filter");
	else if (rule < 0)
		printf("no rule for names (%s) matches\n", side);
	else
		printf("\"%s\" (%s)\n", address_filter_text(rules.filter, (size_t)rule), side);
	dns_rules_fini(&rules);
}

static int explain(const struct config *c, const struct destination *d)
{
	struct route_rules rules;
	struct route_decision route;
	char text[ROUTE_TEXT];

	if (route_rules_init(&rules, c) < 0) {
		fprintf(stderr, "mirrord explain: out of memory\n");
		return 1;
	}
	route = route_pick(&rules, d->protocol, d->is_ip ? &d->ip : NULL, d->port, &d->name, d->is_ip ? 0 : 1);
	printf("%s %s %s\n", d->protocol == IPPROTO_TCP ? "tcp" : d->protocol == IPPROTO_UDP ? "udp" : "icmp", d->text, route_explain(&rules,
		&route, text));
	if (!d->is_ip) {
		explain_name(c, d);
		if (rules.filter && route.why == ROUTE_NO_RULE)
			puts("rules for addresses decide as well, once the name's address is known");
	}
	route_rules_fini(&rules);
	return 0;
}

static int protocol_from(const char *name)
{
	if (!name || strcmp(name, "tcp") == 0)
		return IPPROTO_TCP;
	if (strcmp(name, "udp") == 0)
		return IPPROTO_UDP;
	return strcmp(name, "icmp") == 0 ? IPPROTO_ICMP : -1;
}

int cli_explain(int argc, char **argv)
{
	struct config_options o = { 0 };
	struct destination d = { 0 };
	struct config config;
	int at = cli_parse(&command, argc, argv, &o), status;

	if (at < 0)
		return at == -2 ? 0 : 2;
	if (argc - at < 2 || argc - at > 3) {
		fprintf(stderr, "mirrord explain: expected FILE HOST:PORT [tcp|udp|icmp]\nsee `mirrord explain --help`\n");
		return 2;
	}
	d.protocol = protocol_from(argc - at == 3 ? argv[at + 2] : NULL);
	if (d.protocol < 0 || !parse(argv[at + 1], &d)) {
		fprintf(stderr, "mirrord explain: %s is no %s\n", d.protocol < 0 ? argv[at + 2] : argv[at + 1],
			d.protocol < 0 ? "protocol: tcp, udp and icmp are" : "destination: HOST:PORT, [IPV6]:PORT, or a host alone are");
		return 2;
	}
	if (d.protocol == IPPROTO_ICMP)
		d.port = 0;
	o.file = argv[at];
	if (config_options_load(&o, &config) < 0)
		return 2;
	status = explain(&config, &d);
	config_fini(&config);
	return status;
}
