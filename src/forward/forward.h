// SPDX-License-Identifier: MIT
/* mirrord port-forward, without its command line. */
#pragma once

#include "forward/rule.h"
#include "kube/settings.h"
#include "session/incoming_options.h"

enum { FORWARD_RULES = 64 };

struct forward_options {
	const char *target; /* looked for again each time when the agent was lost */
	struct kube_settings *settings;
	struct incoming_options incoming; /* of -R */
	struct forward_rule *rules;	  /* a listening port of 0 becomes the real one */
	size_t n_rules;
	bool progress;
};

/* Forwards until SIGINT or SIGTERM, then returns 0; -1 with @err when it can't begin. An agent that is lost later is replaced. */
int forward_run(const struct forward_options *options, struct error *err);
