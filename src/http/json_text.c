// SPDX-License-Identifier: MIT
#include "http/json_text.h"

#include <stdio.h>
#include <stdlib.h>

json_t *json_read(struct span text)
{
	const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
	json_error_t error;
	json_t *value;

	if (!text.len)
		return NULL;
	value = json_loadb(text.at, text.len, flags, &error);
	if (!value && json_error_code(&error) == json_error_numeric_overflow)
		value = json_loadb(text.at, text.len, flags | JSON_DECODE_INT_AS_REAL, &error);
	return value;
}

static void put_string(FILE *out, const char *text, size_t len)
{
	fputc('"', out);
	for (size_t i = 0; i < len; i++) {
		static const char plain[] = "\b\f\n\r\t\"\\", escaped[] = "bfnrt\"\\";
		unsigned char c = (unsigned char)text[i];
		const char *found = c ? strchr(plain, c) : NULL;

		if (found)
			fprintf(out, "\\%c", escaped[found - plain]);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

/* The fewest digits that read back as the same number, and a point or an exponent that tells it from an integer. */
static void put_real(FILE *out, double value)
{
	char text[40];

	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	fprintf(out, strpbrk(text, ".e") ? "%s" : "%s.0", text);
}

static void put(FILE *out, const json_t *value)
{
	const char *key, *comma = "";
	json_t *child;
	size_t i;

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		fputc('{', out);
		json_object_foreach((json_t *)value, key, child) {
			fputs(comma, out);
			put_string(out, key, strlen(key));
			fputc(':', out);
			put(out, child);
			comma = ",";
		}
		fputc('}', out);
		break;
	case JSON_ARRAY:
		fputc('[', out);
		json_array_foreach(value, i, child) {
			fputs(comma, out);
			put(out, child);
			comma = ",";
		}
		fputc(']', out);
		break;
	case JSON_STRING:
		put_string(out, json_string_value(value), json_string_length(value));
		break;
	case JSON_INTEGER:
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		put_real(out, json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		fputs(json_is_true(value) ? "true" : "false", out);
		break;
	case JSON_NULL:
		fputs("null", out);
		break;
	}
}

char *json_text(const json_t *value, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);
	bool fine;

	if (!out)
		return NULL;
	put(out, value);
	fine = !ferror(out);
	if (fclose(out) == 0 && fine)
		return text;
	free(text);
	return NULL;
}
