// SPDX-License-Identifier: MIT
/* Container engines. */
#include "target/engine.h"

int engine_container_pid(enum engine engine, const char *name, struct error *err)
{
	error_set(err, 0, "container %s: engines are not asked yet", name);
	return error_hint(err, "use pid/ with the container's process");
}
