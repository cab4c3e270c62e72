// SPDX-License-Identifier: MIT
#include "base/base64.h"

#include <stdlib.h>

#include "tap.h"

/* RFC 4648 §10, and what differs in the two alphabets. */
static const struct {
	const char *plain, *encoded, *url;
} rows[] = {
	{ "", "", "" },
	{ "f", "Zg==", "Zg" },
	{ "fo", "Zm8=", "Zm8" },
	{ "foo", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg==", "Zm9vYg" },
	{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
	{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	{ "\xff\xef\xbf", "/++/", "_--_" },
};

static void check_rows(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char encoded[32], *plain;
		uint8_t out[16];
		size_t len = strlen(rows[i].plain), n = 99;

		base64_encode((const uint8_t *)rows[i].plain, len, encoded);
		tap_str(encoded, rows[i].encoded, "base64 of \"%s\"", rows[i].encoded);
		tap_int(BASE64_ROOM(len), strlen(encoded) + 1, "its room");
		plain = base64_decode(rows[i].encoded, &n);
		tap_ok(plain && n == len && memcmp(plain, rows[i].plain, len + 1) == 0, "and back");
		free(plain);
		tap_ok(base64url_decode(rows[i].url, strlen(rows[i].url), out, len, &n) && n == len && memcmp(out, rows[i].plain, len) == 0,
		       "base64url \"%s\"", rows[i].url);
		if (len)
			tap_ok(!base64url_decode(rows[i].url, strlen(rows[i].url), out, len - 1, &n), "no room for its last byte");
	}
}

static void check_white_space(void)
{
	size_t len = 0;
	char *plain = base64_decode(" Zm9v\r\n\tYmFy \n", &len);

	tap_ok(plain && len == 6 && strcmp(plain, "foobar") == 0, "white space is passed over");
	free(plain);
}

static void check_bad(void)
{
	static const char *const bad[] = { "Zg", "Zg=", "=", "====", "Zm9v=", "Z===", "Zg==Zg==", "Zm9v!", "Zm9v-_-_", "Zm9vZ" };
	static const char *const bad_url[] = { "Z", "Zg==", "Zm9v+/+/", "Zm 9v", "Zm9vZ" };
	uint8_t out[16];
	size_t n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *plain = base64_decode(bad[i], NULL);

		tap_ok(!plain, "\"%s\" is not base64", bad[i]);
		free(plain);
	}
	for (size_t i = 0; i < sizeof(bad_url) / sizeof(bad_url[0]); i++)
		tap_ok(!base64url_decode(bad_url[i], strlen(bad_url[i]), out, sizeof(out), &n), "\"%s\" is not base64url", bad_url[i]);
	tap_ok(!base64url_decode("Zm9\0", 4, out, sizeof(out), &n), "nor is a NUL");
}

int main(void)
{
	check_rows();
	check_white_space();
	check_bad();
	return tap_done();
}
