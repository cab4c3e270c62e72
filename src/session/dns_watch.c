// SPDX-License-Identifier: MIT
/* DNS as it passes: into the log. */
#include "session/dns_watch.h"

#include "base/log.h"

void dns_watch(const uint8_t *message, size_t len, const struct endpoint *server, bool answer)
{
	char text[ENDPOINT_TEXT];

	log_debug("dns: %s %s: %zu bytes", answer ? "answer from" : "question to", endpoint_format(server, text), len);
}
