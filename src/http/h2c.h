// SPDX-License-Identifier: MIT
/* HTTP/1.1's way to HTTP/2 (RFC 7540 §3.2; curl's and Java's clients still go it): Upgrade: h2c, answered by 101. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/request.h"

enum { H2C_SETTINGS = 96 };

/* Does the request ask for it? Then @ret has what its client would send in SETTINGS. */
bool h2c_is_asked(const struct http_request *r, uint8_t ret[H2C_SETTINGS], size_t *ret_len);
/* Does the head of a 101, whole, grant it? One that names no protocol does. */
bool h2c_is_granted(const uint8_t *head, size_t len);
