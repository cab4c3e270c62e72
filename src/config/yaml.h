// SPDX-License-Identifier: MIT
/* YAML. */
#pragma once

#include "config/node.h"
#include "config/source.h"

/* NULL after an error that was added to the source's problems. An empty document is an empty object. */
struct node *yaml_parse(struct source *s);
