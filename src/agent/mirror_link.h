// SPDX-License-Identifier: MIT
/* The agent's end of the mirroring process: starts it, ends it, and carries messages (mirror_message.h). */
#pragma once

#include <sys/types.h>

#include "agent/children.h"
#include "agent/mirror_message.h"
#include "base/error.h"
#include "base/list.h"
#include "net/loop.h"

struct mirror_link_events {
	/* @len bytes stand behind the message. */
	void (*on_message)(void *arg, const struct mirror_message *message, size_t len);
	void (*on_death)(void *arg); /* it is stopped behind this */
};

/* Embedded; the fields are this module's, but for @ring while it is up. */
struct mirror_link {
	struct loop *loop;
	const struct mirror_link_events *events;
	void *arg;
	struct list outbox;
	struct children children; /* the process, and those before it until they are gone */
	struct watch control;
	int ring; /* -1: there is no process */
	bool bound; /* the ring is there and sees packets */
	pid_t pid;
	uint8_t buffer[MIRROR_MESSAGE_MAX];
};

void mirror_link_init(struct mirror_link *l, struct loop *loop, const struct mirror_link_events *events, void *arg);
void mirror_link_fini(struct mirror_link *l);
/* Starts the process and waits for nothing: it makes the ring, which sees no packet. */
int mirror_link_start(struct mirror_link *l, struct error *err);
/* Now it sees packets; waits for the process where that isn't as far. -1 with @err: then there is none. */
int mirror_link_bind(struct mirror_link *l, struct error *err);
/* With what was to be told to it. */
void mirror_link_stop(struct mirror_link *l);
bool mirror_link_is_up(const struct mirror_link *l);
/* Never waits. Owns @fd (-1: none), which goes beside the message. Nothing happens while there is no process. */
void mirror_link_tell(struct mirror_link *l, const struct mirror_message *message, int fd);
