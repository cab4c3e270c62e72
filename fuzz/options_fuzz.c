// SPDX-License-Identifier: MIT
/* What a session says of HTTP beside its filter: read, or refused with words. */
#include "http/options.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_options o;
	struct error err = { 0 };
	char *text = malloc(size + 1);
	int rc;

	fuzz_check(text);
	memcpy(text, data, size);
	text[size] = '\0';
	rc = http_options_parse(text, &o, &err);
	fuzz_check((rc < 0) == error_is_set(&err));
	if (rc == 0) {
		fuzz_check(o.n_tls <= TLS_PORTS && o.body_max <= HTTP_BODY_MOST && o.body_ms);
		for (size_t i = 0; i < o.n_tls; i++)
			fuzz_check(o.tls[i].port && o.tls[i].n_alpn <= TLS_NAMES && o.tls[i].app.n_roots <= TLS_ROOTS);
		http_options_fini(&o);
	}
	free(text);
	return 0;
}
