// SPDX-License-Identifier: MIT
/* An image of Docker's that has the agent, its loader and its libraries, and nothing else. */
#pragma once

#include "base/error.h"
#include "cli/engine_cli.h"

enum { DOCKER_IMAGE_MAX = 64 };

/* Makes sure that the engine has it; its name is in @ret. Returns 0, or -1 with @err. */
int docker_image_bring(const struct engine_cli *e, char ret[DOCKER_IMAGE_MAX], struct error *err);
