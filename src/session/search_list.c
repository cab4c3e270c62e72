// SPDX-License-Identifier: MIT
/* Search lists and hosts files. */
#include "session/search_list.h"

#include <stdio.h>
#include <string.h>

#include "config/address_rule.h"

/* False where the suffix is none, or the name would be too long with it. */
static bool add_suffix(const struct dns_name *name, const char *word, size_t len, struct dns_name *ret)
{
	char text[256];
	struct dns_name suffix;

	if (!len || len >= sizeof(text))
		return false;
	memcpy(text, word, len);
	text[len] = '\0';
	if (!address_name_to_dns(text, &suffix) || name->len - 1u + suffix.len > sizeof(ret->wire))
		return false;
	*ret = (struct dns_name){ .len = (uint8_t)(name->len - 1u + suffix.len) };
	memcpy(ret->wire, name->wire, name->len - 1u);
	memcpy(ret->wire + name->len - 1, suffix.wire, suffix.len);
	return true;
}

size_t search_forms(const char *search, const struct dns_name *name, struct dns_name ret[SEARCH_FORMS])
{
	size_t n = 0;

	for (const char *p = search; p && *p && n + 1 < SEARCH_FORMS;) {
		size_t len;

		p += strspn(p, " \t\r");
		len = strcspn(p, " \t\r");
		n += add_suffix(name, p, len, &ret[n]);
		p += len;
	}
	ret[n++] = *name;
	return n;
}

size_t hosts_find(const char *hosts, const char *name, struct ip *ret, size_t max)
{
	size_t n = 0;

	for (const char *line = hosts; line && *line && n < max; line = strchr(line, '\n')) {
		char copy[1024], *save = NULL, *word;
		struct ip ip;

		line += *line == '\n';
		snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(line, "#\n"), line);
		word = strtok_r(copy, " \t\r", &save);
		if (!word || !ip_parse(word, &ip))
			continue;
		while ((word = strtok_r(NULL, " \t\r", &save)))
			if (strcasecmp(word, name) == 0) {
				ret[n++] = ip;
				break;
			}
	}
	return n;
}
