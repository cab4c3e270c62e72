// SPDX-License-Identifier: MIT
/* Where debuggers' ports stand on a command line:
 *
 *	debugpy        python …/debugpy --connect HOST:PORT, --listen HOST:PORT or PORT
 *	pydevd         python …/pydevd.py --client HOST --port PORT
 *	resharper      …/JetBrains.Debugger.Worker --frontend-port=PORT
 *	javaagent      -agentlib:jdwp=transport=dt_socket,address=HOST:PORT (JDK's "Connection and Invocation Details"); also in JAVA_TOOL_OPTIONS
 *	nodeinspector  --inspect[-brk|-wait|-port][=[HOST:]PORT], else 9229 (node(1)); also in NODE_OPTIONS */
#include "config/debugger_ports.h"

#include <stdlib.h>
#include <string.h>

#include "config/arena.h"

enum { GRPC_FIRST = 50000, GRPC_LAST = 50001, NODE_PORT = 9229 };

static const char *read_port(const char *text, uint16_t *ret)
{
	char *end;
	unsigned long v = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;

	if (v == 0 || v > UINT16_MAX)
		return NULL;
	*ret = (uint16_t)v;
	return end;
}

/* One port or range, and the comma behind it. Returns what follows, or NULL. */
static const char *read_range(const char *text, uint16_t *ret_first, uint16_t *ret_last)
{
	text += strspn(text, " ");
	text = read_port(text, ret_first);
	if (!text)
		return NULL;
	*ret_last = *ret_first;
	if (*text == '-' && (!(text = read_port(text + 1, ret_last)) || *ret_last < *ret_first))
		return NULL;
	text += strspn(text, " ");
	if (*text == ',')
		return text[1] ? text + 1 : NULL;
	return *text ? NULL : text;
}

bool debugger_ports_valid(const char *text)
{
	uint16_t first, last;

	do
		text = read_range(text, &first, &last);
	while (text && *text);
	return text;
}

bool debugger_ports_has(const struct config_strings *list, uint16_t port)
{
	uint16_t first, last;

	for (size_t i = 0; list && i < list->n; i++)
		for (const char *at = list->items[i]; at && *at;) {
			at = read_range(at, &first, &last);
			if (at && port >= first && port <= last && (first == last || port < GRPC_FIRST || port > GRPC_LAST))
				return true;
		}
	return false;
}

/* Of "HOST:PORT", "[HOST]:PORT" or "PORT", which ends with @end or the text. */
static bool port_of(const char *text, char end, uint16_t *ret)
{
	size_t len = strcspn(text, (const char[]){ end, '\0' }), at = len;
	const char *rest;

	while (at > 0 && text[at - 1] != ':')
		at--;
	rest = read_port(text + at, ret);
	return rest == text + len;
}

static bool follows(char *const *argv, const char *name, uint16_t *ret)
{
	for (; argv[0] && argv[1]; argv++)
		if (strcmp(argv[0], name) == 0 && port_of(argv[1], '\0', ret))
			return true;
	return false;
}

static bool has_word(char *const *argv, const char *part)
{
	for (; *argv; argv++)
		if (strstr(*argv, part))
			return true;
	return false;
}

static bool java_port(const char *word, uint16_t *ret)
{
	const char *address;

	if (strncmp(word, "-agentlib:jdwp=", 15) != 0 && strncmp(word, "-Xrunjdwp:", 10) != 0)
		return false;
	address = strstr(word, "address=");
	return address && port_of(address + 8, ',', ret);
}

static bool node_port(const char *word, uint16_t *ret)
{
	static const char *const names[] = { "--inspect", "--inspect-brk", "--inspect-wait", "--inspect-port" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);

		if (strncmp(word, names[i], len) != 0 || (word[len] && word[len] != '='))
			continue;
		if (!word[len] || !port_of(word + len + 1, '\0', ret))
			*ret = NODE_PORT;
		return true;
	}
	return false;
}

static bool any_word(char *const *words, bool (*read)(const char *word, uint16_t *ret), uint16_t *ret)
{
	for (; *words; words++)
		if (read(*words, ret))
			return true;
	return false;
}

/* The same in the words of the variable @name. */
static bool in_variable(char *const *env, const char *name, bool (*read)(const char *word, uint16_t *ret), uint16_t *ret)
{
	size_t len = strlen(name);
	char *copy = NULL, *save = NULL;
	bool found = false;

	for (; *env && !copy; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			copy = strdup(*env + len + 1);
	for (char *word = copy ? strtok_r(copy, " ", &save) : NULL; word && !found; word = strtok_r(NULL, " ", &save))
		found = read(word, ret);
	free(copy);
	return found;
}

static bool resharper_port(const char *word, uint16_t *ret)
{
	return strncmp(word, "--frontend-port=", 16) == 0 && port_of(word + 16, '\0', ret);
}

static bool find(enum debugger debugger, char *const *argv, char *const *env, uint16_t *ret)
{
	switch (debugger) {
	case DEBUGGER_NONE:
		break;
	case DEBUGGER_DEBUGPY:
		return has_word(argv, "debugpy") && (follows(argv, "--connect", ret) || follows(argv, "--listen", ret));
	case DEBUGGER_PYDEVD:
		return has_word(argv, "pydevd") && follows(argv, "--port", ret);
	case DEBUGGER_RESHARPER:
		return any_word(argv, resharper_port, ret);
	case DEBUGGER_JAVAAGENT:
		return any_word(argv, java_port, ret) || in_variable(env, "JAVA_TOOL_OPTIONS", java_port, ret);
	case DEBUGGER_NODEINSPECTOR:
		return any_word(argv, node_port, ret) || in_variable(env, "NODE_OPTIONS", node_port, ret);
	}
	return false;
}

bool debugger_ports_detect(struct config *c, char *const *argv, char *const *env)
{
	struct config_strings *list = &c->debugger_ports;
	uint16_t port;

	if (!find((enum debugger)c->detect_debugger, argv, env, &port) || debugger_ports_has(list, port) ||
	    !arena_push(c->arena, (void **)&list->items, list->n, sizeof(*list->items)))
		return false;
	list->items[list->n++] = arena_format(c->arena, "%u", port);
	return true;
}
