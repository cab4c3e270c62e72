// SPDX-License-Identifier: MIT
/* bench-driver: the client's side of the bench. It is a plain program of one thread with blocking sockets where a figure has one
 * thing in flight; the bench runs it in the target itself, under mirrord exec and under each peer. */
#include "driver.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate.h"
#include <unistd.h>

static const struct figure {
	const char *name;
	int (*run)(const struct options *o);
	bool local; /* needs no server */
	const char *help;
} figures[] = {
	{ "round-trip", figure_round_trip, false, "[-u] 64 bytes there and back: p50, p99" },
	{ "connect-rate", figure_connect_rate, false, "[-n IN-FLIGHT] [-f] connect, exchange 64 bytes, close: per second" },
	{ "bulk", figure_bulk, false, "[-d] one stream of 64 KiB writes, checked on arrival: Gbit/s" },
	{ "unread", figure_unread, false, "round trip of a flow while 1 GiB is written to a peer that doesn't read" },
	{ "datagrams", figure_datagrams, false, "[-r RATE] [-b BYTES] UDP to the server: sent, arrived, wrong" },
	{ "lookups", figure_lookups, true, "[-n THREADS] [-D DOMAIN] getaddrinfo() of fresh names: per second" },
	{ "flows", figure_flows, false, "-n COUNT connections, gates at each step of their life" },
	{ "spawn", figure_spawn, true, "[-n RUNS] -- COMMAND: time until it has ended" },
	{ "gate", figure_gate, true, "-- COMMAND: wait for a line, then become it" },
};
enum { FIGURES = sizeof(figures) / sizeof(figures[0]) };

static void usage(void)
{
	fprintf(stderr, "usage: bench-driver FIGURE [-H HOST] [-p FIRST-PORT] [-t SECONDS] [options]\n");
	for (size_t i = 0; i < FIGURES; i++)
		fprintf(stderr, "  %-13s %s\n", figures[i].name, figures[i].help);
	exit(2);
}

static const struct figure *figure_find(const char *name)
{
	for (size_t i = 0; i < FIGURES; i++)
		if (strcmp(figures[i].name, name) == 0)
			return &figures[i];
	usage();
	return NULL;
}

int main(int argc, char **argv)
{
	struct options o = { .seconds = 1, .count = 1, .bytes = 1400, .domain = "bench.test" };
	const char *host = NULL, *port = "7000";
	const struct figure *f = argc > 1 ? figure_find(argv[1]) : NULL;

	if (!f)
		usage();
	for (int c; (c = getopt(argc - 1, argv + 1, "+H:p:t:n:r:b:D:ufd")) != -1;) {
		switch (c) {
		case 'H': host = optarg; break;
		case 'p': port = optarg; break;
		case 't': o.seconds = atof(optarg); break;
		case 'n': o.count = atoi(optarg); break;
		case 'r': o.rate = atof(optarg); break;
		case 'b': o.bytes = atoi(optarg); break;
		case 'D': o.domain = optarg; break;
		case 'u': o.datagrams = true; break;
		case 'f': o.fin = true; break;
		case 'd': o.down = true; break;
		default: usage();
		}
	}
	o.command = argv + 1 + optind;
	if (o.count < 1 || o.seconds <= 0)
		errx(2, "a count or a time must be above 0");
	if (!f->local && !host)
		errx(2, "%s needs a server: -H HOST", f->name);
	if (host)
		remote_parse(&o.remote, host, port);
	return f->run(&o);
}

int figure_gate(const struct options *o)
{
	if (!o->command[0])
		errx(2, "no command");
	gate("ready", NULL);
	execvp(o->command[0], o->command);
	err(127, "%s", o->command[0]);
}
