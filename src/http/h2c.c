// SPDX-License-Identifier: MIT
#include "http/h2c.h"

#include <string.h>

#include "base/base64.h"

/* RFC 7540 §3.2.1. */
static bool decode(struct span text, uint8_t ret[H2C_SETTINGS], size_t *ret_len)
{
	return base64url_decode(text.at, text.len, ret, H2C_SETTINGS, ret_len) && *ret_len % 6 == 0;
}

bool h2c_is_asked(const struct http_request *r, uint8_t ret[H2C_SETTINGS], size_t *ret_len)
{
	struct span settings = { NULL, 0 };
	bool asked = false, twice = false;

	for (size_t i = 0; i < r->n_fields; i++) {
		struct span name = http_field_name(&r->fields[i]), value = http_field_value(&r->fields[i]);

		if (span_equal(name, span_of("upgrade"))) {
			asked |= span_lists(value, span_of("h2c"));
		} else if (span_equal(name, span_of("http2-settings"))) {
			twice |= settings.at != NULL;
			settings = value;
		}
	}
	return asked && settings.at && !twice && decode(settings, ret, ret_len);
}

/* Jetty 9.4 grants it without a word of what it grants, and clients take it so. */
bool h2c_is_granted(const uint8_t *head, size_t len)
{
	struct span rest = { (const char *)head, len }, line, name;

	while (span_split(&rest, '\n', &line)) {
		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		if (span_split(&line, ':', &name) && span_is(name, "upgrade") && line.at)
			return span_is(span_trim(line), "h2c");
	}
	return true;
}
