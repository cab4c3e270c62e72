// SPDX-License-Identifier: MIT
/* TOML 1.0. */
#pragma once

#include "config/node.h"
#include "config/source.h"

/* NULL after an error that was added to the source's problems. */
struct node *toml_parse(struct source *s);
