// SPDX-License-Identifier: MIT
/* feature.env: which environment the program gets, of its own and of the target's. */
#pragma once

#include "base/error.h"
#include "config/arena.h"
#include "config/config.h"

/* @local: the environment of `mirrord exec`; @target: NAME=value of the target's process, @n_target of them. Returns NAME=value…, NULL, made of the
 * arena's memory and of both, which must stay; NULL with @err when the env file can't be read, or a mapping is no regular expression. Where nothing
 * is to be changed it is @local itself, odd entries and all. */
char **environment_make(const struct config *c, char *const *local, char *const *target, size_t n_target, struct arena *a, struct error *err);
