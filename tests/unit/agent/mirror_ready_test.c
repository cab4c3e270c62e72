// SPDX-License-Identifier: MIT
/* When the mirroring process and its packet socket are there, and when the socket sees packets: as the kernel lists them. */
#include "agent/mirror.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../relay/isolate.h"
#include "../relay/loop_thread.h"
#include "tap.h"

enum { PATIENCE_MS = 60000, STEP_MS = 10 };

/* Stands for a session: mirroring knows it by its address alone while nothing is captured. */
struct client {
	struct subscriber_set subscribers;
};

static struct client client;
static struct subscriptions *subscriptions;
static struct mirror *mirror;
static uint32_t last_id;

/* The packet sockets of this network namespace. */
struct seen {
	int sockets, running;
	unsigned long inode; /* of the last one */
};

static struct seen look(void)
{
	struct seen s = { 0 };
	char line[256];
	FILE *f = fopen("/proc/self/net/packet", "re");
	int running;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %*s %*s %*s %*s %d %*s %*s %lu", &running, &s.inode) != 2)
			continue; /* the head */
		s.sockets++;
		s.running += running;
	}
	if (f)
		fclose(f);
	return s;
}

/* What comes of it when it is given time. */
static struct seen await(int sockets, int running)
{
	struct seen s = look();

	for (int ms = 0; ms < PATIENCE_MS && (s.sockets != sockets || s.running != running); ms += STEP_MS) {
		usleep(STEP_MS * 1000);
		s = look();
	}
	return s;
}

static void check(struct seen s, int sockets, int running, const char *what)
{
	tap_int(s.sockets, sockets, "%s: packet sockets", what);
	tap_int(s.running, running, "%s: those that see packets", what);
}

static void on_lost(struct client *c, uint32_t id, const struct error *why)
{
}

static void start(void *arg)
{
	subscriptions = subscriptions_new(on_lost);
	mirror = mirror_new(loop, subscriptions);
	if (!mirror || subscriber_set_init(&client.subscribers) < 0)
		abort();
}

static void stop(void *arg)
{
	mirror_free(mirror);
	subscriptions_free(subscriptions);
	subscriber_set_fini(&client.subscribers);
}

static void expect(void *arg)
{
	subscriptions_expect(subscriptions, &client, *(const enum subscription_mode *)arg);
}

static void subscribe(void *arg)
{
	struct subscription want = { .id = ++last_id, .protocol = IPPROTO_TCP, .port = 8080, .mode = SUBSCRIPTION_MIRROR,
				     .on_concurrent = CONCURRENT_ABORT };
	struct error *err = arg;

	subscriptions_put(subscriptions, &client, &client.subscribers, &want, err);
}

static void unsubscribe(void *arg)
{
	subscriptions_drop(subscriptions, &client.subscribers, last_id);
}

static void subscribe_anew(void *arg)
{
	unsubscribe(NULL);
	subscribe(arg);
}

static void end(void *arg)
{
	subscriptions_end_client(subscriptions, &client, &client.subscribers);
}

static void test_unexpected(void)
{
	enum subscription_mode steal = SUBSCRIPTION_STEAL;
	struct error err = { 0 };

	on_loop(expect, &steal);
	check(look(), 0, 0, "a session that will steal: nothing is made");
	on_loop(subscribe, &err);
	check(look(), 1, 1, "a subscription that wasn't expected");
	on_loop(unsubscribe, NULL);
	check(await(0, 0), 0, 0, "… and nothing is left behind it");
}

static void test_expected(void)
{
	enum subscription_mode mode = SUBSCRIPTION_MIRROR;
	struct error err = { 0 };
	struct seen first, now;

	on_loop(expect, &mode);
	on_loop(expect, &mode);
	first = look();
	check(first, 1, 0, "a session that will mirror, and says so twice: one socket, which sees nothing");
	on_loop(subscribe, &err);
	now = look();
	check(now, 1, 1, "subscribed: it sees packets");
	tap_ok(now.inode == first.inode && !error_is_set(&err), "… and is the one that was ready");
	on_loop(subscribe_anew, &err);
	now = look();
	check(now, 1, 1, "a listener that is closed and opened again");
	tap_ok(now.inode == first.inode && !error_is_set(&err), "… keeps the socket");
	on_loop(unsubscribe, NULL);
	now = await(1, 0);
	check(now, 1, 0, "a while after the last subscription there is a socket that sees nothing");
	tap_ok(now.inode != first.inode, "… another one");
	on_loop(subscribe, &err);
	check(look(), 1, 1, "it sees packets for the next subscription");
	tap_ok(!error_is_set(&err), "… which is not refused: %s", err.text);
	on_loop(end, NULL);
	check(await(0, 0), 0, 0, "nothing is left of the session when it ends");
	on_loop(expect, &mode);
	on_loop(end, NULL);
	check(await(0, 0), 0, 0, "nor of one that subscribed to nothing");
}

int main(void)
{
	if (!isolate()) {
		printf("1..0 # SKIP neither root nor user namespaces\n");
		return 0;
	}
	loop_thread_start();
	on_loop(start, NULL);
	test_unexpected();
	test_expected();
	on_loop(stop, NULL);
	loop_thread_stop();
	return tap_done();
}
