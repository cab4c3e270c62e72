// SPDX-License-Identifier: MIT
/* The grammar of a cluster's targets: KIND/NAME[/container/CONTAINER]. Names are checked here, so that none is anything else in a URL. */
#include "target/cluster.h"

#include <stdio.h>
#include <string.h>

#define SEPARATOR "/container/"

/* Lower-case letters, digits, "-" and "." inside (RFC 1123). */
static bool is_name(const char *name, size_t len, size_t max)
{
	const char *marks = "-.";

	for (size_t i = 0; i < len; i++) {
		bool alnum = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9');

		if (!alnum && (i == 0 || i + 1 == len || !strchr(marks, name[i])))
			return false;
	}
	return len > 0 && len <= max;
}

/* "key=value" pairs with "," between; a key may have a prefix: "app.kubernetes.io/name=shop". */
static bool is_selector(const char *text)
{
	const char *marks = "-._/";
	int equals = 0;

	for (const char *c = text;; c++) {
		bool alnum = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');

		if (*c == ',' || !*c) {
			if (equals != 1)
				return false;
			equals = 0;
		} else if (*c == '=' ? ++equals > 1 || c == text || c[-1] == ',' : !alnum && !strchr(marks, *c)) {
			return false;
		}
		if (!*c)
			return true;
	}
}

static int refuse(const struct target *t, const char *what, const char *word, struct error *err)
{
	error_set(err, 0, "target %s: \"%s\" is not %s", t->text, word, what);
	if (t->kind == TARGET_LABEL)
		return error_hint(err, "a target like label/app=shop,tier=web names pods by all of these labels");
	return error_hint(err, "a target like deployment/shop, or deployment/shop/container/app, names it as kubectl does");
}

int cluster_parse(const char *name, struct target *ret, struct error *err)
{
	const char *separator = name ? strstr(name, SEPARATOR) : NULL, *more;
	size_t len;

	if (!name)
		return 0;
	while (separator && (more = strstr(separator + 1, SEPARATOR)))
		separator = more;
	len = separator ? (size_t)(separator - name) : strlen(name);
	if (separator) {
		const char *container = separator + strlen(SEPARATOR);

		if (!is_name(container, strlen(container), sizeof(ret->container) - 1))
			return refuse(ret, "a name of a container", container, err);
		snprintf(ret->container, sizeof(ret->container), "%s", container);
	}
	snprintf(ret->name, sizeof(ret->name), "%.*s", (int)len, name);
	if (ret->kind == TARGET_LABEL ? !is_selector(ret->name) : !is_name(ret->name, strlen(ret->name), 253))
		return refuse(ret, ret->kind == TARGET_LABEL ? "a list of labels" : "a name in a cluster", ret->name, err);
	return 0;
}
