// SPDX-License-Identifier: MIT
/* Looking into objects of the API, in which anything may be missing. Internal to the kube library. */
#pragma once

#include <jansson.h>
#include <time.h>

/* What stands at "metadata.labels"; NULL when it isn't there. The object's own. */
json_t *kube_dig(const json_t *object, const char *path);
/* The string under @key; "" when there is none. The object's own. */
const char *kube_text(const json_t *object, const char *key);
/* The same, but NULL when there is none or it is empty; and a copy of it. */
const char *kube_text_or_null(const json_t *object, const char *key);
char *kube_copy(const json_t *object, const char *key);
/* RFC 3339 in UTC or with an offset; a fraction of a second is passed over. 0 when it is none. */
time_t kube_time(const char *text);
