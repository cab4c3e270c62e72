// SPDX-License-Identifier: MIT
/* Targets that are written as objects: {"deployment": "shop", "container": "app"}. */
#pragma once

#include "config/value.h"

/* Such an object, at @n, as a target's path. False when it isn't one: then nothing is added. */
bool target_object_read(const struct value_context *c, const struct node *n);
/* The @n-th name for a kind in such an object, "cron_job"; NULL behind the last, which is "labels": the only one whose value is an object. */
const char *target_object_key(size_t n);
/* The name in such an object that is nearest to @name; NULL when none is. */
const char *target_object_nearest(const char *name);
/* The object of a path's parts: @kind as in a path, "cronjob"; @name, of labels "a=b,c=d"; @container "" for none, which is
 * null then as in the original, but absent of labels. NULL when there is no such kind. */
struct node *target_object_make(struct arena *a, const char *kind, const char *name, const char *container);
