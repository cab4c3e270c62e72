// SPDX-License-Identifier: MIT
/* Texts about the keys. */
#include "config/reference.h"

#include <string.h>

#include "config/key.h"

static const char *const statuses[] = { [STATUS_SAME] = "same", [STATUS_BETTER] = "better", [STATUS_OURS] = "ours",
	[STATUS_MEANINGLESS] = "no meaning here",
					[STATUS_LATER] = "not yet" };

/* "string", "`a`, `b`", "0 to 65535" */
static void write_kind(FILE *out, const struct key_info *k)
{
	static const char *const names[] = { [KIND_SECTION] = "object", [KIND_BOOL] = "true or false", [KIND_TRI] = "true or false",
		[KIND_STRING] = "string",
					     [KIND_STRINGS] = "string or list of strings", [KIND_PORTS] = "port or list of ports",
					     [KIND_PAIRS] = "list of pairs of ports", [KIND_MAP] = "object of strings", [KIND_FILTER] = "filter" };
	const char *w, *dots = strstr(k->extra, "..");
	size_t len;

	if (k->kind == KIND_NUMBER) {
		fprintf(out, "%.*s to %s", (int)(dots - k->extra), k->extra, dots + 2);
		return;
	}
	if (k->kind != KIND_ENUM && k->kind != KIND_JSON) {
		fputs(names[k->kind], out);
		return;
	}
	for (size_t i = 0; (w = key_word(k->extra, i, &len)); i++)
		fprintf(out, k->kind == KIND_ENUM ? "%s`%.*s`" : "%s%.*s", i ? ", " : "", (int)len, w);
}

/* A table's cell: no bar may stand in it as it is. */
static void write_cell(FILE *out, const char *text)
{
	for (; *text; text++)
		fprintf(out, *text == '|' ? "\\|" : "%c", *text);
}

static void write_row(FILE *out, const struct key_info *k)
{
	fprintf(out, "| `%s` | ", k->name);
	write_kind(out, k);
	fprintf(out, " | %s%s%s | ", *k->preset ? "`" : "", k->preset, *k->preset ? "`" : "");
	write_cell(out, k->text);
	if (k->status == STATUS_LATER)
		fputs(" *No effect yet.*", out);
	else if (k->status == STATUS_MEANINGLESS)
		fputs(" *No meaning here.*", out);
	if (*k->env)
		fprintf(out, " `%s`", k->env);
	if (*k->flag) {
		fputs(" `", out);
		write_cell(out, k->flag);
		fputs("`", out);
	}
	fputs(" |\n", out);
}

static void write_shorts(FILE *out, const char *shorts)
{
	const char *w;
	size_t len;

	for (size_t i = 0; (w = key_word(shorts, i, &len)); i++) {
		if (len == 4 && memcmp(w, "bool", 4) == 0)
			fprintf(out, "%s`true`, `false`", i ? ", " : "");
		else if (*w == '*')
			fprintf(out, "%stext", i ? ", " : "");
		else
			fprintf(out, "%s`%.*s`", i ? ", " : "", (int)len, w);
	}
}

static void write_section(FILE *out, int parent)
{
	if (parent < 0) {
		fputs("\n## At the top\n\n", out);
	} else {
		const struct key_info *k = key_info((enum config_key)parent);

		fprintf(out, "\n## %s\n\n%s", k->path, k->text);
		if (k->kind == KIND_SECTION && *k->extra) {
			fputs(" In place of the object: ", out);
			write_shorts(out, k->extra);
			fputs(".", out);
		}
		fputs("\n\n", out);
	}
	fputs("| key | value | default | |\n|---|---|---|---|\n", out);
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (key_info((enum config_key)i)->parent == parent && key_info((enum config_key)i)->kind != KIND_SECTION)
			write_row(out, key_info((enum config_key)i));
}

static bool has_values(int parent)
{
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (key_info((enum config_key)i)->parent == parent && key_info((enum config_key)i)->kind != KIND_SECTION)
			return true;
	return false;
}

void reference_write_configuration(FILE *out)
{
	fputs("# Configuration\n\n"
	      "All keys. This page is made by `mirrord config reference` from the table that the loader uses; `mirrord config explain KEY` shows "
		"one, also\n"
	      "by its variable (`MIRRORD_…`) or option (`--…`).\n"
	      "[compatibility.md](compatibility.md) compares them with the original's, [filters.md](filters.md) tells how filters decide.\n\n"
	      "A configuration is a file: `-f FILE`, `MIRRORD_CONFIG_FILE`, or `.mirrord/mirrord.json`, `.yaml`, `.yml` or `.toml` below the "
		"working\n"
	      "directory. JSON may have comments and a comma behind the last member. Options count before environment variables, these before the\n"
	      "file, and the file before defaults. An empty variable counts as unset; lists in variables have `;` between their members.\n"
	      "`{{ key }}` and `{{ get_env(name=\"NAME\", default=\"…\") }}` are filled in before the file is read.\n\n"
	      "`mirrord verify-config FILE` checks a file, `--resolved` prints what is in force and where each value came from. Editors complete "
		"and check\n"
	      "with `\"$schema\": \"mirrord.schema.json\"`, which `mirrord config schema` prints.\n",
	      out);
	write_section(out, -1);
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (has_values(i))
			write_section(out, i);
}

static void write_commands(FILE *out)
{
	static const char *const rows[][3] = {
		{ "exec", "better", "any program, static ones too; the options are the same" },
		{ "container -- podman run", "better", "root's and rootless; no other container; variables of the image give way to the target's" },
		{ "container -- docker run", "same", "root's daemon on this machine; one container beside it, no port forwarding; "
			"what it listens on "
			"is found 0.1 s later" },
		{ "port-forward", "better", "UDP, IPv6, the target's search list, half-closes; listeners outlive the agent; -R steals by default" },
		{ "dump", "better", "whole connections with answers, --json, --pcap" },
		{ "ls", "same", "" },
		{ "verify-config", "better", "all mistakes at once, with their lines" },
		{ "diagnose latency", "better", "`diagnose` shows rights, clocks and versions as well" },
		{ "explain, config", "ours", "" },
		{ "operator, up, ci, ui, preview …", "not yet", "" },
	};

	fputs("\n| command, or variable without a key | | why |\n|---|---|---|\n", out);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(out, "| `%s` | %s | %s |\n", rows[i][0], rows[i][1], rows[i][2]);
}

void reference_write_compatibility(FILE *out)
{
	fputs("# Compatibility\n\n"
	      "Each key of the original mirrord's configuration (3.250), and what becomes of it here. *Same*: it does what it does there. "
		"*Better*: that and\n"
	      "more. *No meaning here*: accepted without effect, since the reason for it is absent. *Not yet*: accepted with a warning, or an "
		"error with\n"
	      "`--strict`. *Ours*: the original doesn't have it. A key whose value is an object of the operator's or of\n"
	      "Kubernetes' stands for all that is below it. Made by `mirrord config compatibility`.\n\n"
	      "| key | | why |\n|---|---|---|\n",
	      out);
	for (int i = 0; i < CONFIG_KEYS; i++) {
		const struct key_info *k = key_info((enum config_key)i);

		if (k->kind == KIND_SECTION)
			continue;
		fprintf(out, "| `%s` | %s | ", k->path, statuses[k->status]);
		write_cell(out, k->note);
		fputs(" |\n", out);
	}
	write_commands(out);
}

static void explain_key(FILE *out, const struct key_info *k)
{
	fprintf(out, "%s\n  %s\n  value: ", k->path, k->text);
	write_kind(out, k);
	fprintf(out, "\n  default: %s\n", *k->preset ? k->preset : "(unset)");
	if (*k->env)
		fprintf(out, "  variable: %s\n", k->env);
	if (*k->flag)
		fprintf(out, "  option: %s\n", k->flag);
	fprintf(out, "  compared with the original: %s%s%s\n", statuses[k->status], *k->note ? ": " : "", k->note);
}

/* The keys that a variable or an option sets. */
static bool explain_setter(FILE *out, const char *word)
{
	bool found = false;

	for (int i = 0; i < CONFIG_KEYS; i++) {
		const struct key_info *k = key_info((enum config_key)i);

		if (strcmp(k->env, word) != 0 && !key_has_flag((enum config_key)i, word))
			continue;
		explain_key(out, k);
		found = true;
	}
	return found;
}

bool reference_explain(FILE *out, const char *word)
{
	int key = *word ? key_find(word) : -1;

	if (key < 0 && *word)
		return explain_setter(out, word);
	if (key >= 0 && key_info((enum config_key)key)->kind != KIND_SECTION)
		explain_key(out, key_info((enum config_key)key));
	else if (key >= 0)
		fprintf(out, "%s\n  %s\n", word, key_info((enum config_key)key)->text);
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (key_info((enum config_key)i)->parent == key)
			fprintf(out, "    %-32s %.100s\n", key_info((enum config_key)i)->name, key_info((enum config_key)i)->text);
	return true;
}
