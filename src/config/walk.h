// SPDX-License-Identifier: MIT
/* From a file's tree to the fields of the configuration. */
#pragma once

#include "config/value.h"

/* Sets all keys that @root has. What is wrong is added to the problems. */
void config_walk(const struct value_context *c, const struct node *root);
/* In place of a section's object. False when @section knows no such value; then nothing is added. */
bool config_short_form(const struct value_context *c, enum config_key section, const struct node *n);
