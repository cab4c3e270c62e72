// SPDX-License-Identifier: MIT
/* JSON of foreign origin: read, and written as compact text with the shortest numbers. */
#pragma once

#include <jansson.h>

#include "http/request.h"

/* One document of any type; NULL when it is none. Integers beyond 64 bits become reals. */
json_t *json_read(struct span text);
/* The caller's; NULL without memory. */
char *json_text(const json_t *value, size_t *ret_len);
