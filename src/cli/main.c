// SPDX-License-Identifier: MIT
/* mirrord: the command line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "cli/config.h"
#include "cli/container.h"
#include "cli/diagnose.h"
#include "cli/dump.h"
#include "cli/exec.h"
#include "cli/explain.h"
#include "cli/ls.h"
#include "cli/port_forward.h"
#include "cli/verify_config.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

static const struct {
	const char *name, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "exec", "run a program of this machine with the network of a target", cli_exec },
	{ "container", "the same for a container of this machine: podman run", cli_container },
	{ "ls", "list what could be a target in a cluster", cli_ls },
	{ "port-forward", "reach what a target reaches from this machine, and the other way round", cli_port_forward },
	{ "dump", "show the live traffic of a target", cli_dump },
	{ "diagnose", "whether a cluster can be worked with, and how fast", cli_diagnose },
	{ "verify-config", "check a configuration file", cli_verify_config },
	{ "explain", "where a destination would be reached from, and which rule says so", cli_explain },
	{ "config", "what the keys of the configuration mean", cli_config },
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int print_usage(FILE *out)
{
	fprintf(out, "mirrord runs a local program with the network of a pod, a container, a process, a network namespace.\n\n"
		     "Usage: mirrord COMMAND [OPTION]…\n\nCommands:\n");
	for (int i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n`mirrord COMMAND --help` says more; `mirrord --version` prints the version.\n"
		     "\nExample:\n  mirrord exec -t netns/shop -- curl http://payment-service:8080\n");
	return out == stdout ? 0 : 2;
}

static int complain(const char *word)
{
	const char *names[COMMANDS + 1] = { NULL }, *near;

	for (int i = 0; i < COMMANDS; i++)
		names[i] = commands[i].name;
	near = nearest_word(word, names);
	fprintf(stderr, "mirrord: unknown command %s%s%s%s\nsee `mirrord --help`\n", word, near ? "; did you mean " : "", near ? near : "",
		near ? "?" : "");
	return 2;
}

static int run(int argc, char **argv)
{
	if (argc < 2)
		return print_usage(stderr);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return printf("mirrord %s\n", VERSION) < 0;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return print_usage(stdout);
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	return complain(argv[1]);
}

int main(int argc, char **argv)
{
	int status = run(argc, argv);

	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "mirrord: write to standard output: %s\n", strerror(errno));
	return 1;
}
