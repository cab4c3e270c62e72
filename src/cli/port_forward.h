// SPDX-License-Identifier: MIT
/* mirrord port-forward: single ports between this machine and a target's network. */
#pragma once

/* Returns the exit status. */
int cli_port_forward(int argc, char **argv);
