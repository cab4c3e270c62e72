// SPDX-License-Identifier: MIT
/* Texts about the keys, from their table: docs/configuration.md, docs/compatibility.md, `mirrord config explain`. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

void reference_write_configuration(FILE *out);
void reference_write_compatibility(FILE *out);
/* What there is to say of the key or section of that path, or of the keys that a variable or an option of that name sets. False when there
 * is none. */
bool reference_explain(FILE *out, const char *word);
