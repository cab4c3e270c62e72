// SPDX-License-Identifier: MIT
#include "http/request.h"

#include <strings.h>

bool span_is(struct span s, const char *word)
{
	return strlen(word) == s.len && strncasecmp(s.at, word, s.len) == 0;
}

bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
	while (s.len && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

bool span_split(struct span *rest, char separator, struct span *ret)
{
	const char *end;

	if (!rest->at)
		return false;
	end = memchr(rest->at, separator, rest->len);
	*ret = (struct span){ rest->at, end ? (size_t)(end - rest->at) : rest->len };
	if (end)
		*rest = (struct span){ end + 1, rest->len - ret->len - 1 };
	else
		*rest = (struct span){ NULL, 0 };
	return true;
}

bool span_lists(struct span list, struct span word)
{
	struct span member;

	while (span_split(&list, ',', &member)) {
		member = span_trim(member);
		if (member.len == word.len && strncasecmp(member.at, word.at, word.len) == 0)
			return true;
	}
	return false;
}
