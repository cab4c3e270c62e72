// SPDX-License-Identifier: MIT
/* Option tables on top of getopt_long(3). */
#include "cli/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

enum { MAX_OPTIONS = 64, OPTION_BASE = 256, HELP = OPTION_BASE + MAX_OPTIONS };

static void print_help(const struct cli_command *c)
{
	const char *group = "";
	char left[64];

	printf("%s\n\nUsage: %s\n", c->summary, c->usage);
	for (size_t i = 0; i < c->n_options; i++) {
		const struct cli_option *o = &c->options[i];
		char letter[8] = "    ";

		if (strcmp(group, o->group) != 0)
			printf("\n%s:\n", group = o->group);
		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->argument ? " " : "", o->argument ? o->argument : "");
		if (strlen(left) > 28)
			printf("  %s\n  %28s %s\n", left, "", o->help);
		else
			printf("  %-28s %s\n", left, o->help);
	}
	printf("\nExample:\n  %s\n", c->example);
}

static void build(const struct cli_command *c, struct option *longs, char *shorts)
{
	if (c->runs_program)
		*shorts++ = '+'; /* what follows the first word is the program's */
	*shorts++ = ':';
	for (size_t i = 0; i < c->n_options; i++) {
		const struct cli_option *o = &c->options[i];

		longs[i] = (struct option){ o->name, o->argument ? required_argument : no_argument, NULL, OPTION_BASE + (int)i };
		if (!o->letter)
			continue;
		*shorts++ = o->letter;
		if (o->argument)
			*shorts++ = ':';
	}
	longs[c->n_options] = (struct option){ "help", no_argument, NULL, HELP };
	longs[c->n_options + 1] = (struct option){ 0 };
	strcpy(shorts, "h");
}

static const struct cli_option *find(const struct cli_command *c, int value)
{
	for (size_t i = 0; i < c->n_options; i++)
		if (value == OPTION_BASE + (int)i || (c->options[i].letter && value == c->options[i].letter))
			return &c->options[i];
	return NULL;
}

/* What getopt_long(3) has just stumbled on: a letter, which may stand in a row of others, or a word. */
static int complain(const struct cli_command *c, int why, char **argv)
{
	const char *names[MAX_OPTIONS + 1] = { NULL }, *near, *word = argv[optind - 1];
	const char letter[] = { '-', (char)optopt, '\0' };

	if (optopt > 0 && optopt < OPTION_BASE)
		word = letter;
	for (size_t i = 0; i < c->n_options; i++)
		names[i] = c->options[i].name;
	if (why == ':') {
		fprintf(stderr, "mirrord %s: option %s needs a value\n", c->name, word);
	} else if (optopt >= OPTION_BASE) {
		fprintf(stderr, "mirrord %s: option %.*s takes no value\n", c->name, (int)strcspn(word, "="), word);
	} else {
		near = strncmp(word, "--", 2) == 0 ? nearest_word(word + 2, names) : NULL;
		fprintf(stderr, "mirrord %s: unknown option %s%s%s%s\n", c->name, word, near ? "; did you mean --" : "", near ? near : "",
			near ? "?" : "");
	}
	fprintf(stderr, "see `mirrord %s --help`\n", c->name);
	return -1;
}

int cli_parse(const struct cli_command *command, int argc, char **argv, void *arg)
{
	struct option longs[MAX_OPTIONS + 2];
	char shorts[2 * MAX_OPTIONS + 4];
	int value;

	build(command, longs, shorts);
	opterr = 0;
	optind = 1;
	for (;;) {
		const struct cli_option *o;

		value = getopt_long(argc, argv, shorts, longs, NULL);
		if (value == -1)
			return optind;
		if (value == HELP || value == 'h') {
			print_help(command);
			return -2;
		}
		if (value == '?' || value == ':')
			return complain(command, value, argv);
		o = find(command, value);
		o->set(arg, optarg);
	}
}

int cli_print_error(const struct error *e)
{
	fprintf(stderr, "mirrord: %s\n", e->text);
	if (e->hint[0])
		fprintf(stderr, "  %s\n", e->hint);
	return e->status ? e->status : 1;
}
