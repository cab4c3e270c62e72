// SPDX-License-Identifier: MIT
#include "config/environment.h"

#include <stdlib.h>
#include <unistd.h>

#include "config/key.h"
#include "loading.h"
#include "tap.h"

/* What the program gets, sorted as it comes, with "|" between. @local, @target: the same way. */
static const char *make(const char *feature_env, const char *local, const char *target)
{
	static char out[4096];
	char text[1024], copy[2][1024], *lists[2][32], *messages;
	size_t n[2] = { 0, 0 };
	struct error err = { 0 };
	struct arena *a = arena_new();
	struct config c;
	char **made;

	snprintf(text, sizeof(text), "{\"feature\": {\"env\": %s}}", feature_env);
	if (loading_load("json", text, NULL, &c, &messages) < 0) {
		snprintf(out, sizeof(out), "%s", messages);
		free(messages);
		arena_free(a);
		return out;
	}
	free(messages);
	for (int i = 0; i < 2; i++) {
		char *save = NULL;

		snprintf(copy[i], sizeof(copy[i]), "%s", i ? target : local);
		for (char *word = strtok_r(copy[i], "|", &save); word; word = strtok_r(NULL, "|", &save))
			lists[i][n[i]++] = word;
		lists[i][n[i]] = NULL;
	}
	made = environment_make(&c, lists[0], lists[1], n[1], a, &err);
	*out = '\0';
	for (size_t i = 0; made && made[i]; i++)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s", i ? "|" : "", made[i]);
	if (!made)
		snprintf(out, sizeof(out), "error: %s", err.text);
	config_fini(&c);
	arena_free(a);
	return out;
}

static const struct {
	const char *name, *env, *local, *target, *want;
} rows[] = {
	{ "all of the target's", "true", "A=1", "B=2|C=3", "A=1|B=2|C=3" },
	{ "the target's over one's own", "{}", "A=1|B=1", "A=2", "A=2|B=1" },
	{ "none", "false", "A=1", "A=2|B=2", "A=1" },
	{ "what stays", "true", "PATH=/l|HOME=/l|TERM=x", "PATH=/t|HOME=/t|LD_PRELOAD=/t|LC_ALL=t|NODE_OPTIONS=t|JAVA_HOME=/t|DB=t",
		"PATH=/l|HOME=/l|TERM=x|DB=t" },
	{ "what stays, asked for", "{\"include\": [\"PATH\", \"LC_*\"]}", "PATH=/l", "PATH=/t|LC_ALL=t|LANG=t|DB=t", "PATH=/t|LC_ALL=t" },
	{ "what stays, all asked for", "{\"include\": \"*\"}", "PATH=/l", "PATH=/t|DB=t", "PATH=/l|DB=t" },
	{ "include", "{\"include\": [\"DB_*\", \"?\"]}", "", "DB_A=1|DB=2|X=3|XY=4", "DB_A=1|X=3" },
	{ "include is of one case", "{\"include\": \"db_*\"}", "A=1", "DB_A=1", "A=1" },
	{ "exclude", "{\"exclude\": [\"*_SECRET\", \"X?\"]}", "", "A_SECRET=1|B=2|XY=3|XYZ=4", "B=2|XYZ=4" },
	{ "exclude doesn't take one's own", "{\"exclude\": \"A\"}", "A=1", "A=2", "A=1" },
	{ "override", "{\"override\": {\"A\": \"o\", \"N\": \"\"}}", "A=1", "A=2", "A=o|N=" },
	{ "mapping", "{\"mapping\": {\".+_TIMEOUT\": \"1000\", \"^X\": \"x\"}}", "L_TIMEOUT=1", "A_TIMEOUT=5|XA=1|AX=1|_TIMEOUT=1",
	  "L_TIMEOUT=1|A_TIMEOUT=1000|XA=x|AX=1|_TIMEOUT=1" },
	{ "mapping is no regular expression", "{\"mapping\": {\"(\": \"1\"}}", "", "",
		"error: feature.env.mapping: \"(\": offset 1: missing closing parenthesis" },
	{ "unset", "{\"unset\": [\"aws_*\", \"B\"]}", "AWS_PROFILE=x|A=1", "Aws_Region=y|b=1|C=2", "A=1|C=2" },
	{ "unset takes from override, too", "{\"unset\": \"A\", \"override\": {\"A\": \"1\"}}", "A=0|B=1", "", "B=1" },
	{ "values with an equals sign", "true", "A=b=c", "D=e=f=", "A=b=c|D=e=f=" },
	{ "no variables at all", "true", "A=1", "nothing|=x", "A=1" },
	{ "nothing to change: as it is", "true", "A=1|A=2|odd|=x", "", "A=1|A=2|odd|=x" },
	{ "something to change: odd ones stay", "true", "A=1|odd", "B=2", "odd|A=1|B=2" },
};

static const char env_file[] = "# a comment\n"
			       "\n"
			       "PLAIN=value\n"
			       "export EXPORTED=yes\n"
			       "  SPACES =  x\n"
			       "TRAILING=a b   \n"
			       "COMMENT=a # not a part\n"
			       "HASH=a#b\n"
			       "SINGLE='a \"b\" $c # d'\n"
			       "DOUBLE=\"a\\n\\\"b\\\" # c\" # comment\n"
			       "EMPTY=\n"
			       "EQUALS=a=b\n"
			       "DB=file\n";

static void check_file(void)
{
	FILE *f;

	make("{}", "", ""); /* makes the directory */
	f = fopen("vars.env", "w");
	fputs("NOT A VARIABLE\n", f);
	fclose(f);
	tap_str(make("{\"env_file\": \"vars.env\"}", "", ""), "error: vars.env:1: expected NAME=value", "a bad line");
	f = fopen("vars.env", "w");
	fputs(env_file, f);
	fclose(f);
	tap_str(make("{\"env_file\": \"vars.env\", \"override\": {\"PLAIN\": \"o\"}}", "DB=local", "DB=target"),
		"DB=file|PLAIN=o|EXPORTED=yes|SPACES=x|TRAILING=a b|COMMENT=a|HASH=a#b|SINGLE=a \"b\" $c # d|DOUBLE=a\n\"b\" # c|EMPTY=|EQUALS=a=b",
		"a file: over the target's, below override");
	unlink("vars.env");
	tap_str(make("{\"env_file\": \"no-such.env\"}", "", ""), "error: read the env file no-such.env: No such file or directory", "no such file");
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		tap_str(make(rows[i].env, rows[i].local, rows[i].target), rows[i].want, "%s", rows[i].name);
	check_file();
	loading_clean();
	return tap_done();
}
