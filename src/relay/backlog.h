// SPDX-License-Identifier: MIT
/* Bytes that wait until a socket takes them. It has no memory while it is empty. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded; zero-initialised it is empty. */
struct backlog {
	uint8_t *data;
	uint32_t at, end, room;
};

static inline size_t backlog_len(const struct backlog *b)
{
	return b->end - b->at;
}

/* The bytes that came first. */
static inline const uint8_t *backlog_first(const struct backlog *b)
{
	return b->data + b->at;
}

/* Puts a copy behind what is there. False without memory; nothing has changed then. */
bool backlog_add(struct backlog *b, const void *data, size_t len);
/* The first @len are done with. */
void backlog_take(struct backlog *b, size_t len);
void backlog_fini(struct backlog *b);
