// SPDX-License-Identifier: MIT
/* mirrord verify-config. */
#pragma once

/* Returns the exit status. */
int cli_verify_config(int argc, char **argv);
