// SPDX-License-Identifier: MIT
#include "http/marks.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_cache_control(const uint8_t *line, size_t len)
{
	static const char name[] = "cache-control:";

	return len >= sizeof(name) - 1 && strncasecmp((const char *)line, name, sizeof(name) - 1) == 0;
}

/* The length of the line, its end included. */
static size_t line_length(const uint8_t *at, size_t len)
{
	const uint8_t *end = memchr(at, '\n', len);

	return end ? (size_t)(end - at) + 1 : len;
}

size_t http_mark_head(const struct http_marks *m, const uint8_t *head, size_t len, uint8_t *out)
{
	size_t at = 0, n = 0, line;
	bool begun = false;
	int added;

	for (; at < len; at += line) {
		line = line_length(head + at, len - at);
		if (line <= 2 && begun)
			break;
		begun |= line > 2; /* empty ones may come first */
		if (m->no_cache && is_cache_control(head + at, line))
			continue;
		memcpy(out + n, head + at, line);
		n += line;
	}
	added = snprintf((char *)out + n, HTTP_MARKS_MAX, "%s%s%s%s%s%s", m->agent ? "Mirrord-Agent: " : "", m->agent ? m->agent : "",
			 m->agent ? "\r\n" : "", m->no_cache ? "Cache-Control: " : "", m->no_cache ? HTTP_NO_CACHE : "", m->no_cache ? "\r\n" : "");
	n += (size_t)added;
	memcpy(out + n, head + at, len - at);
	return n + len - at;
}
