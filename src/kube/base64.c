// SPDX-License-Identifier: MIT
/* Base64. */
#include "kube/base64.h"

#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_decode(const char *text, size_t *ret_len)
{
	uint8_t *out = malloc(strlen(text) / 4 * 3 + 4);
	size_t len = 0, digits = 0, padding = 0;
	uint32_t bits = 0;

	for (; out && *text; text++) {
		const char *at = strchr(alphabet, *text);

		if (strchr(" \t\r\n", *text))
			continue;
		if (*text == '=' ? ++padding > 2 : (!at || padding > 0)) {
			free(out);
			return NULL;
		}
		bits = bits << 6 | (*text == '=' ? 0 : (uint32_t)(at - alphabet));
		if (++digits % 4)
			continue;
		out[len++] = (uint8_t)(bits >> 16);
		out[len++] = (uint8_t)(bits >> 8);
		out[len++] = (uint8_t)bits;
	}
	if (!out || digits % 4 || (padding && digits == 0)) {
		free(out);
		return NULL;
	}
	len -= padding;
	out[len] = '\0';
	if (ret_len)
		*ret_len = len;
	return (char *)out;
}

void base64_encode(const uint8_t *data, size_t len, char *out)
{
	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)data[i] << 16 | (i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0) | (i + 2 < len ? data[i + 2] : 0);

		*out++ = alphabet[bits >> 18];
		*out++ = alphabet[bits >> 12 & 63];
		*out++ = i + 1 < len ? alphabet[bits >> 6 & 63] : '=';
		*out++ = i + 2 < len ? alphabet[bits & 63] : '=';
	}
	*out = '\0';
}
