// SPDX-License-Identifier: MIT
/* Loading: the defaults, the file, the environment, the command line; the later wins. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/check.h"
#include "config/config.h"
#include "config/env_file.h"
#include "config/filter_value.h"
#include "config/json.h"
#include "config/source.h"
#include "config/template.h"
#include "config/toml.h"
#include "config/utf8.h"
#include "config/value.h"
#include "config/walk.h"
#include "config/yaml.h"

enum { FILE_MAX = 16 << 20 };

static const struct {
	const char *extension;
	struct node *(*parse)(struct source *);
} languages[] = {
	{ "json", json_parse },
	{ "yaml", yaml_parse },
	{ "yml", yaml_parse },
	{ "toml", toml_parse },
};
enum { LANGUAGES = sizeof(languages) / sizeof(languages[0]) };

void config_set_defaults(struct config *c, struct problem_list *problems)
{
	const struct value_context context = { .config = c, .problems = problems, .where = "default", .origin = ORIGIN_DEFAULT };

	for (int i = 0; i < CONFIG_KEYS; i++) {
		const struct key_info *k = key_info((enum config_key)i);
		void *field = (char *)c + k->offset;

		if (k->kind == KIND_NUMBER)
			*(config_NUMBER *)field = CONFIG_NO_NUMBER;
		else if (k->kind == KIND_TRI)
			*(config_TRI *)field = CONFIG_UNSET;
		if (*k->preset)
			value_set_text(&context, (enum config_key)i, k->preset);
	}
}

/* The file that counts; NULL: none. */
static const char *find_file(const struct config_request *r, struct arena *a)
{
	const char *named = template_getenv(r->environ, "MIRRORD_CONFIG_FILE");

	if (r->file)
		return r->file;
	if (named && *named)
		return named;
	for (size_t i = 0; i < LANGUAGES; i++) {
		const char *path = arena_format(a, ".mirrord/mirrord.%s", languages[i].extension);

		if (access(path, F_OK) == 0)
			return path;
	}
	return NULL;
}

/* The arena's text; NULL after an error. */
static char *read_file(struct arena *a, const char *name, size_t *ret_len, struct problem_list *problems)
{
	_cleanup_fd_ int opened = -1;
	char *text, *copy;
	int fd = STDIN_FILENO;

	if (strcmp(name, "-") != 0) {
		opened = open(name, O_RDONLY | O_CLOEXEC);
		fd = opened;
	}
	text = fd < 0 ? NULL : fd_read_all(fd, FILE_MAX, ret_len);
	if (!text) {
		problem_add(problems, PROBLEM_ERROR, name, 0, 0, NULL, "read the configuration: %s", strerror(errno));
		return NULL;
	}
	copy = arena_copy(a, text, *ret_len);
	free(text);
	if (strlen(copy) == *ret_len)
		return copy;
	problem_add(problems, PROBLEM_ERROR, name, 0, 0, NULL, "this is no text: it has a byte 0 in it");
	return NULL;
}

/* By the extension; without a known one it is JSON. */
static struct node *parse(struct source *s)
{
	const char *dot = strrchr(s->name, '.');

	for (size_t i = 0; dot && i < LANGUAGES; i++)
		if (strcasecmp(dot + 1, languages[i].extension) == 0)
			return languages[i].parse(s);
	return json_parse(s);
}

static const char *random_key(struct arena *a)
{
	unsigned int number = 0;

	if (getrandom(&number, sizeof(number), 0) < 0)
		number = (unsigned int)getpid();
	return arena_format(a, "%05x", number & 0xfffff);
}

/* `{{ key }}` is what the option, the variable or the file itself says. For the latter the file is read once with a key that doesn't
 * matter. */
static const char *find_key(const struct config_request *r, const char *name, const char *file, size_t len, struct arena *a)
{
	const char *env = template_getenv(r->environ, "MIRRORD_KEY"), *key = NULL;
	struct template_values values = { .key = "key", .environ = r->environ };
	struct problem_list ignored;
	struct source s;
	struct node *root, *member;

	for (size_t i = 0; i < r->n_flags; i++)
		if (r->flags[i].key == KEY_key)
			key = r->flags[i].value;
	if (!key && env && *env && !r->file_alone)
		key = env;
	if (key || !template_uses_key(file, len))
		return key;
	problem_list_init(&ignored);
	source_init(&s, name, file, len, a, &ignored);
	root = template_fill_in(&s, &values) ? parse(&s) : NULL;
	member = root ? node_member(root, "key") : NULL;
	problem_list_fini(&ignored);
	return member && member->kind == NODE_STRING ? member->text : random_key(a);
}

/* One error is enough: in a file of another encoding there would be many. */
static bool is_utf8(struct source *s)
{
	for (size_t i = 0, n; i < s->file_len; i += n) {
		n = utf8_length((const uint8_t *)s->file + i, s->file_len - i);
		if (n)
			continue;
		source_error(s, i, NULL, "the byte 0x%02x here is no UTF-8", (uint8_t)s->file[i]);
		return false;
	}
	return true;
}

static void load_file(const struct config_request *r, const char *name, struct config *c, struct problem_list *problems)
{
	struct template_values values = { .environ = r->environ };
	size_t len;
	const char *file = read_file(c->arena, name, &len, problems);
	struct source s;
	struct value_context context = { .config = c, .problems = problems, .source = &s, .origin = ORIGIN_FILE };
	struct node *root;

	if (!file)
		return;
	context.where = strcmp(name, "-") == 0 ? "standard input" : name;
	values.key = find_key(r, name, file, len, c->arena);
	source_init(&s, context.where, file, len, c->arena, problems);
	root = is_utf8(&s) && template_fill_in(&s, &values) ? parse(&s) : NULL;
	if (!root)
		return;
	config_walk(&context, root);
	if (values.key && !c->key)
		c->key = arena_copy(c->arena, values.key, strlen(values.key));
}

/* An empty variable counts as unset. */
static void load_environment(const struct config_request *r, struct config *c, struct problem_list *problems)
{
	for (int i = 0; i < CONFIG_KEYS; i++) {
		const struct key_info *k = key_info((enum config_key)i);
		const char *value = *k->env ? template_getenv(r->environ, k->env) : NULL;
		const struct value_context context = { .config = c, .problems = problems, .where = k->env, .origin = ORIGIN_ENV };

		if (value && *value)
			value_set_text(&context, (enum config_key)i, arena_copy(c->arena, value, strlen(value)));
	}
}

static void load_flags(const struct config_request *r, struct config *c, struct problem_list *problems)
{
	for (size_t i = 0; i < r->n_flags; i++) {
		const struct config_flag *f = &r->flags[i];
		const struct value_context context = { .config = c, .problems = problems, .where = f->option, .origin = ORIGIN_FLAG };

		value_set_text(&context, f->key, arena_copy(c->arena, f->value, strlen(f->value)));
	}
}

/* The filter's own object is made anew, since variables may have a part in it. */
static char *http_filter_text(const struct config *c)
{
	struct node *object = node_new(c->arena, NODE_OBJECT, 0);

	for (int i = 0; i < CONFIG_KEYS; i++) {
		struct node *v;

		if (key_info((enum config_key)i)->parent != KEY_http_filter)
			continue;
		v = value_to_node(c, (enum config_key)i, c->arena);
		if (v->kind != NODE_NULL)
			node_add_member(c->arena, object, v, key_info((enum config_key)i)->name, 0);
	}
	return object->n > (c->http_ports.set ? 1 : 0) ? node_to_json(c->arena, object) : NULL;
}

static void load_env_file(const struct config_request *r, struct config *c, struct problem_list *problems)
{
	const struct config_source *s = &c->sources[KEY_env_file];

	if (!c->env_file)
		return;
	c->env_file_variables = env_file_read(c->env_file, r->environ, c->arena, problems);
	if (!c->env_file_variables)
		problem_add(problems, PROBLEM_ERROR, s->name, s->line, s->column, key_info(KEY_env_file)->path, "read %s: %s", c->env_file,
			    strerror(errno));
}

/* Fields that follow from others. */
static void derive(struct config *c)
{
	if (!c->key)
		c->key = arena_format(c->arena, "%s", random_key(c->arena));
	c->http_filter = http_filter_text(c);
	filter_value_derive(c);
}

int config_load(const struct config_request *request, struct config *ret, struct problem_list *problems)
{
	struct config c = { .arena = arena_new() };
	const char *file = find_file(request, c.arena);

	config_set_defaults(&c, problems);
	if (file)
		load_file(request, file, &c, problems);
	if (!request->file_alone)
		load_environment(request, &c, problems);
	load_flags(request, &c, problems);
	load_env_file(request, &c, problems);
	derive(&c);
	config_check(&c, problems);
	config_check_status(&c, request->strict, problems);
	if (problems->n_errors) {
		arena_free(c.arena);
		return -1;
	}
	*ret = c;
	return 0;
}

void config_fini(struct config *c)
{
	arena_free(c->arena);
	*c = (struct config){ 0 };
}
