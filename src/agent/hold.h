// SPDX-License-Identifier: MIT
/* `mirrord-agent hold`: a container's process that is in a twin, so that other containers of the engine's can join it there. */
#pragma once

/* Returns an exit status. */
int agent_hold(int argc, char **argv);
