// SPDX-License-Identifier: MIT
/* mirrord diagnose. */
#pragma once

int cli_diagnose(int argc, char **argv);
