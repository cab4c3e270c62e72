// SPDX-License-Identifier: MIT
/* JSON (RFC 8259) as people write it by hand: with comments, and a comma behind the last. */
#pragma once

#include "config/node.h"
#include "config/source.h"

/* NULL after an error that was added to the source's problems. */
struct node *json_parse(struct source *s);
