// SPDX-License-Identifier: MIT
/* What files, variables and options come to: in three languages, for every key, and back into a file. */
#include <time.h>

#include "config/key.h"
#include "config/resolved.h"
#include "config/value.h"
#include "loading.h"
#include "tap.h"

static struct config load(const char *extension, const char *text, char *const *environment)
{
	struct config c = { 0 };
	char *messages;
	int rc = loading_load(extension, text, environment, &c, &messages);

	tap_ok(rc == 0 && !*messages, "%s loads", extension);
	if (*messages)
		printf("# %s\n", messages);
	free(messages);
	if (rc < 0)
		exit(1);
	return c;
}

/* The value in force as JSON; the arena's. */
static const char *json_of(const struct config *c, enum config_key key)
{
	return node_to_json(c->arena, value_to_node(c, key, c->arena));
}

/* One configuration in three languages. */
static const char in_json[] = "\xef\xbb\xbf{ // a comment\n"
			      "  # another\n"
			      "  \"target\": {\"path\": \"deployment/shop\", \"namespace\": \"prod\"}, /* and\n one more */\n"
			      "  \"feature\": {\"network\": {\n"
			      "    \"incoming\": {\"mode\": \"steal\", \"ports\": [80, 443], \"port_mapping\": [[8080, 80]],\n"
			      "      \"http_filter\": {\"header_filter\": \"x-user: \\u00e4\\ud83d\\ude00\\t\\\"\\\\\\\\\", \"ports\": 80}},\n"
			      "    \"outgoing\": {\"filter\": {\"local\": [\"10.0.0.0/8\", \"db\"]}, \"udp\": false},\n"
			      "    \"dns\": {\"filter\": {\"local\": \"x.test\"}}\n"
			      "  }, \"env\": {\"override\": {\"A\": \"1\", \"B\": \"\"}, \"exclude\": [\"C\", \"D\"]}},\n"
			      "  \"agent\": {\"ttl\": 30, \"tolerations\": [{\"operator\": \"Exists\"}]},\n"
			      "}\n";
static const char in_yaml[] = "# a comment\n"
			      "target: &t\n"
			      "  path: deployment/shop\n"
			      "  namespace: 'prod'\n"
			      "feature:\n"
			      "  network:\n"
			      "    incoming:\n"
			      "      mode: steal\n"
			      "      ports: [80, 443]\n"
			      "      port_mapping:\n"
			      "        - [8080, 80]\n"
			      "      http_filter:\n"
			      "        header_filter: \"x-user: \\u00e4\\U0001F600\\t\\\"\\\\\\\\\"\n"
			      "        ports: 80\n"
			      "    outgoing: {filter: {local: [10.0.0.0/8, db]}, udp: false}\n"
			      "    dns:\n"
			      "      filter:\n"
			      "        local: x.test\n"
			      "  env:\n"
			      "    override: {A: '1', B: ''}\n"
			      "    exclude: [C, D]\n"
			      "agent:\n"
			      "  ttl: 30\n"
			      "  tolerations: [{operator: Exists}]\n";
static const char in_toml[] = "# a comment\n"
			      "agent.ttl = 0x1e\n"
			      "[target]\n"
			      "path = 'deployment/shop' # here\n"
			      "namespace = \"prod\"\n"
			      "[feature.network.incoming]\n"
			      "mode = \"steal\"\n"
			      "ports = [ 80, # one\n  4_43, ]\n"
			      "port_mapping = [[8080, 80]]\n"
			      "http_filter = { header_filter = \"x-user: \\u00e4\\U0001F600\\t\\\"\\\\\\\\\", ports = +80 }\n"
			      "[feature.network.outgoing]\n"
			      "udp = false\n"
			      "filter.local = ['10.0.0.0/8', '''db''']\n"
			      "[feature.network.dns.filter]\n"
			      "local = \"\"\"\nx\\\n   .test\"\"\"\n"
			      "[feature.env]\n"
			      "exclude = ['C', 'D']\n"
			      "[feature.env.override]\n"
			      "A = '1'\n"
			      "\"B\" = ''\n"
			      "[[agent.tolerations]]\n"
			      "operator = 'Exists'\n";

static void check_languages(void)
{
	struct config c[3] = { load("json", in_json, NULL), load("yaml", in_yaml, NULL), load("toml", in_toml, NULL) };

	tap_str(c[0].http_filter, "{\"header_filter\":\"x-user: \xc3\xa4\xf0\x9f\x98\x80\\t\\\"\\\\\\\\\",\"ports\":[80]}",
		"the HTTP filter as text");
	tap_str(json_of(&c[0], KEY_target_path), "\"deployment/shop\"", "the target");
	tap_str(json_of(&c[0], KEY_outgoing_filter), "{\"local\":[\"10.0.0.0/8\",\"db\"]}", "a filter");
	tap_str(json_of(&c[0], KEY_env_override), "{\"A\":\"1\",\"B\":\"\"}", "a map");
	tap_int(c[0].agent_ttl, 30, "a number");
	tap_int(c[0].incoming_mode, INCOMING_STEAL, "an enum");
	tap_int(c[0].dns_rules.entries.n, 2, "the outgoing filter's name is added to that for names");
	tap_str(c[0].dns_rules.entries.items[1], "db", "which one");
	for (int i = 0; i < CONFIG_KEYS; i++) {
		const char *want;

		if (key_info((enum config_key)i)->kind == KIND_SECTION || i == KEY_key)
			continue;
		want = json_of(&c[0], (enum config_key)i);
		tap_str(json_of(&c[1], (enum config_key)i), want, "YAML: %s", key_info((enum config_key)i)->path);
		tap_str(json_of(&c[2], (enum config_key)i), want, "TOML: %s", key_info((enum config_key)i)->path);
	}
	for (int i = 0; i < 3; i++)
		config_fini(&c[i]);
}

/* What an empty list of names comes to, also where an outgoing filter of addresses has nothing to add to it. */
static void check_no_names(void)
{
	static const char text[] = "{\"feature\": {\"network\": {\"dns\": {\"filter\": {\"remote\": []}}, "
				   "\"outgoing\": {\"filter\": {\"remote\": \"10.0.0.0/8\"}}}}}";
	struct config c = { 0 };
	char *messages;

	tap_int(loading_load("json", text, NULL, &c, &messages), 0, "no names: loads");
	free(messages);
	tap_int(c.dns_rules.side, FILTER_REMOTE, "no name is the target's: the rules");
	tap_int(c.dns_rules.entries.n, 0, "no name is the target's");
	config_fini(&c);
}

/* A value of the key's kind, as a variable and as JSON, the n-th of two. */
static const char *sample_text(const struct key_info *k, int n)
{
	static char buf[64];
	size_t len;
	const char *w;

	switch (k->kind) {
	case KIND_BOOL:
	case KIND_TRI:
		return n ? "false" : "true";
	case KIND_NUMBER:
		return n ? "7" : "5";
	case KIND_ENUM:
		w = key_word(k->extra, (size_t)n, &len);
		snprintf(buf, sizeof(buf), "%.*s", (int)len, w);
		return buf;
	case KIND_PORTS:
	case KIND_STRINGS: /* of which one has ports in words */
		return n ? "80;81" : "90";
	default:
		if (strcmp(k->path, "agent.log_level") == 0)
			return n ? "debug" : "mirrord=warn";
		if (strcmp(k->path, "feature.env.env_file") == 0)
			return n ? "/dev/null" : "//dev/null";
		return n ? "true" : "null"; /* which are jq programs, too */
	}
}

/* Each key that has a variable: the default, then the file over it, the variable over that, the option over that. */
static void check_precedence(enum config_key key)
{
	const struct key_info *k = key_info(key);
	struct arena *a = arena_new();
	struct config scratch = { .arena = a };
	struct problem_list none;
	const struct value_context context = { .config = &scratch, .problems = &none, .where = "test" };
	const char *low, *high, *file;
	char *environment[] = { NULL, NULL };
	struct config_flag flag = { key, "--test", NULL };
	struct config_request request = { 0 };
	struct config c;
	struct node *tree;

	problem_list_init(&none);
	value_set_text(&context, key, sample_text(k, 0));
	low = node_to_json(a, value_to_node(&scratch, key, a));
	tree = value_to_node(&scratch, key, a);
	for (int at = (int)key; at >= 0; at = key_info((enum config_key)at)->parent) {
		struct node *object = node_new(a, NODE_OBJECT, 0);

		node_add_member(a, object, tree, key_info((enum config_key)at)->name, 0);
		tree = object;
	}
	file = node_to_json(a, tree);
	value_set_text(&context, key, sample_text(k, 1));
	high = node_to_json(a, value_to_node(&scratch, key, a));

	request.file = loading_write("json", file, strlen(file));
	tap_ok(config_load(&request, &c, &none) == 0 && strcmp(json_of(&c, key), low) == 0 && c.sources[key].origin == ORIGIN_FILE,
		"%s: the file", k->path);
	config_fini(&c);
	if (*k->env) {
		environment[0] = arena_format(a, "%s=%s", k->env, sample_text(k, 1));
		request.environ = environment;
		tap_ok(config_load(&request, &c, &none) == 0 && strcmp(json_of(&c, key), high) == 0 && c.sources[key].origin == ORIGIN_ENV,
		       "%s: the variable over the file", k->path);
		config_fini(&c);
		environment[0] = arena_format(a, "%s=", k->env);
		tap_ok(config_load(&request, &c, &none) == 0 && strcmp(json_of(&c, key), low) == 0, "%s: an empty variable counts for nothing",
			k->path);
		config_fini(&c);
	}
	environment[0] = arena_format(a, "%s=%s", *k->env ? k->env : "X", sample_text(k, 1));
	flag.value = sample_text(k, 0);
	request = (struct config_request){ .file = "/dev/null.none", .flags = &flag, .n_flags = 1, .environ = environment };
	request.file = loading_write("json", "{}", 2);
	tap_ok(config_load(&request, &c, &none) == 0 && strcmp(json_of(&c, key), low) == 0 && c.sources[key].origin == ORIGIN_FLAG,
	       "%s: the option over the variable", k->path);
	config_fini(&c);
	problem_list_fini(&none);
	arena_free(a);
}

static void check_round_trip(void)
{
	struct config one = load("json", in_json, NULL), two;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	resolved_write(out, &one);
	fclose(out);
	two = load("json", text, NULL);
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (key_info((enum config_key)i)->kind != KIND_SECTION)
			tap_str(json_of(&two, (enum config_key)i), json_of(&one, (enum config_key)i), "there and back: %s",
				key_info((enum config_key)i)->path);
	tap_ok(strstr(text, "\"udp\": false, // t.json:7:") || strstr(text, "\"udp\": false, // t.json:8:"), "it says where a value came from");
	tap_ok(strstr(text, "\"tcp\": true, // default"), "and which are defaults");
	free(text);
	config_fini(&one);
	config_fini(&two);
}

static void check_short_forms(void)
{
	static const struct {
		const char *text;
		enum config_key key;
		const char *want;
	} rows[] = {
		{ "{\"feature\": {\"network\": false}}", KEY_incoming_mode, "\"off\"" },
		{ "{\"feature\": {\"network\": false}}", KEY_outgoing_tcp, "false" },
		{ "{\"feature\": {\"network\": false}}", KEY_outgoing_udp, "false" },
		{ "{\"feature\": {\"network\": false}}", KEY_dns_enabled, "false" },
		{ "{\"feature\": {\"network\": true}}", KEY_incoming_mode, "\"mirror\"" },
		{ "{\"feature\": {\"network\": {\"incoming\": true}}}", KEY_incoming_mode, "\"mirror\"" },
		{ "{\"feature\": {\"network\": {\"incoming\": false}}}", KEY_incoming_mode, "\"off\"" },
		{ "{\"feature\": {\"network\": {\"incoming\": \"steal\"}}}", KEY_incoming_mode, "\"steal\"" },
		{ "{\"feature\": {\"network\": {\"outgoing\": false}}}", KEY_outgoing_udp, "false" },
		{ "{\"feature\": {\"network\": {\"dns\": false}}}", KEY_dns_enabled, "false" },
		{ "{\"feature\": {\"network\": {\"dns\": null}}}", KEY_dns_enabled, "true" },
		{ "{\"feature\": {\"env\": false}}", KEY_env_exclude, "[\"*\"]" },
		{ "{\"target\": \"pod/a\"}", KEY_target_path, "\"pod/a\"" },
		{ "{\"target\": {\"path\": \"pod/a\"}}", KEY_target_path, "\"pod/a\"" },
		{ "{\"target\": {\"pod\": \"a\", \"container\": \"b\"}}", KEY_target_path, "\"pod/a/container/b\"" },
		{ "{\"target\": {\"path\": {\"deployment\": \"a\"}, \"namespace\": \"n\"}}", KEY_target_path, "\"deployment/a\"" },
		{ "{\"target\": {\"path\": {\"deployment\": \"a\"}, \"namespace\": \"n\"}}", KEY_target_namespace, "\"n\"" },
		{ "{\"target\": {\"cron_job\": \"a\"}}", KEY_target_path, "\"cronjob/a\"" },
		{ "{\"target\": {\"labels\": {\"app\": \"shop\", \"tier\": \"web\"}}}", KEY_target_path, "\"label/app=shop,tier=web\"" },
		{ "{\"agent\": {\"image\": \"r/i:t\"}}", KEY_agent_image, "\"r/i:t\"" },
		{ "{\"agent\": {\"image\": {\"registry\": \"r/i\", \"tag\": \"t\"}}}", KEY_agent_image_registry, "\"r/i\"" },
		{ "{\"$schema\": \"x\", \"key\": \"k\"}", KEY_key, "\"k\"" },
		{ "{\"key\": \"k\", \"profile\": \"a-{{ key }}-{{key}}\"}", KEY_profile, "\"a-k-k\"" },
		{ "{\"profile\": \"{{ get_env(name=\"HOME_OF\", default=\"none\") }}\"}", KEY_profile, "\"none\"" },
		{ "{\"profile\": \"{{ get_env(default='x', name='SET') }}\"}", KEY_profile, "\"yes\"" },
		{ "{\"profile\": \"{# no #}a{{ get_env(name=`SET`) }}\"}", KEY_profile, "\"ayes\"" },
	};
	char set[] = "SET=yes", *environment[] = { set, NULL };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config c = load("json", rows[i].text, environment);

		tap_str(json_of(&c, rows[i].key), rows[i].want, "%s: %s", rows[i].text, key_info(rows[i].key)->path);
		config_fini(&c);
	}
}

/* A long file: no more than LIMIT_MS of this process's own time, which a square of its length would be far above. Sanitizers take longer. */
static void check_speed(void)
{
	enum { LINES = 10000, LIMIT_MS = 300 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct timespec a, b;
	struct config c;
	double ms;

	fprintf(out, "{ \"feature\": { \"env\": { \"override\": {\n");
	for (int i = 0; i < LINES / 2; i++)
		fprintf(out, "  \"VARIABLE_%d\": \"value %d\",\n", i, i);
	fprintf(out, "} }, \"network\": { \"outgoing\": { \"filter\": { \"local\": [\n");
	for (int i = 0; i < LINES / 2; i++)
		fprintf(out, "  \"*.host%d.example.test:%d\", // a comment\n", i, i + 1);
	fprintf(out, "] } } } } }\n");
	fclose(out);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	c = load("json", text, NULL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
	printf("# %d lines, %zu bytes: %.1f ms\n", LINES, len, ms);
	tap_ok(ms < LIMIT_MS, "a long file is read in time");
	tap_int(c.env_override.n + c.outgoing_filter.entries.n, LINES, "all of it");
	config_fini(&c);
	free(text);
}

int main(void)
{
	check_languages();
	check_no_names();
	check_short_forms();
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (*key_info((enum config_key)i)->env || *key_info((enum config_key)i)->flag)
			check_precedence((enum config_key)i);
	check_round_trip();
	check_speed();
	loading_clean();
	return tap_done();
}
