// SPDX-License-Identifier: MIT
/* Looking into objects of the API. */
#include "kube/json.h"

#include <stdio.h>
#include <string.h>

json_t *kube_dig(const json_t *object, const char *path)
{
	char key[64];

	while (object && *path) {
		size_t n = strcspn(path, ".");

		if (n >= sizeof(key))
			return NULL;
		memcpy(key, path, n);
		key[n] = '\0';
		object = json_object_get(object, key);
		path += n + (path[n] == '.');
	}
	return (json_t *)object;
}

const char *kube_text_or_null(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : NULL;
}

const char *kube_text(const json_t *object, const char *key)
{
	const char *text = kube_text_or_null(object, key);

	return text ? text : "";
}

char *kube_copy(const json_t *object, const char *key)
{
	const char *text = kube_text_or_null(object, key);

	return text ? strdup(text) : NULL;
}

time_t kube_time(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	long hours, minutes;
	char sign;
	time_t t = rest ? timegm(&tm) : 0;

	if (rest && *rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (rest && sscanf(rest, "%c%2ld:%2ld", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-'))
		t -= (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return t;
}
