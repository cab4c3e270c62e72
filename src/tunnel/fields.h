// SPDX-License-Identifier: MIT
/* Messages that are a row of fields: u16 tag, u32 length, value (docs/protocol.md). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message being written; zero-initialised. The first lack of memory shows in fields_result(). */
struct fields_writer {
	uint8_t *data;
	size_t len, room;
	bool failed;
};

/* Appends a field and returns the place for its value of @len bytes, valid until the next one; NULL without memory. */
uint8_t *fields_add(struct fields_writer *w, uint16_t tag, size_t len);
void fields_add_u8(struct fields_writer *w, uint16_t tag, uint8_t value);
void fields_add_u16(struct fields_writer *w, uint16_t tag, uint16_t value);
void fields_add_u32(struct fields_writer *w, uint16_t tag, uint32_t value);
/* NULL adds none. */
void fields_add_text(struct fields_writer *w, uint16_t tag, const char *text);
/* The message, the caller's; NULL without memory. */
uint8_t *fields_result(struct fields_writer *w, size_t *ret_len);

struct field {
	uint16_t tag;
	const uint8_t *value;
	size_t len;
};

/* Steps over the field at the start of @data. Returns 1 with it, 0 at the end, -1 when it is cut. */
int fields_next(const uint8_t **data, size_t *len, struct field *ret);
/* The value as a text of its own of at most @max bytes. *ret is NULL before. Returns 0, -EINVAL (longer, a 0 byte in it, or the second
 * one) or -ENOMEM. */
int field_text(const struct field *f, size_t max, char **ret);
/* The value as words for the user's terminal: lines stay, other control characters don't. What is too long is cut. */
void field_words(const struct field *f, char *out, size_t room);
/* Makes room for element @n of an array that grows at powers of two, up to @max. NULL with *ret_error, -EINVAL or -ENOMEM. */
void *fields_grow(void **array, size_t n, size_t max, size_t size, int *ret_error);
