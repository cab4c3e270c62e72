// SPDX-License-Identifier: MIT
/* Containers of Docker's in the twin. */
#pragma once

#include "base/error.h"
#include "cli/engine_cli.h"

enum { DOCKER_NAME_MAX = 48 };

/* Before anything is set up: what will be needed is there. Returns 0, or -1 with @err. */
int docker_prepare(const struct engine_cli *e, struct error *err);
/* In the twin, whose program we are going to be: makes the container that others join. It stays until our process has ended and no container has
 * the label "mirrord=NAME" any more. Returns 0, or -1 with @err. */
int docker_hold(const struct engine_cli *e, char ret_name[DOCKER_NAME_MAX], struct error *err);
