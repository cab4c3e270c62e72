// SPDX-License-Identifier: MIT
/* mirrord config. */
#pragma once

/* Returns the exit status. */
int cli_config(int argc, char **argv);
