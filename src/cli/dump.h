// SPDX-License-Identifier: MIT
/* mirrord dump: the target's live traffic. */
#pragma once

/* Returns the exit status. */
int cli_dump(int argc, char **argv);
