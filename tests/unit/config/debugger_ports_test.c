// SPDX-License-Identifier: MIT
#include "config/debugger_ports.h"

#include <string.h>

#include "config/arena.h"
#include "tap.h"

static const struct {
	const char *text;
	bool valid;
} texts[] = {
	{ "5678", true }, { "5000-5010", true }, { "5678,6000-6010", true }, { "5678, 6000", true }, { "1-65535", true }, { "5678-5678", true },
	{ "", false }, { "0", false }, { "65536", false }, { "x", false }, { "5678x", false }, { "5010-5000", false }, { "5000-", false },
	{ "-5", false }, { "5678,", false }, { ",5678", false }, { "5678 6000", false }, { "+5", false }, { "5000-5010-5020", false },
};

static void test_texts(void)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		tap_int(debugger_ports_valid(texts[i].text), texts[i].valid, "\"%s\"", texts[i].text);
}

static const struct {
	uint16_t port;
	bool has;
} ports[] = {
	{ 5678, true }, { 5677, false }, { 6000, true }, { 6010, true }, { 6011, false }, { 7000, true }, { 49999, true },
	{ 50000, false }, { 50001, true }, { 50002, true }, { 65535, true }, { 0, false },
};

static void test_ports(void)
{
	static char several[] = "5678,6000-6010", one[] = "7000", high[] = "45000-65535", grpc[] = "50001";
	char *items[] = { several, one, high, grpc };
	const struct config_strings list = { items, 4, true }, none = { 0 };

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		tap_int(debugger_ports_has(&list, ports[i].port), ports[i].has, "port %u", ports[i].port);
	tap_ok(!debugger_ports_has(&none, 5678), "no list has none");
}

/* @command and @variable are words with "|" between. */
static const struct {
	enum debugger debugger;
	const char *command, *variable, *want; /* "": none */
} commands[] = {
	{ DEBUGGER_DEBUGPY, "python|/x/debugpy|--connect|127.0.0.1:57141|app.py", "", "57141" },
	{ DEBUGGER_DEBUGPY, "python|-m|debugpy|--listen|5678|app.py", "", "5678" },
	{ DEBUGGER_DEBUGPY, "python|app.py|--connect|127.0.0.1:57141", "", "" },
	{ DEBUGGER_DEBUGPY, "python|-m|debugpy|--connect", "", "" },
	{ DEBUGGER_PYDEVD, "python|/x/pydevd.py|--client|127.0.0.1|--port|32845|--file|app.py", "", "32845" },
	{ DEBUGGER_PYDEVD, "python|app.py|--port|32845", "", "" },
	{ DEBUGGER_RESHARPER, "/x/JetBrains.Debugger.Worker|--mode=client|--frontend-port=40905", "", "40905" },
	{ DEBUGGER_JAVAAGENT, "java|-agentlib:jdwp=transport=dt_socket,server=n,suspend=y,address=54898|-jar|a.jar", "", "54898" },
	{ DEBUGGER_JAVAAGENT, "java|-agentlib:jdwp=transport=dt_socket,address=[::1]:54898,server=n|A", "", "54898" },
	{ DEBUGGER_JAVAAGENT, "java|-Xrunjdwp:transport=dt_socket,address=*:5005|A", "", "5005" },
	{ DEBUGGER_JAVAAGENT, "java|A|address=1", "", "" },
	{ DEBUGGER_JAVAAGENT, "mvn|test", "X=1|JAVA_TOOL_OPTIONS=-Dx=y -agentlib:jdwp=address=localhost:5006", "5006" },
	{ DEBUGGER_NODEINSPECTOR, "node|--inspect-brk=127.0.0.1:9300|app.js", "", "9300" },
	{ DEBUGGER_NODEINSPECTOR, "node|--inspect=9301|app.js", "", "9301" },
	{ DEBUGGER_NODEINSPECTOR, "node|--inspect|app.js", "", "9229" },
	{ DEBUGGER_NODEINSPECTOR, "node|--inspecting=9301|app.js", "", "" },
	{ DEBUGGER_NODEINSPECTOR, "npm|start", "NODE_OPTIONS=--inspect-wait=9400", "9400" },
	{ DEBUGGER_NODEINSPECTOR, "npm|start", "XNODE_OPTIONS=--inspect-wait=9400", "" },
	{ DEBUGGER_NONE, "node|--inspect=9301|app.js", "", "" },
};

static void split(char *text, char *ret[16])
{
	char *save = NULL;
	size_t n = 0;

	for (char *word = strtok_r(text, "|", &save); word; word = strtok_r(NULL, "|", &save))
		ret[n++] = word;
	ret[n] = NULL;
}

static void test_commands(void)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct config c = { .arena = arena_new(), .detect_debugger = commands[i].debugger };
		char command[200], variable[200], *argv[16], *env[16];

		snprintf(command, sizeof(command), "%s", commands[i].command);
		snprintf(variable, sizeof(variable), "%s", commands[i].variable);
		split(command, argv);
		split(variable, env);
		debugger_ports_detect(&c, argv, env);
		tap_str(c.debugger_ports.n ? c.debugger_ports.items[0] : "", commands[i].want, "%s %s", commands[i].command, commands[i].variable);
		arena_free(c.arena);
	}
}

int main(void)
{
	test_texts();
	test_ports();
	test_commands();
	return tap_done();
}
