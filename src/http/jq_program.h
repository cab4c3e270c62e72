// SPDX-License-Identifier: MIT
/* jq programs on header lines. libjq has no limits of its own, and ends its process without memory; so a program runs in a process of its
 * own, which is started when it is first needed and has no descriptor but its way to us. */
#pragma once

#include "base/error.h"
#include "http/request.h"

struct jq;

enum { JQ_LIMIT_MS = 50, JQ_MEMORY = 64 << 20, JQ_TROUBLE = -1 };

/* Checks the program. NULL with @err: no libjq here, or what is wrong with the program. */
struct jq *jq_compile_text(struct span text, struct error *err);
void jq_free(struct jq *jq);
/* Runs the program on each line as a JSON string; its first boolean result decides. 1: true of one line; 0: of none; JQ_TROUBLE: it took
 * more than JQ_LIMIT_MS of processor time or JQ_MEMORY bytes, or there is no process to run it in. */
int jq_any(struct jq *jq, const struct http_field *fields, size_t n);
