// SPDX-License-Identifier: MIT
/* A safe place in the middle of a stream.
 *
 * Of a protocol without messages that stand alone there is none. HTTP/1 has one at each request, and pools of connections that live for
 * hours speak it (ingress controllers, gateways). A client writes a request's head at once, so it begins a segment, and the first line is in
 * it. A body that has such a line exactly where a segment begins would be taken for a request; HTTP/2 has no such place. */
#include "capture/request_start.h"

#include <string.h>

enum { METHOD_MAX = 32 };

bool capture_request_start(const uint8_t *data, size_t len)
{
	const uint8_t *end = memchr(data, '\n', len);
	size_t method = 0, line;

	if (!end)
		return false;
	line = (size_t)(end - data);
	if (line && data[line - 1] == '\r')
		line--;
	while (method < line && method < METHOD_MAX && ((data[method] >= 'A' && data[method] <= 'Z') || data[method] == '-'))
		method++;
	/* "GET / HTTP/1.1" */
	if (!method || line < method + 11 || data[method] != ' ' || memcmp(data + line - 9, " HTTP/1.", 8) != 0)
		return false;
	return data[line - 1] == '0' || data[line - 1] == '1';
}
