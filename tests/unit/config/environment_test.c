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
	if (loading_load("json", text, environ, &c, &messages) < 0) {
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
	{ "include, in one text", "{\"include\": \"DB_*;;?;\"}", "", "DB_A=1|DB=2|X=3|XY=4", "DB_A=1|X=3" },
	{ "exclude, in texts of a list", "{\"exclude\": [\"A;B\", \"C\"]}", "", "A=1|B=2|C=3|D=4", "D=4" },
	{ "include is of one case", "{\"include\": \"db_*\"}", "A=1", "DB_A=1", "A=1" },
	{ "exclude", "{\"exclude\": [\"*_SECRET\", \"X?\"]}", "", "A_SECRET=1|B=2|XY=3|XYZ=4", "B=2|XYZ=4" },
	{ "exclude doesn't take one's own", "{\"exclude\": \"A\"}", "A=1", "A=2", "A=1" },
	{ "override", "{\"override\": {\"A\": \"o\", \"N\": \"\"}}", "A=1", "A=2", "A=o|N=" },
	{ "mapping", "{\"mapping\": {\".+_TIMEOUT\": \"1000\", \"^X\": \"x\"}}", "L_TIMEOUT=1", "A_TIMEOUT=5|XA=1|AX=1|_TIMEOUT=1",
	  "L_TIMEOUT=1|A_TIMEOUT=1000|XA=x|AX=1|_TIMEOUT=1" },
	{ "mapping is no regular expression", "{\"mapping\": {\"(\": \"1\"}}", "", "",
	  "t.json:1:33: feature.env.mapping: \"(\" is no regular expression: offset 1: missing closing parenthesis" },
	{ "unset", "{\"unset\": [\"aws_*\", \"B\"]}", "AWS_PROFILE=x|A=1", "Aws_Region=y|b=1|C=2", "A=1|C=2" },
	{ "unset takes from override, too", "{\"unset\": \"A\", \"override\": {\"A\": \"1\"}}", "A=0|B=1", "", "B=1" },
	{ "values with an equals sign", "true", "A=b=c", "D=e=f=", "A=b=c|D=e=f=" },
	{ "no variables at all", "true", "A=1", "nothing|=x", "A=1" },
	{ "nothing to change: as it is", "true", "A=1|A=2|odd|=x", "", "A=1|A=2|odd|=x" },
	{ "something to change: odd ones stay", "true", "A=1|odd", "B=2", "odd|A=1|B=2" },
};

/* Env files. */
static const struct {
	const char *name, *file, *want;
} files[] = {
	{ "plain", "A=value\nEMPTY=\nEQUALS=a=b", "A=value|EMPTY=|EQUALS=a=b" },
	{ "comments and empty lines", "# a comment\n\n  # another\nA=a # not a part\nHASH=a#b\n", "A=a|HASH=a#b" },
	{ "export, white space", "export A=yes\n\texport\tB=1\n  C =  x\nD=a b   \nexported=1", "A=yes|B=1|C=x|D=a b|exported=1" },
	{ "CRLF and a mark", "\xef\xbb\xbf" "A=1\r\nB='2'\r\n\r\nC=\r\n", "A=1|B=2|C=" },
	{ "single quotes", "A='a \"b\" $HOME \\n # d' # comment\n", "A=a \"b\" $HOME \\n # d" },
	{ "double quotes", "A=\"a\\n\\\"b\\\"\\t\\\\ # c\" # comment\n", "A=a\n\"b\"\t\\ # c" },
	{ "several lines", "A='one\ntwo'\nB=\"three\n  four\"\nC=1", "A=one\ntwo|B=three\n  four|C=1" },
	{ "quotes within", "A={\"a\": 'b'}\nB=it's", "A={\"a\": 'b'}|B=it's" },
	{ "backslashes", "A=C:\\dir\\new", "A=C:\\dir\\new" },
	{ "filled in", "B=$A-${A}-$A.x\nC=\"<${B}>\"", "A=out|B=out-out-out.x|C=<out-out-out.x>" },
	{ "one's own before the file's", "A=file\nB=$A", "A=file|B=out" },
	{ "filled in, not set", "B=<$NOT_SET${NOR_THIS}>", "A=out|B=<>" },
	{ "a dollar", "B=\\$A $ $$ ${ ${} ${A a$", "A=out|B=$A $ $$ ${ ${} ${A a$" },
	{ "in double quotes", "B=\"\\$A $A\"", "A=out|B=$A out" },
	{ "twice: the last", "B=1\nC=2\nB=3\nD=$B", "A=out|B=3|C=2|D=3" },
	{ "all that is wrong", "NOT A VARIABLE\nA=1\n=x\nB='1' 2\n\n  C='x\nD=\"\nE\n",
	  "vars.env:1:5: expected NAME=value\nvars.env:3:1: expected NAME=value\n"
	  "vars.env:4:7: expected the end of the line behind the quote\nvars.env:6:5: this quote has no end\nvars.env:7:3: this quote has no end\n"
	  "vars.env:8:2: expected NAME=value" },
};

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen("vars.env", "w");

	if (!f || fwrite(text, 1, len, f) != len || fclose(f) != 0)
		exit(99);
}

static void check_files(void)
{
	static const char nul[] = "A=1\n\0B=2\n";

	setenv("A", "out", 1);
	make("{}", "", ""); /* makes the directory */
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		write_file(files[i].file, strlen(files[i].file));
		tap_str(make("{\"env_file\": \"vars.env\"}", strstr(files[i].want, "A=out") || strstr(files[i].want, "B=out") ? "A=out" : "", ""),
			files[i].want, "env file: %s", files[i].name);
	}
	write_file("DB=file\nPLAIN=1\nC=3", 19);
	tap_str(make("{\"env_file\": \"vars.env\", \"override\": {\"PLAIN\": \"o\"}}", "DB=local", "DB=target"), "DB=file|PLAIN=o|C=3",
		"over the target's, below override");
	tap_str(make("{\"env_file\": \"vars.env\", \"mapping\": {\"^D\": \"m\"}}", "DX=local", ""), "DX=local|DB=m|PLAIN=1|C=3",
		"mapping has its say on the file's, too");
	write_file(nul, sizeof(nul) - 1);
	tap_str(make("{\"env_file\": \"vars.env\"}", "", ""), "vars.env: this is no text: it has a byte 0 in it", "a NUL");
	unlink("vars.env");
	tap_str(make("{\"env_file\": \"no-such.env\"}", "", ""), "t.json:1:34: feature.env.env_file: read no-such.env: No such file or directory",
		"no such file");
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		tap_str(make(rows[i].env, rows[i].local, rows[i].target), rows[i].want, "%s", rows[i].name);
	check_files();
	loading_clean();
	return tap_done();
}
