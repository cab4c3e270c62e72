// SPDX-License-Identifier: MIT
/* mirrord exec. */
#pragma once

/* Becomes the program; returns an exit status only when that failed, with the error printed. */
int cli_exec(int argc, char **argv);
