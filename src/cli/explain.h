// SPDX-License-Identifier: MIT
/* mirrord explain. */
#pragma once

/* Returns the exit status. */
int cli_explain(int argc, char **argv);
