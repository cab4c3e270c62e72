// SPDX-License-Identifier: MIT
/* Ports by which a debugger on this machine and the program find each other: feature.network.debugger_ports and .detect_debugger. */
#pragma once

#include "config/config.h"

enum debugger { DEBUGGER_NONE, DEBUGGER_DEBUGPY, DEBUGGER_PYDEVD, DEBUGGER_RESHARPER, DEBUGGER_JAVAAGENT, DEBUGGER_NODEINSPECTOR };

/* Whether @text is "5678", "5000-5010", or several of them with commas between. */
bool debugger_ports_valid(const char *text);
/* Whether @port is one of @list; NULL has none. As in the original, 50000 and 50001 are in no range: IDEs name all high ports, and gRPC has those
 * two. */
bool debugger_ports_has(const struct config_strings *list, uint16_t port);
/* Adds the port that the command @argv and the variables @env of a program name for the debugger @c is to look for. The lists end with NULL. True
 * when it is a new one. */
bool debugger_ports_detect(struct config *c, char *const *argv, char *const *env);
