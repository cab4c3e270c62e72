// SPDX-License-Identifier: MIT
/* Names of Unix sockets: what connect(2) makes of an address, and back. */
#include "net/unix_name.h"

#include <stddef.h>

#include "tap.h"

enum { FAMILY = offsetof(struct sockaddr_un, sun_path) };

static char longest[UNIX_NAME_MAX + 2];

static const struct {
	const char *name, *path;
	size_t given; /* bytes of @path */
	size_t len;
	const char *text;
} rows[] = {
	{ "a path", "/run/x", 6, 6, "/run/x" },
	{ "a path and its 0", "/run/x", 7, 6, "/run/x" },
	{ "a path and what was behind it", "/run/x\0yz", 9, 6, "/run/x" },
	{ "a relative path", "x", 1, 1, "x" },
	{ "an abstract name", "\0x11", 4, 4, "@x11" },
	{ "an abstract name with 0 bytes in it and at its end", "\0a\0b\0", 5, 5, "@a?b?" },
	{ "the empty abstract name", "\0", 1, 1, "@" },
	{ "nothing", "", 0, 0, "" },
	{ "a path that fills it", longest, UNIX_NAME_MAX, UNIX_NAME_MAX, longest },
};

static void test_row(size_t i)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX }, back;
	struct unix_name n, again;
	char text[UNIX_NAME_MAX + 1];

	memcpy(sa.sun_path, rows[i].path, rows[i].given);
	unix_name_from_sockaddr(&n, &sa, FAMILY + rows[i].given);
	tap_int(n.len, rows[i].len, "%s: its length", rows[i].name);
	tap_int(unix_name_is_abstract(&n), rows[i].text[0] == '@', "%s: is abstract or not", rows[i].name);
	unix_name_format(&n, text);
	tap_str(text, rows[i].text, "%s: its text", rows[i].name);
	if (!n.len)
		return;
	unix_name_from_sockaddr(&again, &back, unix_name_to_sockaddr(&n, &back));
	tap_ok(again.len == n.len && memcmp(again.bytes, n.bytes, n.len) == 0, "%s: there and back", rows[i].name);
}

int main(void)
{
	struct sockaddr_un sa = { .sun_family = AF_INET, .sun_path = "/x" };
	struct unix_name n;

	memset(longest, 'p', UNIX_NAME_MAX);
	longest[0] = '/';
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		test_row(i);
	unix_name_from_sockaddr(&n, &sa, sizeof(sa));
	tap_int(n.len, 0, "another family");
	sa.sun_family = AF_UNIX;
	unix_name_from_sockaddr(&n, &sa, sizeof(sa) + 1);
	tap_int(n.len, 0, "an address that is too long");
	unix_name_from_sockaddr(&n, &sa, 1);
	tap_int(n.len, 0, "half a family");
	unix_name_set(&n, longest, UNIX_NAME_MAX + 1);
	tap_int(n.len, 0, "too many bytes");
	unix_name_set(&n, "/a\0b", 4);
	tap_int(n.len, 0, "a path with a 0 byte in it");
	return tap_done();
}
