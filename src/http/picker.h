// SPDX-License-Identifier: MIT
/* Picks out of a copy of what a client sends the requests that a filter wants. Nobody waits for it, and it hears no answers: bytes in, and of
 * them those that the filter wants out, as they came. */
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
	PICKER_HTTP2,  /* nothing follows, since its requests can't be picked */
};

struct picker_events {
	void (*on_event)(void *arg, enum picker_event what);
	void (*on_bytes)(void *arg, const uint8_t *data, size_t len);
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
/* Bytes that are kept until it is known whether they are wanted; at most about HTTP_HEAD_MAX + @body_max. */
size_t picker_kept(const struct picker *p);
