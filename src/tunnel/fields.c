// SPDX-License-Identifier: MIT
/* Rows of tagged fields, written and read. */
#include "tunnel/fields.h"

#include <errno.h>
#include <stdlib.h>

#include "tunnel/writing.h"

enum { FIELD_HEADER = 6 };

uint8_t *fields_add(struct fields_writer *w, uint16_t tag, size_t len)
{
	size_t need = w->len + FIELD_HEADER + len;
	uint8_t *p;

	if (need > w->room && !w->failed) {
		size_t room = 2 * need;

		p = realloc(w->data, room);
		if (p) {
			w->data = p;
			w->room = room;
		} else {
			w->failed = true;
		}
	}
	if (w->failed)
		return NULL;
	p = write_u32(write_u16(w->data + w->len, tag), (uint32_t)len);
	w->len = need;
	return p;
}

void fields_add_u8(struct fields_writer *w, uint16_t tag, uint8_t value)
{
	uint8_t *p = fields_add(w, tag, 1);

	if (p)
		write_u8(p, value);
}

void fields_add_u16(struct fields_writer *w, uint16_t tag, uint16_t value)
{
	uint8_t *p = fields_add(w, tag, 2);

	if (p)
		write_u16(p, value);
}

void fields_add_u32(struct fields_writer *w, uint16_t tag, uint32_t value)
{
	uint8_t *p = fields_add(w, tag, 4);

	if (p)
		write_u32(p, value);
}

void fields_add_text(struct fields_writer *w, uint16_t tag, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	uint8_t *p = text ? fields_add(w, tag, len) : NULL;

	if (p)
		write_bytes(p, text, len);
}

uint8_t *fields_result(struct fields_writer *w, size_t *ret_len)
{
	if (w->failed) {
		free(w->data);
		return NULL;
	}
	*ret_len = w->len;
	return w->data;
}

int fields_next(const uint8_t **data, size_t *len, struct field *ret)
{
	size_t value;

	if (!*len)
		return 0;
	if (*len < FIELD_HEADER)
		return -1;
	value = get32(*data + 2);
	if (value > *len - FIELD_HEADER)
		return -1;
	*ret = (struct field){ .tag = get16(*data), .value = *data + FIELD_HEADER, .len = value };
	*data += FIELD_HEADER + value;
	*len -= FIELD_HEADER + value;
	return 1;
}

int field_text(const struct field *f, size_t max, char **ret)
{
	if (*ret || f->len > max || (f->len && memchr(f->value, 0, f->len)))
		return -EINVAL;
	*ret = malloc(f->len + 1);
	if (!*ret)
		return -ENOMEM;
	*write_bytes((uint8_t *)*ret, f->value, f->len) = 0;
	return 0;
}

void field_words(const struct field *f, char *out, size_t room)
{
	size_t n = f->len < room - 1 ? f->len : room - 1;

	for (size_t i = 0; i < n; i++) {
		bool control = (f->value[i] < ' ' && f->value[i] != '\n') || f->value[i] == 0x7f;

		out[i] = control ? '?' : (char)f->value[i];
	}
	out[n] = '\0';
}

void *fields_grow(void **array, size_t n, size_t max, size_t size, int *ret_error)
{
	*ret_error = -EINVAL;
	if (n >= max)
		return NULL;
	if ((n & (n - 1)) == 0) {
		void *grown = realloc(*array, (n ? 2 * n : 1) * size);

		*ret_error = -ENOMEM;
		if (!grown)
			return NULL;
		*array = grown;
	}
	return (char *)*array + n * size;
}
