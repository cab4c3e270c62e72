// SPDX-License-Identifier: MIT
/* What a single value means in place of a section's object. */
#include <string.h>

#include "config/source.h"
#include "config/walk.h"

/* @when: "true", "false", or "*" for a string. @to NULL: the string itself. */
static const struct {
	const char *when, *to;
	enum config_key section, key;
} rows[] = {
	{ "false", "off", KEY_network, KEY_incoming_mode },
	{ "false", "false", KEY_network, KEY_outgoing_tcp },
	{ "false", "false", KEY_network, KEY_outgoing_udp },
	{ "false", "false", KEY_network, KEY_dns_enabled },
	{ "false", "off", KEY_incoming, KEY_incoming_mode },
	{ "*", NULL, KEY_incoming, KEY_incoming_mode },
	{ "false", "false", KEY_outgoing, KEY_outgoing_tcp },
	{ "false", "false", KEY_outgoing, KEY_outgoing_udp },
	{ "false", "false", KEY_dns, KEY_dns_enabled },
	{ "false", "*", KEY_env, KEY_env_exclude },
	{ "true", "read", KEY_fs, KEY_fs_mode },
	{ "false", "local", KEY_fs, KEY_fs_mode },
	{ "*", NULL, KEY_fs, KEY_fs_mode },
	{ "true", "true", KEY_copy_target, KEY_copy_target_enabled },
	{ "false", "false", KEY_copy_target, KEY_copy_target_enabled },
	{ "*", NULL, KEY_target, KEY_target_path },
};

static bool known(const char *shorts, const struct node *n)
{
	const char *w;
	size_t len;

	for (size_t i = 0; (w = key_word(shorts, i, &len)); i++) {
		if (n->kind == NODE_BOOL && len == 4 && memcmp(w, "bool", 4) == 0)
			return true;
		if (n->kind == NODE_STRING && (*w == '*' || (strlen(n->text) == len && memcmp(w, n->text, len) == 0)))
			return true;
	}
	return false;
}

/* As at the node's place. */
static bool set(const struct value_context *c, enum config_key key, const struct node *n, const char *text)
{
	bool good = value_set_text(c, key, text);

	if (c->source)
		source_place(c->source, n->at, &c->config->sources[key].line, &c->config->sources[key].column);
	return good;
}

bool config_short_form(const struct value_context *c, enum config_key section, const struct node *n)
{
	const char *is = n->kind == NODE_STRING ? "*" : n->kind == NODE_BOOL && n->boolean ? "true" : "false";

	if (!known(key_info(section)->extra, n))
		return false;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].section == section && strcmp(rows[i].when, is) == 0)
			set(c, rows[i].key, n, rows[i].to ? rows[i].to : n->text);
	return true;
}
