// SPDX-License-Identifier: MIT
/* Credential plugins: shell scripts play them. */
#include "kube/credential.h"

#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

#define V1			"client.authentication.k8s.io/v1"
#define V1BETA1			"client.authentication.k8s.io/v1beta1"
#define ANSWER(version, status) "{\"apiVersion\":\"" version "\",\"kind\":\"ExecCredential\",\"status\":{" status "}}"

static const struct {
	const char *text, *version;
	const char *token, *cert, *error; /* part that must be there; NULL: it is taken */
	time_t expires;
} answers[] = {
	{ ANSWER(V1, "\"token\":\"t\""), V1, "t", NULL, NULL, 0 },
	{ ANSWER(V1BETA1, "\"token\":\"t\",\"expirationTimestamp\":\"2026-11-25T12:00:00Z\""), V1BETA1, "t", NULL, NULL, 1795608000 },
	{ ANSWER(V1, "\"token\":\"t\",\"expirationTimestamp\":\"2026-11-25T12:00:00.123+01:30\""), V1, "t", NULL, NULL, 1795602600 },
	{ ANSWER(V1, "\"clientCertificateData\":\"c\",\"clientKeyData\":\"k\""), V1, NULL, "c", NULL, 0 },
	{ ANSWER(V1, "\"clientCertificateData\":\"c\""), V1, NULL, NULL, "certificate without its key", 0 },
	{ ANSWER(V1, ""), V1, NULL, NULL, "neither a token nor a certificate", 0 },
	{ ANSWER(V1BETA1, "\"token\":\"t\""), V1, NULL, NULL, "of " V1BETA1 ", not an ExecCredential of " V1, 0 },
	{ "{\"apiVersion\":\"" V1 "\",\"kind\":\"Pod\"}", V1, NULL, NULL, "a Pod of", 0 },
	{ "token: t", V1, NULL, NULL, "no JSON", 0 },
	{ "", V1, NULL, NULL, "no JSON", 0 },
};

static void test_answers(void)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct kube_credential c = { 0 };
		struct error err = { 0 };

		tap_int(kube_credential_parse(answers[i].text, answers[i].version, &c, &err), answers[i].error ? -1 : 0, "answer %zu", i);
		if (answers[i].error)
			tap_ok(strstr(err.text, answers[i].error), "answer %zu: %s", i, err.text);
		tap_ok(answers[i].token ? c.token && strcmp(c.token, answers[i].token) == 0 : !c.token, "answer %zu: its token", i);
		tap_ok(answers[i].cert ? c.cert && strcmp(c.cert, answers[i].cert) == 0 : !c.cert, "answer %zu: its certificate", i);
		tap_ok(c.expires == answers[i].expires, "answer %zu: it expires at %lld", i, (long long)c.expires);
		kube_credential_fini(&c);
	}
}

static void test_holds(void)
{
	const struct kube_credential none = { 0 }, ever = { .token = (char *)"t" }, now = { .token = (char *)"t", .expires = 1000 };

	tap_ok(!kube_credential_holds(&none, 0), "none holds not");
	tap_ok(kube_credential_holds(&ever, 1000000), "one without an end holds for ever");
	tap_ok(kube_credential_holds(&now, 900) && !kube_credential_holds(&now, 995) && !kube_credential_holds(&now, 1001),
	       "one with an end: until shortly before");
}

/* @command is run by sh; its words go through the kubeconfig's fields. */
static int fetch(const char *command, const char *more, int cancel, struct kube_credential *ret, struct error *err)
{
	json_t *exec = json_pack("{s:s, s:s, s:[s,s], s:s}", "apiVersion", V1, "command", "sh", "args", "-c", command, "installHint",
				 "install sh"),
	       *extra = json_loads(more, 0, NULL);
	struct kube_access a = {
		.server = (char *)"https://here", .origin = (char *)"context x", .exec = exec, .exec_dir = (char *)"/bin", .ca = (char *)"CA"
	};
	int r;

	a.cluster = json_pack("{s:s, s:[{s:s, s:{s:s}}]}", "tls-server-name", "name", "extensions", "name",
			      "client.authentication.k8s.io/exec", "extension", "audience", "us");
	json_object_update(exec, extra);
	json_decref(extra);
	*err = (struct error){ 0 };
	*ret = (struct kube_credential){ 0 };
	r = kube_credential_fetch(&a, cancel, ret, err);
	json_decref(exec);
	json_decref(a.cluster);
	return r;
}

#define PRINT(token)                                                                                                   \
	"printf '{\"apiVersion\":\"" V1 "\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"%s\"}}' \"" token "\""

static const struct {
	const char *command, *more, *token, *error, *hint;
} plugins[] = {
	{ PRINT("abc"), "{}", "abc", NULL, NULL },
	{ PRINT("$A-$B"), "{\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"\"}]}", "1-", NULL, NULL },
	{ PRINT("$(echo \"$KUBERNETES_EXEC_INFO\" | grep -c '\"spec\":{\"interactive\":false}')"), "{}", "1", NULL, NULL },
	{ PRINT(
	      "$(echo \"$KUBERNETES_EXEC_INFO\" | grep -c '\"server\":\"https://here\".*\"tls-server-name\":\"name\".*\"audience\":\"us\"}')"),
	  "{\"provideClusterInfo\":true}", "1", NULL, NULL },
	{ PRINT("$(echo \"$KUBERNETES_EXEC_INFO\" | grep -c '\"certificate-authority-data\":\"Q0E=\"')"), "{\"provideClusterInfo\":true}", "1", NULL,
	  NULL }, /* of a file */
	{ "read x || " PRINT("no input"), "{\"interactiveMode\":\"Never\"}", "no input", NULL, NULL },
	{ PRINT("abc"), "{\"command\":\"./sh\"}", "abc", NULL, NULL },
	{ "exit 3", "{}", NULL, "credential plugin sh: it ended with status 3", "install sh" },
	{ "kill -9 $$", "{}", NULL, "it ended by signal 9", "install sh" },
	{ "", "{\"command\":\"no-such-plugin\"}", NULL, "credential plugin no-such-plugin: there is no such program", "install sh" },
	{ "", "{\"command\":\"/etc/passwd\"}", NULL, "it can't be executed", "install sh" },
	{ "echo hello", "{}", NULL, "it printed no JSON", "" },
	{ PRINT("abc"), "{\"interactiveMode\":\"Always\"}", NULL, "wants a terminal", "" },
	{ PRINT("abc"), "{\"apiVersion\":\"client.authentication.k8s.io/v1alpha1\"}", NULL, "another version", V1 },
};

static void test_plugins(void)
{
	struct kube_credential c;
	struct error err;

	for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++) {
		tap_int(fetch(plugins[i].command, plugins[i].more, -1, &c, &err), plugins[i].token ? 0 : -1, "plugin %zu: %s", i, err.text);
		if (plugins[i].token)
			tap_str(c.token, plugins[i].token, "plugin %zu: its token", i);
		else
			tap_ok(strstr(err.text, plugins[i].error) && strstr(err.hint, plugins[i].hint), "plugin %zu: %s (%s)", i, err.text,
			       err.hint);
		kube_credential_fini(&c);
	}
}

static void test_cancel(void)
{
	struct kube_credential c;
	struct error err;
	char command[100];
	int p[2];

	if (pipe(p) < 0 || write(p[1], "x", 1) != 1)
		abort();
	tap_int(fetch("exec sleep 1000", "{}", p[0], &c, &err), -1, "a plugin that nobody waits for any more: %s", err.text);
	if (read(p[0], command, 1) != 1)
		abort();
	snprintf(command, sizeof(command), "trap '' TERM; echo >&%d; while :; do sleep 0.1; done", p[1]);
	alarm(30); /* the end of a test that waits for ever */
	tap_int(fetch(command, "{}", p[0], &c, &err), -1, "… and that doesn't want to end: %s", err.text);
	alarm(0);
}

int main(void)
{
	if (!freopen("/dev/null", "r", stdin))
		abort();
	test_answers();
	test_holds();
	test_plugins();
	test_cancel();
	return tap_done();
}
