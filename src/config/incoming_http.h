// SPDX-License-Identifier: MIT
/* What the agent is told of HTTP and TLS on the target's ports, beside the filter: http/options.h reads it. */
#pragma once

#include "base/error.h"
#include "config/config.h"

/* JSON text with the contents of this machine's files that are named in it, in the arena; *ret NULL when all is as it is without. Returns 0,
 * or -1 with @err: a file can't be read, or a value is wrong. */
int incoming_http_text(const struct config *c, char **ret, struct error *err);
/* Does the configuration ask for TLS to be decrypted? */
bool incoming_http_decrypts(const struct config *c);
