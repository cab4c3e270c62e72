// SPDX-License-Identifier: MIT
#include "net/addr.h"

#include "tap.h"

static const struct {
	const char *text, *prefix;
	unsigned int len;
	bool in, v4, loopback;
} rows[] = {
	{ "10.1.2.3", "10.0.0.0", 8, true, true, false },
	{ "10.1.2.3", "10.1.2.2", 31, true, true, false },
	{ "10.1.2.3", "10.1.2.4", 31, false, true, false },
	{ "127.0.0.53", "0.0.0.0", 0, true, true, true },
	{ "::ffff:127.0.0.1", "127.0.0.0", 8, true, true, true },
	{ "::1", "::", 0, true, false, true },
	{ "fd00::1", "fd00::", 64, true, false, false },
	{ "fd00:0:0:1::1", "fd00::", 64, false, false, false },
	{ "fd00::1", "10.0.0.0", 0, false, false, false },
	{ "fd00::1", "fd00::", 129, false, false, false },
};

static const struct {
	const char *text;
	bool is;
} link_local[] = { { "fe80::1", true }, { "febf::1", true }, { "fec0::1", false }, { "fd00::1", false }, { "::", false }, { "169.254.1.1", false } };

int main(void)
{
	struct ip ip, prefix;
	struct endpoint e, back;
	struct sockaddr_storage sa;
	char buf[ENDPOINT_TEXT];

	for (size_t i = 0; i < sizeof(link_local) / sizeof(link_local[0]); i++)
		tap_int(ip_parse(link_local[i].text, &ip) && ip_is_link_local6(&ip), link_local[i].is, "%s link-local", link_local[i].text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tap_ok(ip_parse(rows[i].text, &ip) && ip_parse(rows[i].prefix, &prefix), "parse %s", rows[i].text);
		tap_int(ip_in_prefix(&ip, &prefix, rows[i].len), rows[i].in, "%s in %s/%u", rows[i].text,
			rows[i].prefix, rows[i].len);
		tap_int(ip_is_v4(&ip), rows[i].v4, "%s family", rows[i].text);
		tap_int(ip_is_loopback(&ip), rows[i].loopback, "%s loopback", rows[i].text);
		e = (struct endpoint){ .ip = ip, .port = 8080 };
		endpoint_to_sockaddr(&e, &sa);
		tap_ok(endpoint_from_sockaddr(&sa, &back) && endpoint_equal(&e, &back), "%s through sockaddr",
		       rows[i].text);
	}
	tap_ok(!ip_parse("10.0.0", &ip) && !ip_parse("x", &ip) && !ip_parse("", &ip), "no addresses");
	ip_parse("fd00::1", &e.ip);
	tap_str(endpoint_format(&e, buf), "[fd00::1]:8080", "format v6");
	ip_parse("10.0.0.1", &e.ip);
	tap_str(endpoint_format(&e, buf), "10.0.0.1:8080", "format v4");
	return tap_done();
}
