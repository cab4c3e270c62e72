// SPDX-License-Identifier: MIT
/* A filter of many rules answers as its rules do one by one. Input: rules, one a line; then, after an empty line, names to ask for. Addresses
 * are made of the same bytes. */
#include <netinet/in.h>
#include <string.h>

#include "config/address_filter.h"
#include "fuzz.h"

enum { RULES = 64, QUESTIONS = 16 };

static int one_by_one_ip(const struct address_filter *f, int protocol, const struct ip *ip, uint16_t port)
{
	for (size_t i = 0; i < address_filter_count(f); i++) {
		const struct address_rule *r = address_filter_rule(f, i);

		if (r->host == RULE_NAME || (r->host == RULE_PREFIX && !address_rule_ip_matches(r, ip)))
			continue;
		if (address_rule_port_matches(r, protocol, port))
			return (int)i;
	}
	return -1;
}

static int one_by_one_name(const struct address_filter *f, int protocol, const struct dns_name *name, uint16_t port)
{
	for (size_t i = 0; i < address_filter_count(f); i++) {
		const struct address_rule *r = address_filter_rule(f, i);

		if (r->host == RULE_NAME && address_rule_name_matches(r, name) && address_rule_port_matches(r, protocol, port))
			return (int)i;
	}
	return -1;
}

static void ask(const struct address_filter *f, const char *text)
{
	static const int protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP };
	size_t len = strlen(text);
	struct ip ip = { 0 };
	struct dns_name name;
	uint16_t port = (uint16_t)(len ? (uint8_t)text[0] << 8 | (uint8_t)text[len - 1] : 0);
	bool is_name = address_name_to_dns(text, &name);

	if (!ip_parse(text, &ip))
		memcpy(ip.b, text, len < sizeof(ip.b) ? len : sizeof(ip.b));
	for (size_t i = 0; i < 3; i++) {
		uint16_t p = protocols[i] == IPPROTO_ICMP ? 0 : port;

		fuzz_check(address_filter_match_ip(f, protocols[i], &ip, p) == one_by_one_ip(f, protocols[i], &ip, p));
		if (is_name)
			fuzz_check(address_filter_match_name(f, protocols[i], &name, p) == one_by_one_name(f, protocols[i], &name, p));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *rules[RULES], *questions[QUESTIONS], *save = NULL;
	size_t n_rules = 0, n_questions = 0;
	struct address_filter *f;
	char *split;

	memcpy(text, data, size);
	text[size] = '\0';
	split = strstr(text, "\n\n");
	if (split)
		*split = '\0';
	for (char *line = strtok_r(text, "\n", &save); line && n_rules < RULES; line = strtok_r(NULL, "\n", &save))
		rules[n_rules++] = line;
	for (char *line = split ? strtok_r(split + 2, "\n", &save) : NULL; line && n_questions < QUESTIONS; line = strtok_r(NULL, "\n", &save))
		questions[n_questions++] = line;
	f = address_filter_new(rules, n_rules);
	fuzz_check(f);
	for (size_t i = 0; i < n_questions; i++)
		ask(f, questions[i]);
	address_filter_free(f);
	free(text);
	return 0;
}
