// SPDX-License-Identifier: MIT
/* The copy of one client's connection to one subscriber's program: a socket that the client's bytes are written to, and whose answers are
 * read and dropped. Of the mirroring process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "http/picker.h"
#include "net/addr.h"
#include "net/loop.h"
#include "relay/backlog.h"
#include "tunnel/subscription.h"

struct copy;

enum {
	COPIES_BACKLOG = 32 << 20, /* bytes that wait for slow programs, of all copies; one may have half of what the others leave */
	COPY_BACKLOG = 64 << 10,   /* … and so much in any case, while there is room at all */
	COPIES_DIALING = 1024,	  /* connections that are asked for at a time */
};
#define COPY_LINGER (60 * LOOP_SECOND) /* for the program to close when the client's connection is over */

/* What copies ask of the process. */
struct copies {
	struct loop *loop;
	/* A connection to the program, please; copy_connected() or copy_refused() follows unless it is abandoned. */
	void (*dial)(void *arg, struct copy *c);
	void (*abandon)(void *arg, struct copy *c);
	void (*count)(void *arg, struct copy *c, enum counter what);
	/* It is over and will be freed. */
	void (*on_end)(void *arg, struct copy *c);
	void *arg;
	struct list all, leaving; /* leaving: whose client's connection is over */
	struct timer linger;
	size_t bytes, dialing;
};

void copies_init(struct copies *all, struct loop *loop);

struct copy {
	struct list node;
	struct list of_connection; /* among those of the client's connection; the connection lists it */
	struct list of_leaving;
	struct copies *all;
	void *subscription; /* the process's */
	struct endpoint client, destination;
	uint32_t id; /* of its dial; the process's */
	uint64_t deadline;
	struct backlog backlog;
	struct watch watch;
	struct deferred reap;
	struct picker *picker; /* of requests; NULL: all is copied */
	size_t picked_from;    /* bytes that the picker keeps */
	uint8_t state;	       /* enum copy_state */
	bool lost;	       /* the picker begins again at a request */
	bool program_ended, unix_socket, skipped;
	bool client_ended, client_reset;
};

/* A copy that is to begin at once (@middle false), or at the first request; with a filter (the caller's, who keeps it until the copy is over)
 * at the first one that it wants, whose body is looked at if it has no more than @body_max bytes. NULL without memory. */
struct copy *copy_new(struct copies *all, void *subscription, const struct endpoint *client, const struct endpoint *destination, bool middle,
		      struct http_filter *filter, size_t body_max);
/* The client's bytes, where a segment of them began. */
void copy_data(struct copy *c, const uint8_t *data, size_t len);
/* Some of the client's bytes are missing, and the filter may want them: the program's connection is reset, and the copy begins again at a
 * request. */
void copy_gap(struct copy *c, size_t len);
void copy_client_end(struct copy *c);
/* The client's connection is over; the copy (taken off the connection's list) ends when the program has had what there is. @reset: then by a
 * RST. */
void copy_leave(struct copy *c, bool reset);
/* The subscription is over: one that the program knows nothing of yet ends. */
void copy_unsubscribed(struct copy *c);
/* The program has ended. */
void copy_cut(struct copy *c);

void copy_connected(struct copy *c, int fd);
void copy_refused(struct copy *c);
