// SPDX-License-Identifier: MIT
/* Container engines of this machine, asked over their API sockets (Docker Engine API v1.24 and later; podman speaks it
 * too). */
#pragma once

#include "base/error.h"

enum engine { ENGINE_DOCKER, ENGINE_PODMAN };

/* The process id of the main process of container @name (a name, an id or its beginning). Returns it, or -1 with @err.
 */
int engine_container_pid(enum engine engine, const char *name, struct error *err);
