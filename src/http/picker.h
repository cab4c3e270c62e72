// SPDX-License-Identifier: MIT
/* Picks out of a copy of what a client sends the requests that a filter wants. Nobody waits for it, and it hears no answers: bytes in, and of
 * them those that the filter wants out: of HTTP/1 as they came, of HTTP/2 as a client of its own (h2_picker.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/filter.h"

struct picker;

enum picker_event {
	PICKER_WANTED, /* a request, or all that comes: its bytes follow */
	PICKER_OTHER,  /* a request that isn't wanted */
	PICKER_UNSAFE, /* where a message ends is ambiguous: nothing follows any more */
	PICKER_CUT,    /* … in the middle of one that was wanted */
	PICKER_HTTP2,  /* it is HTTP/2 which can't be followed, or which the program doesn't speak: nothing follows */
	/* Of HTTP/2, whose requests don't stand in each other's way: */
	PICKER_HOLE,	/* bytes of a wanted one are missing, and it is given up */
	PICKER_REFUSED, /* the program takes a wanted one no more, or there are too many at a time */
};

struct picker_events {
	void (*on_event)(void *arg, enum picker_event what);
	void (*on_bytes)(void *arg, const uint8_t *data, size_t len); /* of HTTP/1; see picker_pull() */
};

/* @filter stays the caller's; bodies of up to @body_max bytes are kept for it. NULL without memory. */
struct picker *picker_new(struct http_filter *filter, size_t body_max, const struct ip *client, const struct picker_events *events, void *arg);
void picker_free(struct picker *p);
/* The client's next bytes; in the end all of them. Events come from inside. */
void picker_data(struct picker *p, const uint8_t *data, size_t len);
void picker_end(struct picker *p);
/* @len bytes are missing. False: they may have been wanted. Then nothing may follow but the start of a request, behind picker_restart(). */
bool picker_gap(struct picker *p, size_t len);
/* A request begins. False: on this connection there are none to be picked any more. */
bool picker_restart(struct picker *p);
/* Forgets what is kept, and which requests are on their way. False: as of picker_gap(). */
bool picker_forget(struct picker *p);
/* Bytes that are kept: of HTTP/1, until it is known whether they are wanted, at most about HTTP_HEAD_MAX + @body_max; of HTTP/2, which has many
 * requests at a time, also those for a program that is slow. */
size_t picker_kept(const struct picker *p);

/* HTTP/2 can't be passed on as it came. The picker is the program's client then, with a connection that begins at the first wanted request. */
bool picker_is_http2(const struct picker *p);
/* What is to be sent to the program next, some frames at most; 0 when there is nothing now. Valid until the next call. */
size_t picker_pull(struct picker *p, const uint8_t **ret_data);
/* What the program has sent. False: its connection is of no use any more. */
bool picker_answer(struct picker *p, const uint8_t *data, size_t len);
/* The program takes no more requests on its connection, and has answered all: the next one needs another one. */
bool picker_is_left(const struct picker *p);
/* The client has ended, and all that is to be said to the program was. True for HTTP/1. */
bool picker_is_over(const struct picker *p);
/* The program's connection is gone, with the requests on it. */
void picker_disconnect(struct picker *p);
