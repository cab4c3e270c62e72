// SPDX-License-Identifier: MIT
/* The environment that the target's process was started with. */
#pragma once

#include "agent/enter.h"
#include "tunnel/info.h"

/* Adds the variables to @info: none where there is no process, or it may not be looked into. */
void variables_read(const struct entry *e, struct target_info *info);
/* The same from the contents of an environ file: NAME=value, each with a 0 byte behind it. What is no variable, and what is too much, is left out. */
void variables_split(const char *text, size_t len, struct target_info *info);
