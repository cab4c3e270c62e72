// SPDX-License-Identifier: MIT
/* A set of sessions, which are known by their address alone. */
#pragma once

#include <stdbool.h>

#include "base/list.h"

struct client;

/* False without memory, or when it is in it already. */
bool client_set_add(struct list *set, const struct client *c);
/* False when it is not in it. */
bool client_set_remove(struct list *set, const struct client *c);
