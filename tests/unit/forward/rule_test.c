// SPDX-License-Identifier: MIT
#include "forward/rule.h"

#include <stdlib.h>

#include "tap.h"

/* @want: as forward_rule_format() says it; NULL: it is refused. */
static const struct {
	const char *text, *want;
	bool remote;
} rows[] = {
	{ "db:5432", "127.0.0.1:5432 leads to db:5432 in the target", false },
	{ "15432:db:5432", "127.0.0.1:15432 leads to db:5432 in the target", false },
	{ "0:db:5432", "127.0.0.1:0 leads to db:5432 in the target", false },
	{ "0.0.0.0:80:db.data.svc:81/tcp", "0.0.0.0:80 leads to db.data.svc:81 in the target", false },
	{ "localhost:80:db:81", "127.0.0.1:80 leads to db:81 in the target", false },
	{ "*:80:db:81", "[::]:80 leads to db:81 in the target", false },
	{ "[::1]:80:[fd00::5]:81", "[::1]:80 leads to [fd00::5]:81 in the target", false },
	{ "[fd00::5]:81", "127.0.0.1:81 leads to [fd00::5]:81 in the target", false },
	{ "5353:10.96.0.10:53/udp", "127.0.0.1:5353 (UDP) leads to 10.96.0.10:53 in the target", false },
	{ "db.:1", "127.0.0.1:1 leads to db.:1 in the target", false },
	{ "8080", "port 8080 of the target leads to localhost:8080 here", true },
	{ "80:8080", "port 80 of the target leads to localhost:8080 here", true },
	{ "80:app.local:8080", "port 80 of the target leads to app.local:8080 here", true },
	{ "80:[::1]:8080/udp", "port 80 of the target (UDP) leads to [::1]:8080 here", true },
	{ "65535:65535", "port 65535 of the target leads to localhost:65535 here", true },
	{ "", NULL, false },
	{ ":", NULL, false },
	{ "/udp", NULL, false },
	{ "db", NULL, false },
	{ "5432", NULL, false },
	{ "db:0", NULL, false },
	{ "db:65536", NULL, false },
	{ "db:000080", NULL, false },
	{ "db:-1", NULL, false },
	{ "db:+80", NULL, false },
	{ "db: 80", NULL, false },
	{ "80:db:", NULL, false },
	{ ":db:80", NULL, false },
	{ "80::80", NULL, false },
	{ "host:80:db:80", NULL, false },
	{ "1:2:3:4:5", NULL, false },
	{ "fd00::5:81", NULL, false },
	{ "[fd00::5:81", NULL, false },
	{ "[fd00::5]81", NULL, false },
	{ "[fd00::zz]:81", NULL, false },
	{ "[db]:81", NULL, false },
	{ "a..b:80", NULL, false },
	{ "db:80/sctp", NULL, false },
	{ "db:80/", NULL, false },
	{ "", NULL, true },
	{ "0", NULL, true },
	{ "0:80", NULL, true },
	{ "80:0", NULL, true },
	{ "db:80", NULL, true },
	{ "1:a:2:3", NULL, true },
};

static void test_rows(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct forward_rule r;
		struct error err = { 0 };
		char text[FORWARD_RULE_TEXT];
		int rc = forward_rule_parse(rows[i].remote, rows[i].text, &r, &err);
		char letter = rows[i].remote ? 'R' : 'L';

		if (!rows[i].want)
			tap_ok(rc < 0 && strstr(err.text, rows[i].text) && err.hint[0], "-%c %s is refused", letter, rows[i].text);
		else
			tap_str(rc == 0 ? forward_rule_format(&r, text) : err.text, rows[i].want, "-%c %s", letter, rows[i].text);
	}
}

/* No length of anything writes where it may not (the test runs under ASan as well). */
static void test_lengths(void)
{
	bool all = true;

	for (size_t len = 1; len < 1200; len += len < 600 ? 1 : 37) {
		struct forward_rule r;
		struct error err = { 0 };
		char text[1300];

		memset(text, 'a', len);
		strcpy(text + len, ":80");
		all &= (forward_rule_parse(false, text, &r, &err) == 0) == (len <= 63);
		memset(text, '1', len);
		all &= (forward_rule_parse(true, text, &r, &err) == 0) == false || len <= 5;
	}
	tap_ok(all, "names and numbers of every length");
}

static void test_clashes(void)
{
	static const struct {
		const char *a, *b;
		bool want;
	} pairs[] = {
		{ "80:a:1", "80:b:2", true },	   { "80:a:1", "81:a:1", false },      { "80:a:1", "80:a:1/udp", false },
		{ "0:a:1", "0:a:1", false },	   { "127.0.0.2:80:a:1", "80:a:1", false },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct forward_rule a, b;
		struct error err = { 0 };

		forward_rule_parse(false, pairs[i].a, &a, &err);
		forward_rule_parse(false, pairs[i].b, &b, &err);
		tap_int(forward_rule_clashes(&a, &b), pairs[i].want, "%s and %s", pairs[i].a, pairs[i].b);
	}
}

int main(void)
{
	test_rows();
	test_lengths();
	test_clashes();
	return tap_done();
}
