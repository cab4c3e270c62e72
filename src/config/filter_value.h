// SPDX-License-Identifier: MIT
/* Values of the kind FILTER: {"local": […]} or {"remote": […]}. */
#pragma once

#include "config/value.h"

bool filter_value_set(const struct value_context *c, enum config_key key, const struct node *n);
/* A string or an array of strings at @path. */
bool strings_value_read(const struct value_context *c, enum config_key key, const struct node *n, const char *path, struct config_strings *ret);
/* The DNS filter in force: the names of the outgoing filter are added to it, unless the two say opposite things. */
void filter_value_derive(struct config *c);
/* Warnings about entries that can never match, and filters that say opposite things. */
void filter_value_check(const struct config *c, struct problem_list *problems);
