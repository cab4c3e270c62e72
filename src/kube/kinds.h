// SPDX-License-Identifier: MIT
/* Where the API has each kind of target. Internal to the kube library. */
#pragma once

#include "kube/client.h"
#include "target/target.h"

/* "deployments". NULL for kinds without objects of their own (label, targetless). */
const char *kube_kind_plural(enum target_kind kind);
/* Path of object @name, or with NULL of all, in a namespace. */
void kube_kind_path(char out[1024], enum target_kind kind, const char *namespace, const char *name);
/* A LabelSelector object ("matchLabels", "matchExpressions") as the text that lists take. @out is "" when it selects nothing. */
void kube_selector_print(const json_t *selector, char *out, size_t room);
