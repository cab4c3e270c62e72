// SPDX-License-Identifier: MIT
/* The error object: fixed storage, so that reporting a failure can't fail. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *e, int err, const char *format, ...)
{
	va_list ap;
	size_t n;

	memset(e, 0, sizeof(*e));
	e->status = 1;
	va_start(ap, format);
	vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
	n = strlen(e->text);
	if (err)
		snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(err));
	return -1;
}

int error_wrap(struct error *e, const char *format, ...)
{
	char outer[sizeof(e->text)], inner[sizeof(e->text)];
	va_list ap;
	size_t n;

	memcpy(inner, e->text, sizeof(inner));
	va_start(ap, format);
	vsnprintf(outer, sizeof(outer), format, ap);
	va_end(ap);
	n = strlen(outer);
	memcpy(e->text, outer, n + 1);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", inner);
	return -1;
}

int error_hint(struct error *e, const char *format, ...)
{
	va_list ap;

	if (e->hint[0])
		return -1;
	va_start(ap, format);
	vsnprintf(e->hint, sizeof(e->hint), format, ap);
	va_end(ap);
	return -1;
}

bool error_is_set(const struct error *e)
{
	return e->text[0] != '\0';
}
