// SPDX-License-Identifier: MIT
/* The configuration in force, as a file that says the same. */
#pragma once

#include <stdio.h>

#include "config/config.h"
#include "config/node.h"

/* As a tree, without keys that are unset. */
struct node *resolved_tree(const struct config *c, struct arena *a);
/* As JSON with a comment behind each value that says where it came from. */
void resolved_write(FILE *out, const struct config *c);
/* "mirrord.json:3:5", "MIRRORD_TCP_OUTGOING", "--steal", "default". */
const char *resolved_origin(const struct config *c, enum config_key key, struct arena *a);
