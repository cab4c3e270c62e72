// SPDX-License-Identifier: MIT
/* Where the copy of a connection that was there before may begin: at a request. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes, where a client's segment began, start with the whole first line of an HTTP/1 request. */
bool capture_request_start(const uint8_t *data, size_t len);
