// SPDX-License-Identifier: MIT
/* The upgrade from HTTP/1.1 to HTTP/2: who asks for it, with what, and who grants it. */
#include "http/h2c.h"

#include <string.h>

#include "guard.h"
#include "tap.h"

#define SETTINGS "AAMAAABkAAQCAAAAAAIAAAAA" /* what curl sends: three of them */

static const struct {
	const char *name, *upgrade, *settings[2];
	int len; /* -1: not asked */
} requests[] = {
	{ "as curl does", "upgrade: h2c", { "http2-settings: " SETTINGS }, 18 },
	{ "among others, in capitals", "upgrade: websocket , H2C", { "http2-settings: " SETTINGS }, 18 },
	{ "no setting", "upgrade: h2c", { "http2-settings: " }, 0 },
	{ "without settings", "upgrade: h2c", { NULL }, -1 },
	{ "with settings twice", "upgrade: h2c", { "http2-settings: " SETTINGS, "http2-settings: " SETTINGS }, -1 },
	{ "another protocol", "upgrade: h2c2", { "http2-settings: " SETTINGS }, -1 },
	{ "over TLS", "upgrade: h2", { "http2-settings: " SETTINGS }, -1 },
	{ "a setting cut", "upgrade: h2c", { "http2-settings: AAMAAABkAAQ" }, -1 },
	{ "no base64url", "upgrade: h2c", { "http2-settings: AAMAAABk====" }, -1 },
	{ "base64url's own letters", "upgrade: h2c", { "http2-settings: ____----" }, 6 },
	{ "too many", "upgrade: h2c", { "http2-settings: " SETTINGS SETTINGS SETTINGS SETTINGS SETTINGS SETTINGS }, -1 },
};

static const struct {
	const char *name, *head;
	bool granted;
} answers[] = {
	{ "granted", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", true },
	{ "in capitals, with spaces", "HTTP/1.1 101 x\r\nUPGRADE:  H2C \r\n\r\n", true },
	{ "another one", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", false },
	{ "named by nobody", "HTTP/1.1 101 Switching Protocols\r\n\r\n", true },
};

static void test_requests(void)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const char *lines[] = { "host: a", requests[i].upgrade, requests[i].settings[0], requests[i].settings[1] };
		struct http_field fields[4];
		struct http_request r = { .fields = fields };
		uint8_t settings[H2C_SETTINGS];
		size_t len = 0;
		bool asked;

		for (size_t k = 0; k < 4 && lines[k]; k++)
			fields[r.n_fields++] = (struct http_field){ lines[k], (uint32_t)strcspn(lines[k], ":"), (uint32_t)strlen(lines[k]) };
		asked = h2c_is_asked(&r, settings, &len);
		tap_int(asked ? (int)len : -1, requests[i].len, "%s", requests[i].name);
		if (len == 18)
			tap_ok(memcmp(settings, "\0\3\0\0\0\x64\0\4\2\0\0\0\0\2\0\0\0\0", 18) == 0, "%s: the settings", requests[i].name);
	}
}

int main(void)
{
	test_requests();
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		size_t len = strlen(answers[i].head);

		tap_int(h2c_is_granted(guard_copy(answers[i].head, len), len), answers[i].granted, "%s", answers[i].name);
	}
	return tap_done();
}
