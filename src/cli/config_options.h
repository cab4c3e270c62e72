// SPDX-License-Identifier: MIT
/* Options that stand for keys of the configuration, for all commands that load one. config_option.def has them.
 *
 *   #define OPTION_TARGET(setter, letter, name, argument, help, ...) { "Target", letter, name, argument, help, config_set_##setter },
 *   static const struct cli_option options[] = {
 *   #include "cli/config_option.def"
 *   }; */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum { CONFIG_OPTIONS_MAX = 64 };

/* What the command line said. Zero-initialise. It is the first member of what the command gives to cli_parse(). */
struct config_options {
	const char *file;
	bool strict;
	struct config_flag flags[CONFIG_OPTIONS_MAX];
	size_t n;
};

/* The setters. */
#define OPTION_TARGET(setter, ...)  void config_set_##setter(void *options, const char *value);
#define OPTION_FILE(setter, ...)    void config_set_##setter(void *options, const char *value);
#define OWN_FILE(setter, ...)	    void config_set_##setter(void *options, const char *value);
#define OPTION_NETWORK(setter, ...) void config_set_##setter(void *options, const char *value);
#define OWN_NETWORK(setter, ...)    void config_set_##setter(void *options, const char *value);
#define OPTION_PROGRAM(setter, ...) void config_set_##setter(void *options, const char *value);
#define OPTION_AGENT(setter, ...)   void config_set_##setter(void *options, const char *value);
#include "cli/config_option.def"

/* For a table of a command's struct cli_option: the row of an option of config_option.def, in the help's @group. */
#define CONFIG_OPTION(group, setter, letter, name, argument, help, ...)                            \
	{ group, letter, name, argument, help, config_set_##setter },

/* Loads the configuration with this process's environment, and prints all that is wrong with it. Returns 0, or -1 after an error. */
int config_options_load(const struct config_options *o, struct config *ret);
