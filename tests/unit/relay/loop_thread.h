// SPDX-License-Identifier: MIT
/* The loop under test runs in a thread of its own; the test itself plays the peers with blocking sockets. */
#pragma once

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"

struct call {
	void (*run)(void *arg);
	void *arg;
};

static struct loop *loop;
static pthread_t loop_thread;
static int call_sock[2];
static struct watch call_watch;

static void on_call(struct watch *w, uint32_t events)
{
	struct call c;

	if (read(w->fd, &c, sizeof(c)) != sizeof(c))
		abort();
	if (c.run)
		c.run(c.arg);
	else
		loop_stop(loop);
	if (write(w->fd, "", 1) != 1)
		abort();
}

static void *loop_main(void *arg)
{
	struct error err = { 0 };

	if (loop_run(loop, &err) < 0)
		abort();
	return NULL;
}

/* Runs @run in the loop's thread and waits for it. */
static inline void on_loop(void (*run)(void *), void *arg)
{
	struct call c = { run, arg };
	char done;

	if (write(call_sock[1], &c, sizeof(c)) != sizeof(c) || read(call_sock[1], &done, 1) != 1)
		abort();
}

static inline void loop_thread_start(void)
{
	struct error err = { 0 };

	loop = loop_new(&err);
	if (!loop || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, call_sock) < 0 ||
	    loop_watch(loop, &call_watch, call_sock[0], EPOLLIN, on_call) < 0 ||
	    pthread_create(&loop_thread, NULL, loop_main, NULL) != 0)
		abort();
}

static inline void loop_thread_stop(void)
{
	on_loop(NULL, NULL);
	pthread_join(loop_thread, NULL);
	loop_free(loop);
	close(call_sock[0]);
	close(call_sock[1]);
}
