// SPDX-License-Identifier: MIT
/* "Did you mean …": the word of a list that a mistyped one is nearest to. */
#pragma once

/* The member of @words (ends with NULL) with the least edit distance to @typed: letters added, left out, replaced or
 * swapped with their neighbour. NULL when none is near enough to be meant. */
const char *nearest_word(const char *typed, const char *const *words);
