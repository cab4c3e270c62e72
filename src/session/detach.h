// SPDX-License-Identifier: MIT
/* The first step of a session's: away from whoever started it. */
#pragma once

#include "session/session.h"

/* Nothing of the terminal's or the caller's is kept but stderr: no descriptor, no signal's fate, no working directory, and none of the
 * limits that only the program is to feel. @launcher and the log of @o go to numbers of their own. */
void session_detach(const struct session_options *o, int launcher, int *ret_launcher, int *ret_log);
