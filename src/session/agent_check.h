// SPDX-License-Identifier: MIT
/* What only the agent can tell about the configuration (are the keys in the target good?) is asked before the program starts. */
#pragma once

#include "base/error.h"
#include "session/incoming_options.h"
#include "tunnel/mux.h"

/* What the agent has said of the target waits until it has answered. Zero-initialised. */
struct agent_check {
	uint8_t *info;
	size_t len;
};

/* Nothing is asked when there is nothing to ask: 0. 1: asked, and @info is kept. -1 with @err. */
int agent_check_ask(struct agent_check *c, const struct incoming_options *o, struct mux *mux, const uint8_t *info, size_t len, struct error *err);
/* SUBSCRIBED has come. 0: go on with what was kept; -1 with @err: the agent can't. */
int agent_check_answer(struct agent_check *c, const uint8_t *data, size_t len, struct error *err);
void agent_check_fini(struct agent_check *c);
