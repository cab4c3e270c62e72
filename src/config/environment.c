// SPDX-License-Identifier: MIT
/* The program's environment.
 *
 * On top of its own come: the target's variables (those that include and exclude leave), then the env file's, both with mapping's values, then
 * override's. Last, unset takes away, whoever had set it. The order of its own stays; others follow.
 *
 * Some variables of the target's say where things are in its file system, how its terminal is, or what code an interpreter loads first. The
 * program runs here, so these stay as they are here, unless include names them. */
#include "config/environment.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/node.h"
#include "http/regexp.h"

enum { TRIES = 8 };

static const char *const local_names[] = {
	/* where programs, libraries and modules are */
	"PATH", "CLASSPATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "NODE_PATH", "GOPATH", "GOROOT", "GOMODCACHE", "JAVA_HOME", "JAVA_EXE",
		"GEM_HOME",
	"GEM_PATH", "RUBYLIB", "PERL5LIB", "CARGO_HOME", "RUSTUP_HOME", "DOTNET_ROOT", "BUNDLE*",
	/* what is loaded or run before the program */
	"LD_*", "GLIBC_TUNABLES", "MALLOC_*", "BASH_ENV", "ENV", "PYTHONSTARTUP", "PERL5OPT", "RUBYOPT", "NODE_OPTIONS", "JAVA_TOOL_OPTIONS",
		"_JAVA_OPTIONS",
	"JDK_JAVA_OPTIONS", "DOTNET_STARTUP_HOOKS", "DOTNET_EnableDiagnostics", "PROMPT_COMMAND", "BASH_FUNC_*", "GIT_*", "EDITOR", "VISUAL",
		"PAGER", "SHELLOPTS",
	"BASHOPTS",
	/* the user, the session, the terminal */
	"HOME", "HOMEPATH", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "_", "TERM", "TERM*", "COLORTERM", "COLUMNS", "LINES", "LANG",
		"LANGUAGE",
	"LC_*", "TMPDIR", "TEMP", "TMP", "XDG_*", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_*", "SSH_*", "SUDO_*", "MAIL", "TZDIR",
	/* ours */
	"MIRRORD_*", "RUST_LOG",
};

/* `*` stands for any letters, `?` for one. */
static bool matches(const char *pattern, const char *name, bool caseless)
{
	const char *star = NULL, *mark = NULL;

	for (;;) {
		int p = caseless ? tolower((unsigned char)*pattern) : *pattern, c = caseless ? tolower((unsigned char)*name) : *name;

		if (*pattern == '*') {
			star = pattern++;
			mark = name;
		} else if (*name && (p == c || *pattern == '?')) {
			pattern++;
			name++;
		} else if (!*name && !*pattern) {
			return true;
		} else if (star && *mark) {
			pattern = star + 1;
			name = ++mark;
		} else {
			return false;
		}
	}
}

/* Whether a variable stays as it is on this machine, unless feature.env.include names it: it says where things are. */
static bool stays_local(const char *name)
{
	for (size_t i = 0; i < sizeof(local_names) / sizeof(local_names[0]); i++)
		if (matches(local_names[i], name, false))
			return true;
	return false;
}

static bool listed(const struct config_strings *patterns, const char *name, bool caseless)
{
	for (size_t i = 0; i < patterns->n; i++)
		if (matches(patterns->items[i], name, caseless))
			return true;
	return false;
}

/* include's `*` alone means "all", not "also those that stay". */
static bool wanted(const struct config *c, const char *name)
{
	if (c->env_exclude.set && listed(&c->env_exclude, name, false))
		return false;
	if (c->env_include.set && !listed(&c->env_include, name, false))
		return false;
	if (!stays_local(name))
		return true;
	for (size_t i = 0; i < c->env_include.n; i++)
		if (strcmp(c->env_include.items[i], "*") != 0 && matches(c->env_include.items[i], name, false))
			return true;
	return false;
}

/* The variables to be, as the members of an object: the order stays, a later value replaces. */
struct maker {
	const struct config *c;
	struct arena *arena;
	struct node *vars;
	struct regex **mapping;
	bool changed;
};

static void set(struct maker *m, const char *name, const char *value)
{
	struct node *n = node_member(m->vars, name);

	m->changed |= !n || strcmp(n->text, value) != 0;
	if (n)
		n->text = arena_copy(m->arena, value, strlen(value));
	else
		node_add_member(m->arena, m->vars, node_new_string(m->arena, value), name, 0);
}

/* Of NAME=value, into the arena; NULL when it is none. */
static const char *name_of(struct arena *a, const char *variable)
{
	const char *equals = strchr(variable, '=');

	return equals && equals > variable ? arena_copy(a, variable, (size_t)(equals - variable)) : NULL;
}

static int compile_mapping(struct maker *m, struct error *err)
{
	const struct config_map *map = &m->c->env_mapping;

	m->mapping = arena_alloc(m->arena, (map->n + 1) * sizeof(void *));
	for (size_t i = 0; i < map->n; i++) {
		m->mapping[i] = regex_compile((struct span){ map->items[i].name, strlen(map->items[i].name) }, 0, err);
		if (!m->mapping[i])
			return error_wrap(err, "feature.env.mapping: \"%s\"", map->items[i].name);
	}
	return 0;
}

/* On a machine that is busy a search may be given up for no fault of the pattern's. */
static bool finds(const struct regex *r, const char *name)
{
	int found = REGEX_TOO_LONG;

	for (int i = 0; found == REGEX_TOO_LONG && i < TRIES; i++)
		found = regex_search(r, span_of(name));
	return found == 1;
}

static const char *mapped(const struct maker *m, const char *name, const char *value)
{
	for (size_t i = 0; i < m->c->env_mapping.n; i++)
		if (finds(m->mapping[i], name))
			return m->c->env_mapping.items[i].value;
	return value;
}

static void add_target(struct maker *m, char *const *target, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = name_of(m->arena, target[i]);

		if (name && wanted(m->c, name))
			set(m, name, mapped(m, name, target[i] + strlen(name) + 1));
	}
}

static char **result(const struct maker *m, char *const *local)
{
	char **list;
	size_t n = 0, odd = 0;

	if (!m->changed && m->c->env_unset.n == 0)
		return (char **)local;
	while (local[odd])
		odd++;
	list = arena_alloc(m->arena, (m->vars->n + odd + 1) * sizeof(char *));
	for (; *local; local++)
		if (!name_of(m->arena, *local))
			list[n++] = *local;
	for (const struct node *v = m->vars->child; v; v = v->next)
		if (!listed(&m->c->env_unset, v->key, true))
			list[n++] = arena_format(m->arena, "%s=%s", v->key, v->text);
	return list;
}

char **environment_make(const struct config *c, char *const *local, char *const *target, size_t n_target, struct arena *a, struct error *err)
{
	struct maker m = { .c = c, .arena = a, .vars = node_new(a, NODE_OBJECT, 0) };
	char **list = NULL;

	for (char *const *l = local; *l; l++) {
		const char *name = name_of(a, *l);

		if (name)
			set(&m, name, *l + strlen(name) + 1);
	}
	m.changed = false;
	if (compile_mapping(&m, err) == 0) {
		add_target(&m, target, n_target);
		for (const struct node *v = c->env_file_variables ? c->env_file_variables->child : NULL; v; v = v->next)
			set(&m, v->key, mapped(&m, v->key, v->text));
		for (size_t i = 0; i < c->env_override.n; i++)
			set(&m, c->env_override.items[i].name, c->env_override.items[i].value);
		list = result(&m, local);
	}
	for (size_t i = 0; i < c->env_mapping.n && m.mapping[i]; i++)
		regex_free(m.mapping[i]);
	return list;
}
