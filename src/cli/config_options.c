// SPDX-License-Identifier: MIT
/* From the command line to the configuration. */
#include "cli/config_options.h"

#include <stdio.h>
#include <unistd.h>

static void add(struct config_options *o, enum config_key key, const char *option, const char *value)
{
	/* More of them than that are repetitions: the last place is for the last. */
	size_t i = o->n < CONFIG_OPTIONS_MAX ? o->n++ : CONFIG_OPTIONS_MAX - 1;

	o->flags[i] = (struct config_flag){ key, option, value };
}

#define SETTER(setter, letter, name, argument, help, key, fixed)                                   \
	void config_set_##setter(void *options, const char *value)                                 \
	{                                                                                          \
		const char *only = fixed;                                                          \
		add(options, KEY_##key, "--" name, only ? only : value);                           \
	}
#define OPTION_TARGET  SETTER
#define OPTION_FILE    SETTER
#define OWN_FILE(...)
#define OPTION_NETWORK SETTER
#define OWN_NETWORK(...)
#define OPTION_PROGRAM SETTER
#define OPTION_AGENT   SETTER
#include "cli/config_option.def"

void config_set_file(void *options, const char *value)
{
	((struct config_options *)options)->file = value;
}

void config_set_strict(void *options, const char *value)
{
	((struct config_options *)options)->strict = true;
}

void config_set_no_outgoing(void *options, const char *value)
{
	add(options, KEY_outgoing_tcp, "--no-outgoing", "false");
	add(options, KEY_outgoing_udp, "--no-outgoing", "false");
}

int config_options_load(const struct config_options *o, struct config *ret)
{
	const struct config_request request = { .file = o->file, .flags = o->flags, .n_flags = o->n, .environ = environ, .strict = o->strict };
	struct problem_list problems;
	int rc;

	problem_list_init(&problems);
	rc = config_load(&request, ret, &problems);
	problem_list_print(&problems, stderr);
	problem_list_fini(&problems);
	return rc;
}
