// SPDX-License-Identifier: MIT
/* getaddrinfo() of names that nobody asked for before, both families, by one or several threads. */
#include <err.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"
#include "gate.h"
#include "samples.h"

struct worker {
	const struct options *o;
	pthread_t thread;
	int number;
	uint64_t end, failed;
	int last_error;
	struct samples times;
};

static int lookup(const struct options *o, int worker, size_t n)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found;
	char name[256];
	int r;

	snprintf(name, sizeof(name), "n%zu-%d-%d.%s", n, worker, (int)getpid(), o->domain);
	r = getaddrinfo(name, "80", &hints, &found);
	if (r == 0)
		freeaddrinfo(found);
	return r;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (uint64_t before = clock_ns(), now; before < w->end; before = now) {
		int r = lookup(w->o, w->number, w->times.n + w->failed);

		now = clock_ns();
		if (r == 0) {
			samples_add(&w->times, now - before);
		} else {
			w->failed++;
			w->last_error = r;
		}
	}
	return NULL;
}

int figure_lookups(const struct options *o)
{
	struct worker *workers = calloc((size_t)o->count, sizeof(*workers));
	struct samples all = { 0 };
	uint64_t failed = 0, start;
	int last_error = lookup(o, -1, 0);

	if (!workers)
		err(1, "threads");
	if (last_error)
		errx(1, "look up a name below %s: %s", o->domain, gai_strerror(last_error));
	gate("ready", NULL);
	start = clock_ns();
	for (int i = 0; i < o->count; i++) {
		workers[i] = (struct worker){ .o = o, .number = i, .end = start + (uint64_t)(o->seconds * 1e9) };
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			errx(1, "no thread");
	}
	for (int i = 0; i < o->count; i++) {
		pthread_join(workers[i].thread, NULL);
		for (size_t j = 0; j < workers[i].times.n; j++)
			samples_add(&all, workers[i].times.ns[j]);
		samples_fini(&workers[i].times);
		failed += workers[i].failed;
		last_error = workers[i].failed ? workers[i].last_error : last_error;
	}
	printf("{\"per_s\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"failed\": %lu, \"error\": \"%s\"}\n",
	       (double)all.n * 1e9 / (double)(clock_ns() - start), (double)samples_percentile(&all, 50) / 1e3,
	       (double)samples_percentile(&all, 99) / 1e3, failed, failed ? gai_strerror(last_error) : "");
	samples_fini(&all);
	free(workers);
	return 0;
}
