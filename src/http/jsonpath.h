// SPDX-License-Identifier: MIT
/* JSONPath (RFC 9535), with one function more: typeof(nodes) is "null", "bool", "number", "string", "array" or "object", and Nothing for
 * no nodes or nodes of several types. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "http/request.h"

struct jsonpath;

/* NULL with @err: "offset 4: a name must follow". */
struct jsonpath *jsonpath_compile(struct span text, struct error *err);
void jsonpath_free(struct jsonpath *p);

/* Gives the selected nodes in order until @found returns false. Returns 0; or -1 when it took more than JSONPATH_STEPS, and some nodes
 * were not given. */
int jsonpath_select(const struct jsonpath *p, json_t *root, bool (*found)(void *arg, json_t *node), void *arg);
enum { JSONPATH_STEPS = 200000 };

/* As RFC 9535 §2.3.5.2.2 compares: 1 and 1.0 are equal. What takes more than JSONPATH_STEPS isn't. */
bool jsonpath_equal(const json_t *a, const json_t *b);
