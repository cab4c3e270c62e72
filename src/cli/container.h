// SPDX-License-Identifier: MIT
/* mirrord container: `podman run` whose container is in the twin. */
#pragma once

int cli_container(int argc, char **argv);
