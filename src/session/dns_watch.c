// SPDX-License-Identifier: MIT
/* DNS as it passes. */
#include "session/dns_watch.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "net/dns.h"
#include "session/names.h"

static void log_question(const struct dns_message *m, const struct endpoint *server)
{
	struct dns_cursor c = dns_questions(m);
	struct dns_question q;
	char name[DNS_NAME_TEXT], type[DNS_WORD_TEXT], to[ENDPOINT_TEXT];

	while (dns_next_question(&c, &q) > 0)
		log_debug("dns: %s %s? to %s", dns_name_format(&q.name, name), dns_type_format(q.type, type), endpoint_format(server, to));
}

static void log_address(void *arg, const struct dns_name *name, const struct ip *ip, uint32_t ttl)
{
	char text[DNS_NAME_TEXT], address[IP_TEXT];

	log_debug("dns: %s is %s for %u s", dns_name_format(name, text), ip_format(ip, address), ttl);
}

static void log_answer(const struct dns_message *m, const struct endpoint *server)
{
	struct dns_cursor c = dns_questions(m);
	struct dns_question q;
	char name[DNS_NAME_TEXT], type[DNS_WORD_TEXT], rcode[DNS_WORD_TEXT], from[ENDPOINT_TEXT];

	if (dns_next_question(&c, &q) > 0)
		log_debug("dns: %s %s: %s, %u answers%s, from %s", dns_name_format(&q.name, name), dns_type_format(q.type, type),
			  dns_rcode_format(m->rcode, rcode), m->records[DNS_ANSWER], m->truncated ? ", truncated" : "",
			  endpoint_format(server, from));
	dns_each_address(m, log_address, NULL);
}

void dns_watch_question(const uint8_t *message, size_t len, const struct endpoint *server)
{
	struct dns_message m;

	if (log_enabled(LOG_LEVEL_DEBUG) && dns_parse(message, len, &m) == 0 && !m.response)
		log_question(&m, server);
}

void dns_watch_answer(struct names *names, const uint8_t *message, size_t len, const struct endpoint *server, uint64_t now)
{
	struct dns_message m;

	if (dns_parse(message, len, &m) < 0 || !m.response)
		return;
	names_learn(names, &m, now);
	if (log_enabled(LOG_LEVEL_DEBUG))
		log_answer(&m, server);
}
