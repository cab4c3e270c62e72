// SPDX-License-Identifier: MIT
/* mirrord ls. */
#pragma once

int cli_ls(int argc, char **argv);
