// SPDX-License-Identifier: MIT
#include "net/loopback.h"

#include "tap.h"

static const struct {
	const char *in, *real, *source, *destination;
	bool alias;
} rows[] = {
	{ "244.0.0.1", "127.0.0.1", "244.0.0.1", "244.0.0.1", true },
	{ "243.0.0.53", "127.0.0.53", "243.0.0.53", "243.0.0.53", true },
	{ "fd00:6d::1", "::1", "fd00:6d::1", "fd00:6d::1", true },
	{ "fd00:6d::2", "::1", "fd00:6d::2", "fd00:6d::2", true },
	{ "127.1.2.3", "127.1.2.3", "243.1.2.3", "244.1.2.3", false },
	{ "::1", "::1", "fd00:6d::2", "fd00:6d::1", false },
	{ "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", false },
	{ "242.0.0.1", "242.0.0.1", "242.0.0.1", "242.0.0.1", false },
	{ "fd00:6d::3", "fd00:6d::3", "fd00:6d::3", "fd00:6d::3", false },
};

int main(void)
{
	char text[IP_TEXT];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip ip, out;

		ip_parse(rows[i].in, &ip);
		tap_int(ip_is_loopback_alias(&ip), rows[i].alias, "%s is an alias", rows[i].in);
		out = loopback_from_alias(&ip);
		tap_str(ip_format(&out, text), rows[i].real, "%s as the program knows it", rows[i].in);
		out = loopback_to_source_alias(&ip);
		tap_str(ip_format(&out, text), rows[i].source, "%s as a source towards the twin", rows[i].in);
		out = loopback_to_destination_alias(&ip);
		tap_str(ip_format(&out, text), rows[i].destination, "%s as a destination in the twin", rows[i].in);
	}
	return tap_done();
}
