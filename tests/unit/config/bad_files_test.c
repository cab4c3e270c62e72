// SPDX-License-Identifier: MIT
/* Files with something wrong in them, and all that is said of it, to the letter. */
#include "loading.h"
#include "tap.h"

#define FIVE_UMLAUTS   "\u00e4\u00e4\u00e4\u00e4\u00e4"
#define UMLAUTS	       FIVE_UMLAUTS FIVE_UMLAUTS FIVE_UMLAUTS "\u00e4\u00e4\u00e4\u00e4"
#define NET(text)	   "{\"feature\": {\"network\": {" text "}}}"
#define INCOMING(text) NET("\"incoming\": {" text "}")
#define FILTER(text)   INCOMING("\"http_filter\": {" text "}")
#define OUTGOING(text) NET("\"outgoing\": {" text "}")
#define NAME_RULE                                                                                                                                    \
	"a name is labels of 1 to 63 letters, digits, `-`, `_` or `*` with dots between; `**` is a whole label, twice at most"

static const struct {
	const char *name, *extension, *text, *want;
} rows[] = {
	/* JSON */
	{ "empty", "json", "", "t.json:1:1: expected a value, found the end of the file" },
	{ "no end of the object", "json", "{\n\"key\": \"a\"\n", "t.json:3:1: expected `,` or `}`, found the end of the file" },
	{ "no comma", "json", "{\"key\": \"a\" \"api\": true}", "t.json:1:13: expected `,` or `}`, found `\"`" },
	{ "no colon", "json", "{\"key\" \"a\"}", "t.json:1:8: expected `:` behind \"key\", found `\"`" },
	{ "name without quotes", "json", "{key: \"a\"}", "t.json:1:2: expected a name in double quotes or `}`, found `k`" },
	{ "string without quotes", "json", "{\"key\": abc}", "t.json:1:9: expected a value, found `abc`; strings stand in double quotes" },
	{ "single quotes", "json", "{'key': 1}", "t.json:1:2: expected a name in double quotes or `}`, found `'`" },
	{ "string without end", "json", "{\"key\": \"abc\n}", "t.json:1:9: this string has no end on its line" },
	{ "string without end at all", "json", "{\"key\": \"abc", "t.json:1:9: this string has no end on its line" },
	{ "escape", "json", "{\"key\": \"a\\d\"}", "t.json:1:11: unknown escape `\\d`; a backslash itself is written `\\\\`" },
	{ "escape of four digits", "json", "{\"key\": \"\\u12g4\"}", "t.json:1:10: \\u wants four hexadecimal digits" },
	{ "half a pair", "json", "{\"key\": \"\\ud800\"}", "t.json:1:10: half a surrogate pair is no character" },
	{ "NUL", "json", "{\"key\": \"\\u0000\"}", "t.json:1:10: a string can't hold a NUL" },
	{ "Latin-1", "json", "{\"key\": \"a\",\n \"target\": \"\xc3\xa4\xe4\"}", "t.json:2:14: the byte 0xe4 here is no UTF-8" },
	{ "half a character", "json", "{} // \xe2\x82", "t.json:1:7: the byte 0xe2 here is no UTF-8" },
	{ "half a pair, written out", "json", "{\"key\": \"\xed\xa0\x80\"}", "t.json:1:10: the byte 0xed here is no UTF-8" },
	{ "number", "json", "{\"agent\": {\"ttl\": 01}}", "t.json:1:19: this is no number" },
	{ "number with a point", "json", "{\"agent\": {\"ttl\": 1.}}", "t.json:1:19: this is no number" },
	{ "something behind it", "json", "{} x", "t.json:1:4: expected the end of the file, found `x`" },
	{ "comment without end", "json", "{/* abc", "t.json:1:2: this comment has no end" },
	{ "twice", "json", "{\"key\": \"a\",\n \"key\": \"b\"}", "t.json:2:2: \"key\" stands here twice" },
	{ "column in characters", "json", "{\"key\": \"\xc3\xa4\xc3\xb6\", \"x\": 1}", "t.json:1:15: x: unknown key" },
	{ "a mark at the beginning", "json", "\xef\xbb\xbf{\"x\": 1}", "t.json:1:2: x: unknown key" },
	{ "yaml: a mark at the beginning", "yaml", "\xef\xbb\xbfkey: a\r\nx: 1\r\n", "t.yaml:2:1: x: unknown key" },
	{ "toml: a mark at the beginning", "toml", "\xef\xbb\xbfx = 1\r\n", "t.toml:1:1: x: unknown key" },
	{ "control characters", "json", "{\"\\u001b[1m\\n\": 1}", "t.json:1:2: ?[1m?: unknown key" },
	{ "cut within a character", "json", "{\"api\": \"a" UMLAUTS "\u00e4\u00e4\"}",
	  "t.json:1:9: api: expected true or false, found the string \"a" UMLAUTS "…\"" },
	{ "pairs", "json", INCOMING("\"listen_ports\": [[1, 2], [3, 2], [1, 65535]]"),
	  "t.json:1:55: feature.network.incoming.listen_ports: port 2 stands twice on the right\n"
	  "t.json:1:55: feature.network.incoming.listen_ports: port 1 stands twice on the left" },
	{ "deep", "json", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	  "t.json:1:65: more than 64 arrays and objects within each other" },
	{ "no object", "json", "[]", "t.json:1:1: expected an object, found an array" },
	/* YAML */
	{ "yaml: Latin-1", "yaml", "key: a\ntarget: \xe4\n", "t.yaml:2:9: the byte 0xe4 here is no UTF-8" },
	{ "yaml: indentation", "yaml", "key: a\n api: true\n", "t.yaml:2:5: mapping values are not allowed in this context" },
	{ "yaml: no end", "yaml", "key: \"a\n", "t.yaml:2:1: found unexpected end of stream while scanning a quoted scalar" },
	{ "yaml: twice", "yaml", "key: a\nkey: b\n", "t.yaml:2:1: \"key\" stands here twice" },
	{ "yaml: alias", "yaml", "key: *a\n", "t.yaml:1:6: the anchor &a isn't known here" },
	{ "yaml: deep by an alias", "yaml",
	  "key: &a [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n"
	  "api: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
	  "t.yaml:2:46: more than 64 arrays and objects within each other" },
	{ "yaml: two documents", "yaml", "key: a\n---\nkey: b\n", "t.yaml:2:1: a second document" },
	{ "yaml: key", "yaml", "? [a]\n: b\n", "t.yaml:1:3: a key must be a string" },
	{ "yaml: no is a string", "yaml", "api: no\n", "t.yaml:1:6: api: expected true or false, found the string \"no\"" },
	{ "yaml: place", "yaml", "feature:\n  network:\n    incoming:\n      ports: [80, 8o]\n",
	  "t.yaml:4:19: feature.network.incoming.ports[1]: expected a port from 1 to 65535, found the string \"8o\"" },
	/* TOML */
	{ "toml: Latin-1", "toml", "key = 'a'\n# \xe4\n", "t.toml:2:3: the byte 0xe4 here is no UTF-8" },
	{ "toml: no value", "toml", "key =\n", "t.toml:1:6: expected a value, found the end of the line" },
	{ "toml: no equals", "toml", "key\n", "t.toml:1:4: expected `=` behind \"key\", found the end of the line" },
	{ "toml: string", "toml", "key = abc\n", "t.toml:1:7: expected a value, found `abc`; strings stand in quotes" },
	{ "toml: date", "toml", "key = 2026-01-01\n", "t.toml:1:7: `2026-01-01` is a date, which no key takes; strings stand in quotes" },
	{ "toml: date and time", "toml", "key = 2026-01-01T10:00:00Z\n",
	  "t.toml:1:7: `2026-01-01T10:00:00Z` is a date, which no key takes; strings stand in quotes" },
	{ "toml: time", "toml", "agent = {ttl = 10:00:00}\n", "t.toml:1:16: `10:00:00` is a date, which no key takes; strings stand in quotes" },
	{ "toml: no end", "toml", "key = 'abc\n", "t.toml:1:7: this string has no end on its line" },
	{ "toml: escape", "toml", "key = \"\\d\"\n", "t.toml:1:8: unknown escape; a backslash itself is written `\\\\`, or the string stands in "
		"single quotes" },
	{ "toml: table twice", "toml", "[agent]\nttl = 1\n[agent]\n", "t.toml:3:2: \"agent\" stands here twice" },
	{ "toml: key twice", "toml", "key = 'a'\nkey = 'b'\n", "t.toml:2:1: \"key\" stands here twice" },
	{ "toml: rest of the line", "toml", "key = 'a' b\n", "t.toml:1:11: expected the end of the line, found `b`" },
	{ "toml: header", "toml", "[agent\n", "t.toml:1:7: expected `]`, found the end of the line" },
	{ "toml: inline table is complete", "toml", "agent = {ttl = 1}\nagent.json_log = true\n",
		"t.toml:2:1: the table \"agent\" is complete already" },
	{ "toml: place", "toml", "[feature.network.outgoing]\ntcp = 'yes'\n",
	  "t.toml:2:7: feature.network.outgoing.tcp: expected true or false, found the string \"yes\"" },
	/* templates */
	{ "template: unknown", "json", "{\"key\": \"{{ git_branch }}\"}",
	  "t.json:1:10: the template {{ git_branch }} is not understood; {{ key }} and {{ get_env(name=\"NAME\", default=\"…\") }} are known" },
	{ "template: filter", "json", "{\"profile\": \"{{ key | upper }}\"}",
	  "t.json:1:14: the template {{ key | upper }} is not understood; {{ key }} and {{ get_env(name=\"NAME\", default=\"…\") }} are known" },
	{ "template: statement", "json", "{% if a %}{}",
	  "t.json:1:1: templates with {% … %} are not understood; {{ key }} and {{ get_env(name=\"NAME\", default=\"…\") }} are known" },
	{ "template: no end", "json", "{\"key\": \"{{ key\"}",
	  "t.json:1:10: this template has no end; {{ key }} and {{ get_env(name=\"NAME\", default=\"…\") }} are known" },
	{ "template: behind another one", "json",
	  "{\"profile\": \"{{ get_env(name='NOBODY_SETS_IT', default='') }}\", \"key\": \"{{ git_branch }}\"}",
	  "t.json:1:73: the template {{ git_branch }} is not understood; {{ key }} and {{ get_env(name=\"NAME\", default=\"…\") }} are known" },
	{ "template: not set", "json", "{\"key\": \"{{ get_env(name=\"NOBODY_SETS_IT\") }}\"}",
	  "t.json:1:10: the environment variable NOBODY_SETS_IT is not set, and get_env() has no default" },
	{ "template: place behind it", "json", "{\"key\": \"{{ get_env(name='X', default='a long default value') }}\", \"x\": 1}",
		"t.json:1:68: x: unknown key" },
	/* keys */
	{ "unknown", "json", "{\"agnet\": {}}", "t.json:1:2: agnet: unknown key; did you mean \"agent\"?" },
	{ "unknown, nothing near", "json", "{\"zzzzzz\": {}}", "t.json:1:2: zzzzzz: unknown key" },
	{ "unknown, deep", "json", OUTGOING("\"tpc\": true"), "t.json:1:39: feature.network.outgoing.tpc: unknown key; did you mean \"tcp\"?" },
	{ "misplaced", "json", "{\"incoming\": \"steal\"}", "t.json:1:2: incoming: unknown key; there is feature.network.incoming" },
	{ "of an old version", "json", "{\"connect_tcp\": null}", "t.json:1:2: connect_tcp: unknown key" },
	/* values */
	{ "bool", "json", "{\"telemetry\": 1}", "t.json:1:15: telemetry: expected true or false, found the number 1" },
	{ "number", "json", "{\"agent\": {\"ttl\": 65536}}", "t.json:1:19: agent.ttl: expected a whole number from 0 to 65535, found the number "
		"65536" },
	{ "negative", "json", "{\"agent\": {\"ttl\": -1}}", "t.json:1:19: agent.ttl: expected a whole number from 0 to 65535, found the number -1" },
	{ "fraction", "json", "{\"agent\": {\"ttl\": 1.5}}", "t.json:1:19: agent.ttl: expected a whole number from 0 to 65535, found the number "
		"1.5" },
	{ "string", "json", "{\"kubeconfig\": []}", "t.json:1:16: kubeconfig: expected a string, found an array" },
	{ "strings", "json", "{\"skip_processes\": {}}", "t.json:1:20: skip_processes: expected a string or an array of strings, found an object" },
	{ "an element", "json", "{\"skip_processes\": [\"a\", 5]}", "t.json:1:26: skip_processes[1]: expected a string, found the number 5" },
	{ "enum", "json", NET("\"incoming\": \"stael\""),
	  "t.json:1:38: feature.network.incoming: expected one of: an object, true, false, \"mirror\", \"steal\", \"off\", found the string "
		"\"stael\"" },
	{ "enum in its object", "json", INCOMING("\"mode\": \"Steal\""),
	  "t.json:1:47: feature.network.incoming.mode: expected \"mirror\", \"steal\" or \"off\", found the string \"Steal\"; did you mean "
		"\"steal\"?" },
	{ "section", "json", "{\"feature\": true}", "t.json:1:13: feature: expected an object, found true" },
	{ "section with a short form", "json", NET("\"dns\": 5"), "t.json:1:33: feature.network.dns: expected one of: an object, true, false, "
		"found the number 5" },
	{ "port 0", "json", INCOMING("\"ignore_ports\": [80, 0]"),
	  "t.json:1:60: feature.network.incoming.ignore_ports[1]: expected a port from 1 to 65535, found the number 0" },
	{ "port 0 of a pair", "json", INCOMING("\"listen_ports\": [[80, 0]]"),
	  "t.json:1:61: feature.network.incoming.listen_ports[0][1]: expected a port from 1 to 65535, found the number 0" },
	{ "port", "json", INCOMING("\"ports\": 65536"),
	  "t.json:1:48: feature.network.incoming.ports: expected a port from 1 to 65535, found the number 65536" },
	{ "pairs", "json", INCOMING("\"port_mapping\": [80]"),
	  "t.json:1:56: feature.network.incoming.port_mapping[0]: expected a pair of ports, as [8080, 80], found the number 80" },
	{ "pairs as an object", "json", INCOMING("\"port_mapping\": {\"1\": 2}"),
	  "t.json:1:55: feature.network.incoming.port_mapping: expected an array of pairs of ports, as [[8080, 80]], found an object" },
	{ "map", "json", "{\"feature\": {\"env\": {\"override\": {\"A\": 1, \"B\": null}}}}",
	  "t.json:1:40: feature.env.override.A: expected a string, found the number 1; put it in quotes\n"
	  "t.json:1:48: feature.env.override.B: expected a string, found null" },
	{ "JSON of another kind", "json", "{\"agent\": {\"tolerations\": {}}}", "t.json:1:27: agent.tolerations: expected an array, found an "
		"object" },
	/* filters */
	{ "filter without a side", "json", OUTGOING("\"filter\": [\"a\"]"),
	  "t.json:1:49: feature.network.outgoing.filter: expected {\"local\": […]} or {\"remote\": […]}, found an array" },
	{ "filter with two sides", "json", OUTGOING("\"filter\": {\"local\": \"a\", \"remote\": \"b\"}"),
	  "t.json:1:49: feature.network.outgoing.filter: expected {\"local\": […]} or {\"remote\": […]}, found more than one key" },
	{ "filter with another side", "json", OUTGOING("\"filter\": {\"lokal\": \"a\"}"),
	  "t.json:1:49: feature.network.outgoing.filter: expected {\"local\": […]} or {\"remote\": […]}, found the key \"lokal\""
	  "; did you mean \"local\"?" },
	{ "empty filter", "json", OUTGOING("\"filter\": {\"remote\": []}"),
	  "t.json:1:60: feature.network.outgoing.filter.remote: an empty list: leave the filter out, or say what it is for" },
	{ "filter entry", "json", OUTGOING("\"filter\": {\"local\": [\"good\", \"http://x\", \"a..b\"]}"),
	  "t.json:1:68: feature.network.outgoing.filter.local[1]: \"http://x\": the protocol is tcp://, udp:// or any:// (at its character 1)\n"
	  "t.json:1:80: feature.network.outgoing.filter.local[2]: \"a..b\": " NAME_RULE " (at its character 1)" },
	{ "filter for names: protocol", "json", NET("\"dns\": {\"filter\": {\"local\": \"tcp://a\"}}"),
	  "t.json:1:54: feature.network.dns.filter.local: \"tcp://a\": an entry for names has no protocol" },
	{ "filter for names: empty", "json", NET("\"dns\": {\"filter\": {\"local\": [\"\"]}}"),
		"t.json:1:55: feature.network.dns.filter.local[0]: an empty entry" },
	/* what doesn't fit together */
	{ "kind of a header filter", "json", INCOMING("\"http_filter\": {\"header_filter\": 5}"),
	  "t.json:1:72: feature.network.incoming.http_filter.header_filter: expected a string or an object, found the number 5" },
	{ "server name", "json", INCOMING("\"tls_delivery\": {\"server_name\": \"a b\"}"),
	  "t.json:1:71: feature.network.incoming.tls_delivery.server_name: \"a b\" is neither a name nor an address" },
	{ "ports and ignore_ports", "json", INCOMING("\"ports\": [1], \"ignore_ports\": [2]"),
	  "t.json:1:69: feature.network.incoming.ignore_ports: can't stand beside feature.network.incoming.ports: what isn't listed there is "
		"ignored anyway" },
	{ "mapping twice", "json", INCOMING("\"port_mapping\": [[1, 2], [1, 3], [4, 3]]"),
	  "t.json:1:55: feature.network.incoming.port_mapping: port 1 stands twice on the left\n"
	  "t.json:1:55: feature.network.incoming.port_mapping: port 3 stands twice on the right" },
	{ "two HTTP filters", "json", FILTER("\"path_filter\": \"a\", \"header_filter\": \"b\""),
	  "t.json:1:92: feature.network.incoming.http_filter: Cannot use multiple types of HTTP filter at the same time, use 'any_of' or 'all_of' "
		"to combine "
	  "filters (header_filter, path_filter)" },
	{ "empty HTTP filter", "json", FILTER("\"path_filter\": \"\""),
	  "t.json:1:70: feature.network.incoming.http_filter.path_filter: HTTP filter cannot be an empty string" },
	{ "empty composite", "json", FILTER("\"all_of\": []"), "t.json:1:65: feature.network.incoming.http_filter.all_of: Composite HTTP filter "
		"cannot be empty" },
	{ "inner filter", "json", FILTER("\"any_of\": [{\"header\": \"a\"}, {\"headr\": \"b\"}]"),
	  "t.json:1:65: feature.network.incoming.http_filter.any_of[1].headr: there is no such key here; did you mean header?" },
	{ "all inner filters", "json", FILTER("\"any_of\": [{\"path\": \"(\"}, {\"not\": {\"foo\": 1}}, {}]"),
	  "t.json:1:65: feature.network.incoming.http_filter.any_of[0].path: regular expression \"(\": offset 1: missing closing parenthesis\n"
	  "t.json:1:65: feature.network.incoming.http_filter.any_of[1].not.foo: there is no such key here\n"
	  "t.json:1:65: feature.network.incoming.http_filter.any_of[2]: no filter is in this object" },
	{ "body filter", "json", FILTER("\"body_filter\": {\"body\": \"xml\"}"),
	  "t.json:1:70: feature.network.incoming.http_filter.body_filter: {\"body\": \"json\", \"query\": JSONPath, \"matches\": regular expression} "
	  "must stand here" },
	{ "all of decrypted ports", "json", INCOMING("\"mode\": \"steal\", \"steal_tls\": [{\"port\": 0, \"foo\": 1}, 7]"),
	  "t.json:1:69: feature.network.incoming.steal_tls[0]: there is no key \"foo\" (there are: port|agentAsServer|agentAsClient)\n"
	  "t.json:1:69: feature.network.incoming.steal_tls[0].port: expected a whole number from 1 to 65535\n"
	  "t.json:1:69: feature.network.incoming.steal_tls[0].agentAsServer: is missing: the certificate and key that clients are shown\n"
	  "t.json:1:69: feature.network.incoming.steal_tls[1]: expected an object" },
	{ "a key of copy_target's", "json", "{\"feature\": {\"copy_target\": {\"scale_dwn\": true}}}",
	  "t.json:1:30: feature.copy_target.scale_dwn: unknown key; did you mean \"scale_down\"?" },
	{ "the agent's log level", "json", "{\"agent\": {\"log_level\": \"loud\"}}",
	  "t.json:1:25: agent.log_level: expected error, warn, info, debug, trace or off, or a list of them as \"mirrord=debug,warn\", "
	  "found \"loud\"" },
	{ "a debugger's port", "json", "{\"feature\": {\"network\": {\"debugger_ports\": [\"5678\", \"5010-5000\"]}}}",
	  "t.json:1:44: feature.network.debugger_ports: \"5010-5000\" is neither a port from 1 to 65535 nor a range as 5000-5010" },
	{ "a Unix socket's pattern", "json", OUTGOING("\"unix_streams\": [\"^/run/\", \"a(\"]"),
	  "t.json:1:55: feature.network.outgoing.unix_streams: \"a(\" is no regular expression: offset 2: missing closing parenthesis" },
	{ "regular expression", "json", FILTER("\"header_filter\": \"a(\""),
	  "t.json:1:72: feature.network.incoming.http_filter.header_filter: regular expression \"a(\": offset 2: missing closing parenthesis" },
	{ "roots and a certificate", "json", INCOMING("\"tls_delivery\": {\"trust_roots\": [\"a\"], \"server_cert\": \"b\"}"),
	  "t.json:1:71: feature.network.incoming.tls_delivery.trust_roots: can't stand beside feature.network.incoming.tls_delivery.server_cert" },
	{ "the old and the new name", "json", INCOMING("\"https_delivery\": {\"protocol\": \"tcp\"}, \"tls_delivery\": {\"protocol\": \"tcp\"}"),
	  "t.json:1:57: feature.network.incoming.https_delivery: can't stand beside feature.network.incoming.tls_delivery, whose old name it is" },
	{ "an old key that is none", "json", INCOMING("\"https_delivery\": {\"port\": 1}"),
	  "t.json:1:57: feature.network.incoming.https_delivery: there is no key \"port\" in it" },
	{ "decryption without a key", "json", INCOMING("\"steal_tls\": [{\"port\": 443, \"agentAsServer\": {}}]"),
	  "warning: t.json:1:52: feature.network.incoming.steal_tls: has no effect unless feature.network.incoming.mode is \"steal\": "
	  "a copy can't be decrypted\n"
	  "t.json:1:52: feature.network.incoming.steal_tls[0].agentAsServer.authentication: is missing: "
	  "the certificate and key that clients are shown" },
	{ "include and exclude", "json", "{\"feature\": {\"env\": {\"include\": \"A\", \"exclude\": \"B\"}}}",
	  "t.json:1:49: feature.env.exclude: can't stand beside feature.env.include" },
	{ "steal without a target", "json", "{\"target\": \"targetless\", \"feature\": {\"network\": {\"incoming\": \"steal\"}}}",
	  "t.json:1:62: feature.network.incoming.mode: there is nothing to steal without a target" },
	{ "ephemeral without a target", "json", "{\"target\": \"targetless\", \"agent\": {\"ephemeral\": true}}",
	  "t.json:1:49: agent.ephemeral: without a target there is no pod for the agent to join" },
	{ "retries", "json", "{\"startup_retry\": {\"min_ms\": 6000, \"max_ms\": 5000}}",
	  "t.json:1:30: startup_retry.min_ms: is more than startup_retry.max_ms, which is 5000" },
	{ "capability", "json", "{\"agent\": {\"disabled_capabilities\": [\"CHOWN\"]}}",
	  "t.json:1:37: agent.disabled_capabilities: expected SYS_ADMIN, SYS_PTRACE, NET_ADMIN, NET_RAW, SETUID, SETGID or NET_BIND_SERVICE, "
	  "found \"CHOWN\"" },
	{ "target object", "json", "{\"target\": {\"pod\": 5}}", "t.json:1:20: target: expected a name behind \"pod\", found the number 5" },
	{ "target object with more", "json", "{\"target\": {\"pod\": \"a\", \"nmaespace\": \"b\"}}",
		"t.json:1:25: target: \"nmaespace\" can't stand beside \"pod\"; did you mean \"namespace\"?" },
	{ "target objects with two", "json", "{\"target\": {\"pod\": \"a\", \"job\": \"b\"}}",
	  "t.json:1:25: target: \"job\" can't stand beside \"pod\"" },
	{ "target object, misspelt", "json", "{\"target\": {\"depoyment\": \"a\"}}",
	  "t.json:1:13: target.depoyment: unknown key; did you mean \"deployment\"?" },
	{ "target's path, misspelt", "json", "{\"target\": {\"path\": {\"labls\": {\"a\": \"b\"}}}}",
	  "t.json:1:22: target.path.labls: unknown key; did you mean \"labels\"?" },
	{ "key of a body filter, misspelt", "json", INCOMING("\"http_filter\": {\"body_filter\": {\"body\": \"json\", \"qury\": \"$.a\"}}"),
	  "t.json:1:70: feature.network.incoming.http_filter.body_filter.qury: there is no such key here; there are body, query and matches" },
	{ "key of https_delivery, misspelt", "json", INCOMING("\"https_delivery\": {\"protocl\": \"tcp\"}"),
	  "t.json:1:57: feature.network.incoming.https_delivery: there is no key \"protocl\" in it; did you mean \"protocol\"?" },
	{ "target labels", "json", "{\"target\": {\"labels\": {}}}", "t.json:1:23: target: expected an object of labels behind \"labels\", found "
		"an object" },
	{ "all of it at once", "json", "{\"a\": 1, \"api\": 2,\n\"agent\": {\"ttl\": \"x\", \"image\": 5}}",
	  "t.json:1:2: a: unknown key\n"
	  "t.json:1:17: api: expected true or false, found the number 2\n"
	  "t.json:2:18: agent.ttl: expected a whole number from 0 to 65535, found the string \"x\"\n"
	  "t.json:2:32: agent.image: expected a string, found the number 5" },
};

/* Good files that are warned of. */
static const struct {
	const char *name, *text, *want;
} warnings[] = {
	{ "not yet", "{\"feature\": {\"fs\": \"read\"}}",
	  "warning: t.json:1:20: feature.fs.mode: has no effect yet: files are this machine's, but for those of the resolver" },
	{ "not yet, but as it is anyway", "{\"feature\": {\"fs\": \"local\"}}", "" },
	{ "not yet: each of them", "{\"feature\": {\"fs\": {\"read_only\": \"a\", \"read_write\": \"b\"},"
	  " \"split_queues\": {}, \"db_branches\": [{}]}}",
	  "warning: t.json:1:34: feature.fs.read_only: has no effect yet: files are this machine's\n"
	  "warning: t.json:1:53: feature.fs.read_write: has no effect yet: files are this machine's\n"
	  "warning: t.json:1:75: feature.split_queues: has no effect yet: needs the original's operator; what stands below it is not looked at\n"
	  "warning: t.json:1:94: feature.db_branches: has no effect yet: needs the original's operator; what stands below it is not looked at" },
	{ "queues", "{\"feature\": {\"split_queues\": {}}}", "warning: t.json:1:30: feature.split_queues: has no effect yet: needs the original's "
		"operator; what stands below it is not looked at" },
	{ "no meaning", "{\"telemetry\": false, \"skip_processes\": \"bash\"}", "" },
	{ "filter on no port", INCOMING("\"http_filter\": {\"path_filter\": \"x\", \"ports\": []}"),
	  "warning: t.json:1:84: feature.network.incoming.http_filter.ports: an empty list: the filter counts on no port, and all are taken whole" },
	{ "keys for another port", "{\"feature\": {\"network\": {\"incoming\": {\"mode\": \"steal\", \"ports\": [80], "
	  "\"steal_tls\": [{\"port\": 443, \"agentAsServer\": {\"authentication\": {\"certPem\": \"/a\", \"keyPem\": \"/b\"}}}]}}}}",
	  "warning: t.json:1:84: feature.network.incoming.steal_tls: port 443 is none of feature.network.incoming.ports: "
	  "nothing is decrypted there" },
	{ "ports of no filter", INCOMING("\"http_filter\": {\"ports\": [80]}"),
	  "warning: t.json:1:64: feature.network.incoming.http_filter.ports: has no effect: there is no filter beside it" },
	{ "filter on another port", INCOMING("\"ports\": [80], \"http_filter\": {\"path_filter\": \"x\", \"ports\": [80, 81]}"),
	  "warning: t.json:1:99: feature.network.incoming.http_filter.ports: port 81 is none of feature.network.incoming.ports: no filter counts "
	  "there" },
	{ "identity", INCOMING("\"port_mapping\": [[80, 80]]"), "warning: t.json:1:55: feature.network.incoming.port_mapping: the pair [80, 80] "
		"changes nothing" },
	{ "protocol off", OUTGOING("\"udp\": false, \"filter\": {\"local\": \"udp://:53\"}"),
	  "warning: t.json:1:63: feature.network.outgoing.filter: \"udp://:53\" can never match: its protocol is off and leaves from this machine "
		"anyway" },
	{ "names without DNS", NET("\"dns\": false, \"outgoing\": {\"filter\": {\"remote\": \"db\"}}"),
	  "warning: t.json:1:63: feature.network.outgoing.filter: names resolve on this machine, since feature.network.dns is off: "
	  "they may have other addresses there" },
	{ "filter for names without DNS", NET("\"dns\": {\"enabled\": false, \"filter\": {\"local\": \"db\"}}"),
	  "warning: t.json:1:62: feature.network.dns.filter: has no effect: feature.network.dns is off" },
	{ "port for names", NET("\"dns\": {\"filter\": {\"local\": [\":53\", \"a\"]}}"),
	  "warning: t.json:1:44: feature.network.dns.filter: \":53\" can never match: a question for a name has no port" },
	{ "filter: an address that is none", OUTGOING("\"filter\": {\"local\": [\"10.0.0.300:80\", \"10.0.0.30\", \"a4.b2\"]}"),
	  "warning: t.json:1:49: feature.network.outgoing.filter: \"10.0.0.300:80\" is taken for a name, since it is no address" },
	{ "filter for names: the same", NET("\"dns\": {\"filter\": {\"local\": [\"1.2.3.4.5\", \"a.in-addr.arpa\"]}}"),
	  "warning: t.json:1:44: feature.network.dns.filter: \"1.2.3.4.5\" is taken for a name, since it is no address" },
	{ "no names, as the original allows", NET("\"dns\": {\"filter\": {\"remote\": []}}"),
	  "warning: t.json:1:44: feature.network.dns.filter: an empty list: no name is in it" },
	{ "opposite filters", NET("\"dns\": {\"filter\": {\"local\": \"db\"}}, \"outgoing\": {\"filter\": {\"remote\": \"db:5432\"}}"),
	  "warning: t.json:1:44: feature.network.dns.filter: \"db\" is local here and remote in feature.network.outgoing.filter" },
	{ "agent's namespace", "{\"agent\": {\"namespace\": \"a\", \"ephemeral\": true}}",
	  "warning: t.json:1:25: agent.namespace: has no effect: an ephemeral agent is in the target's namespace" },
};

static void check(const char *name, const char *extension, const char *text, const char *want, int want_rc)
{
	struct config c = { 0 };
	char *messages;
	int rc = loading_load(extension, text, NULL, &c, &messages);

	tap_int(rc, want_rc, "%s: loads or not", name);
	tap_str(messages, want, "%s", name);
	if (rc == 0)
		config_fini(&c);
	free(messages);
}

static void check_long(void)
{
	char text[8000], *messages;
	struct problem_list l;

	for (size_t cut = 1990; cut < 2010; cut++) {
		memset(text, 'x', cut);
		strcpy(text + cut, "\xf0\x9f\x98\x80");
		problem_list_init(&l);
		problem_add(&l, PROBLEM_ERROR, NULL, 0, 0, NULL, "%s", text);
		messages = loading_messages(&l);
		tap_ok(strncmp(messages, text, cut < 2000 ? cut : 2000) == 0 && strlen(messages) <= 2010, "a text of %zu bytes: its beginning",
		       cut + 4);
		free(messages);
		problem_list_fini(&l);
	}
}

static void check_more(void)
{
	static const char zero[] = "{\"key\": \"a\0b\"}", strict[] = "{\"feature\": {\"fs\": \"read\"}}";
	struct config_request request = { .file = loading_write("json", zero, sizeof(zero) - 1) };
	struct problem_list problems;
	struct config c;
	char *messages;

	problem_list_init(&problems);
	tap_int(config_load(&request, &c, &problems), -1, "a byte 0");
	request.file = "no-such-file.json";
	tap_int(config_load(&request, &c, &problems), -1, "no such file");
	request.file = ".";
	tap_int(config_load(&request, &c, &problems), -1, "a directory");
	request.file = loading_write("json", strict, sizeof(strict) - 1);
	request.strict = true;
	tap_int(config_load(&request, &c, &problems), -1, "what isn't there yet, strictly");
	messages = loading_messages(&problems);
	tap_str(messages,
		"t.json: this is no text: it has a byte 0 in it\n"
		"t.json:1:20: feature.fs.mode: has no effect yet: files are this machine's, but for those of the resolver\n"
		"no-such-file.json: read the configuration: No such file or directory\n"
		".: read the configuration: Is a directory",
		"what is said of these");
	free(messages);
	problem_list_fini(&problems);
}

/* Those of a file in the order of its lines, files in the order of their first; and more than are kept. */
static void check_order(void)
{
	struct problem_list l;
	char *messages;

	problem_list_init(&l);
	problem_add(&l, PROBLEM_ERROR, "a", 2, 1, NULL, "third");
	problem_add(&l, PROBLEM_ERROR, "b", 1, 1, NULL, "of another file");
	problem_add(&l, PROBLEM_WARNING, "a", 1, 9, NULL, "second");
	problem_add(&l, PROBLEM_ERROR, "a", 2, 1, NULL, "as they came");
	problem_add(&l, PROBLEM_ERROR, "a", 1, 8, NULL, "first");
	problem_add(&l, PROBLEM_ERROR, NULL, 0, 0, NULL, "of no file");
	messages = loading_messages(&l);
	tap_str(messages,
		"a:1:8: first\nwarning: a:1:9: second\na:2:1: third\na:2:1: as they came\nb:1:1: of another file\nof no file", "the order");
	free(messages);
	problem_list_fini(&l);

	problem_list_init(&l);
	for (unsigned int i = 1; i <= PROBLEMS_MAX; i++)
		problem_add(&l, PROBLEM_WARNING, "a", i, 1, NULL, "w");
	for (unsigned int i = 0; i < PROBLEMS_MAX; i++)
		problem_add(&l, i % 2 ? PROBLEM_WARNING : PROBLEM_ERROR, "a", 5000 - i, 1, NULL, "late");
	tap_ok(l.n == PROBLEMS_MAX && l.left_out == PROBLEMS_MAX, "no more than fit, and the others counted");
	tap_ok(l.items[PROBLEMS_MAX / 2 - 1].level == PROBLEM_WARNING && l.items[PROBLEMS_MAX / 2].level == PROBLEM_ERROR,
	       "errors push warnings out");
	for (unsigned int i = 0; i < PROBLEMS_MAX; i++)
		problem_add(&l, PROBLEM_ERROR, "a", 1, 1, NULL, "e");
	tap_ok(problem_list_skip_error(&l) && l.n_errors == PROBLEMS_MAX / 2 + PROBLEMS_MAX + 1, "which has no room then");
	tap_ok(l.n == PROBLEMS_MAX && l.items[PROBLEMS_MAX - 1].line == 5000 && l.left_out == PROBLEMS_MAX * 2 + 1, "but no error");
	problem_list_fini(&l);
}

int main(void)
{
	check_order();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i].name, rows[i].extension, rows[i].text, rows[i].want, -1);
	for (size_t i = 0; i < sizeof(warnings) / sizeof(warnings[0]); i++)
		check(warnings[i].name, "json", warnings[i].text, warnings[i].want, 0);
	check_long();
	check_more();
	loading_clean();
	return tap_done();
}
