// SPDX-License-Identifier: MIT
#include "base/base64.h"

#include <stdlib.h>
#include <string.h>

static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64_encode(const uint8_t *data, size_t len, char *out)
{
	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)data[i] << 16 | (i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0) | (i + 2 < len ? data[i + 2] : 0);

		*out++ = plain[bits >> 18];
		*out++ = plain[bits >> 12 & 63];
		*out++ = i + 1 < len ? plain[bits >> 6 & 63] : '=';
		*out++ = i + 2 < len ? plain[bits & 63] : '=';
	}
	*out = '\0';
}

static int digit(const char *alphabet, char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

/* Digits of six bits each become bytes. */
struct bits {
	uint32_t value;
	unsigned int n; /* that are no byte yet */
};

/* Whether there is a byte. */
static bool add_digit(struct bits *b, int value, uint8_t *ret)
{
	b->value = b->value << 6 | (uint32_t)value;
	b->n += 6;
	if (b->n < 8)
		return false;
	b->n -= 8;
	*ret = (uint8_t)(b->value >> b->n);
	return true;
}

char *base64_decode(const char *text, size_t *ret_len)
{
	uint8_t *out = malloc(strlen(text) / 4 * 3 + 4);
	size_t len = 0, digits = 0, padding = 0;
	struct bits bits = { 0 };
	bool good = out != NULL;

	for (; good && *text; text++) {
		int value = digit(plain, *text);

		if (strchr(" \t\r\n", *text))
			continue;
		digits++;
		if (*text == '=')
			good = ++padding <= 2;
		else
			good = value >= 0 && !padding;
		if (good && !padding)
			len += add_digit(&bits, value, out + len);
	}
	/* Of a text of "====" the padding was too long already. */
	if (!good || digits % 4) {
		free(out);
		return NULL;
	}
	out[len] = '\0';
	if (ret_len)
		*ret_len = len;
	return (char *)out;
}

bool base64url_decode(const char *text, size_t len, uint8_t *ret, size_t max, size_t *ret_len)
{
	struct bits bits = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int value = digit(url, text[i]);
		uint8_t byte;

		if (value < 0)
			return false;
		if (!add_digit(&bits, value, &byte))
			continue;
		if (n == max)
			return false;
		ret[n++] = byte;
	}
	*ret_len = n;
	return len % 4 != 1;
}
