// SPDX-License-Identifier: MIT
/* Where this installation's mirrord-agent is. */
#pragma once

#include <limits.h>

#include "base/error.h"

/* Beside our own program, so that a build tree is used as it stands, or where packages put it. Returns 0, or -1 with @err. */
int agent_program_find(char path[PATH_MAX], struct error *err);
