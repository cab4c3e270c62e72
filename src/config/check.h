// SPDX-License-Identifier: MIT
/* What one key demands of another. */
#pragma once

#include "config/config.h"

/* Adds errors and warnings about values that don't fit together, with the places where they were set. */
void config_check(struct config *c, struct problem_list *problems);
/* Adds a warning, or with @strict an error, for what was set and has no effect here. */
void config_check_status(const struct config *c, bool strict, struct problem_list *problems);
