// SPDX-License-Identifier: MIT
/* The process that keeps an agent's container in a cluster alive: it only waits. Agents, which exec starts beside it, hold a connection to it;
 * when the last one is gone, or none comes, it ends, and the container with it.
 * SIGTERM (the pod is deleted) goes to it alone: it tells the agents. */
#pragma once

/* `mirrord-agent idle --name NAME --wait SECONDS`. Returns the exit status. */
int agent_idle(int argc, char **argv);
/* Says to the waiting process NAME, in this network namespace, that we are here, for as long as we live. Returns a socket that is readable
 * when the container is to end; -1 without such a process, after a short time. */
int agent_idle_hold(const char *name);
