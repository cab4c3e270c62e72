// SPDX-License-Identifier: MIT
/* The JSON schema (draft 7) of the configuration, from the table of keys: editors complete and check by it. */
#pragma once

#include "config/node.h"

struct node *schema_tree(struct arena *a);
