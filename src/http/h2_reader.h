// SPDX-License-Identifier: MIT
/* What a client sends on a connection of HTTP/2, read by somebody who only listens. What the server allows isn't known, so all that can be
 * read is read. */
#pragma once

#include "http/h2_internal.h"

struct h2_reader;

struct h2_reader_events {
	/* A head, or a trailer. @b may be taken over, and be left empty. @end: nothing follows on the stream. */
	void (*on_block)(void *arg, int32_t id, struct h2_block *b, bool end);
	void (*on_data)(void *arg, int32_t id, const uint8_t *data, size_t len);
	void (*on_end)(void *arg, int32_t id); /* behind data */
	void (*on_reset)(void *arg, int32_t id, uint32_t error);
	/* Some of the stream's data is missing. */
	void (*on_hole)(void *arg, int32_t id);
};

enum { H2_READER_TABLE = 64 << 10 }; /* the most that a client's compression may refer to */

/* From the preface on. NULL without memory. */
struct h2_reader *h2_reader_new(const struct h2_reader_events *events, void *arg);
void h2_reader_free(struct h2_reader *r);
/* False: it can't be read any further. */
bool h2_reader_take(struct h2_reader *r, const uint8_t *data, size_t len);
/* @len bytes are missing. False: what follows can't be read. */
bool h2_reader_skip(struct h2_reader *r, size_t len);
