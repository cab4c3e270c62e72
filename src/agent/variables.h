// SPDX-License-Identifier: MIT
/* The environment that the target's process was started with. */
#pragma once

#include "agent/enter.h"
#include "tunnel/info.h"

/* Adds the variables to @info: none where there is no process, or it may not be looked into. */
void variables_read(const struct entry *e, struct target_info *info);
