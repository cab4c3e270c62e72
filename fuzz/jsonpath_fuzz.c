// SPDX-License-Identifier: MIT
/* A JSONPath, a NUL byte, and the document that it selects from. */
#include "http/jsonpath.h"

#include <string.h>

#include "fuzz.h"
#include "http/json_text.h"

static bool on_node(void *arg, json_t *node)
{
	size_t len, *n = arg;
	char *text = json_text(node, &len);
	json_t *again = text ? json_read((struct span){ text, len }) : NULL;

	fuzz_check(again && jsonpath_equal(again, node)); /* what is written reads back as the same */
	json_decref(again);
	free(text);
	return ++*n < 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, 0, size);
	struct error err = { 0 };
	struct jsonpath *p;
	json_t *document;
	size_t n = 0;

	if (!end)
		return 0;
	p = jsonpath_compile((struct span){ (const char *)data, (size_t)(end - data) }, &err);
	fuzz_check(!p == error_is_set(&err));
	document = json_read((struct span){ (const char *)end + 1, size - (size_t)(end - data) - 1 });
	if (p && document)
		jsonpath_select(p, document, on_node, &n);
	json_decref(document);
	jsonpath_free(p);
	return 0;
}
