// SPDX-License-Identifier: MIT
/* Env files: lines NAME=value, as the original's reader (dotenvy) has them. */
#pragma once

#include "config/node.h"
#include "config/problem.h"

/* What is wrong with the lines is told in @problems, all of it. $NAME in a value is what @environ (may be NULL) says of it, or a line before. @text
 * has a NUL behind it; @path is for messages. Returns an object of strings, the arena's. */
struct node *env_file_parse(const char *path, const char *text, size_t len, char *const *environ, struct arena *a, struct problem_list *problems);
/* The same of a file; NULL with errno when it can't be read. */
struct node *env_file_read(const char *path, char *const *environ, struct arena *a, struct problem_list *problems);
