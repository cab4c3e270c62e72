// SPDX-License-Identifier: MIT
/* Kubeconfig files: contexts, merging of several, inline data and files, a pod's service account, and all that can be wrong. */
#include "kube/kubeconfig.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

static char dir[] = "/tmp/kubeconfig-test-XXXXXX";

static void write_file(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

static const char one[] =
    "current-context: dev\n"
    "clusters:\n"
    "- name: near\n"
    "  cluster: {server: \"https://10.0.0.1:6443/\", certificate-authority-data: Q0E=, tls-server-name: api.near, proxy-url: \"socks5://p:1\"}\n"
    "- name: files\n"
    "  cluster: {server: \"https://files\", certificate-authority: pki/ca.crt}\n"
    "- name: open\n"
    "  cluster: {server: \"http://open:8080/base//\", insecure-skip-tls-verify: true}\n"
    "- {name: bare, cluster: {}}\n"
    "- {name: short, cluster: {server: \"localhost:6443\"}}\n"
    "users:\n"
    "- {name: me, user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ, as: her, as-uid: u1, as-groups: [g1, g2]}}\n"
    "- {name: files, user: {client-certificate: pki/ca.crt, client-key: pki/key, tokenFile: token}}\n"
    "- {name: basic, user: {username: u, password: p}}\n"
    "- {name: token, user: {token: abc}}\n"
    "- {name: broken, user: {client-key-data: \"!\"}}\n"
    "- {name: lost, user: {client-key: nowhere}}\n"
    "- {name: gcp, user: {auth-provider: {name: gcp, config: {}}}}\n"
    "- {name: oidc, user: {auth-provider: {name: oidc, config: {id-token: idt}}}}\n"
    "contexts:\n"
    "- {name: dev, context: {cluster: near, user: me, namespace: shop}}\n"
    "- {name: files, context: {cluster: files, user: files}}\n"
    "- {name: open, context: {cluster: open, user: basic}}\n"
    "- {name: nobody, context: {cluster: open}}\n"
    "- {name: nocluster, context: {cluster: neer, user: me}}\n"
    "- {name: nouser, context: {cluster: near, user: mee}}\n"
    "- {name: noserver, context: {cluster: bare, user: me}}\n"
    "- {name: broken, context: {cluster: near, user: broken}}\n"
    "- {name: lost, context: {cluster: near, user: lost}}\n"
    "- {name: gcp, context: {cluster: near, user: gcp}}\n"
    "- {name: oidc, context: {cluster: near, user: oidc}}\n"
    "- {name: short, context: {cluster: short, user: token}}\n"
    "- {name: short-tls, context: {cluster: short, user: me}}\n";

static const char two[] = "current-context: second\n"
			  "clusters:\n"
			  "- {name: near, cluster: {server: \"https://other\"}}\n"
			  "- {name: far, cluster: {server: \"https://far\", certificate-authority: pki/ca.crt}}\n"
			  "users: [{name: token2, user: {token: two}}]\n"
			  "contexts:\n"
			  "- {name: second, context: {cluster: far, user: token2}}\n"
			  "- {name: mixed, context: {cluster: near, user: token2}}\n"
			  "- {name: dev, context: {cluster: far, user: token2}}\n";

/* @files: names in our directory, ":" between. */
static int load(const char *files, const char *context, struct kube_access *a, struct error *err)
{
	char list[600] = "", *copy = strdup(files), *rest = copy, *name;
	int r;

	while ((name = strsep(&rest, ":")))
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s/%s", *list ? ":" : "", dir, name);
	free(copy);
	*err = (struct error){ 0 };
	*a = (struct kube_access){ 0 };
	r = kube_access_load(list, context, a, err);
	return r;
}

static const struct {
	const char *files, *context;
	const char *server, *namespace, *token, *ca;
} good[] = {
	{ "one", NULL, "https://10.0.0.1:6443", "shop", NULL, "CA" },
	{ "one", "open", "http://open:8080/base", "default", NULL, NULL },
	{ "one", "nobody", "http://open:8080/base", "default", NULL, NULL },
	{ "one", "oidc", "https://10.0.0.1:6443", "default", "idt", "CA" },
	{ "one", "short", "http://localhost:6443", "default", "abc", NULL },
	{ "one", "short-tls", "https://localhost:6443", "default", NULL, NULL },
	{ "missing:one", NULL, "https://10.0.0.1:6443", "shop", NULL, "CA" },
	{ "one:sub/two", NULL, "https://10.0.0.1:6443", "shop", NULL, "CA" },
	{ "one:sub/two", "mixed", "https://10.0.0.1:6443", "default", "two", "CA" },
	{ "one:sub/two", "second", "https://far", "default", "two", "sub's" },
	{ "sub/two:one", NULL, "https://far", "default", "two", "sub's" },
	{ "sub/two:one", "dev", "https://far", "default", "two", "sub's" },
	{ "json", NULL, "https://j", "default", "jt", NULL },
};

static void check(const char *got, const char *wanted, const char *what, size_t row)
{
	tap_ok(wanted ? got && strcmp(got, wanted) == 0 : !got, "row %zu: %s is %s", row, what, got ? got : "nothing");
}

static void test_good(void)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct kube_access a;
		struct error err;

		tap_int(load(good[i].files, good[i].context, &a, &err), 0, "row %zu: %s %s: %s", i, good[i].files,
			good[i].context ? good[i].context : "", err.text);
		check(a.server, good[i].server, "server", i);
		check(a.namespace, good[i].namespace, "namespace", i);
		check(a.token, good[i].token, "token", i);
		check(a.ca, good[i].ca, "CA", i);
		kube_access_fini(&a);
	}
}

static void test_details(void)
{
	struct kube_access a;
	struct error err;
	char path[200];

	load("one", NULL, &a, &err);
	tap_str(a.tls_name, "api.near", "tls-server-name");
	tap_str(a.proxy, "socks5://p:1", "proxy-url");
	tap_str(a.cert, "CERT", "certificate, inline");
	tap_str(a.key, "KEY", "key, inline");
	tap_str(a.as, "her", "as");
	tap_str(a.as_uid, "u1", "as-uid");
	tap_int((int)json_array_size(a.as_groups), 2, "as-groups");
	tap_ok(!a.insecure && strstr(a.origin, "context dev of "), "origin: %s", a.origin);
	kube_access_fini(&a);
	load("one", "files", &a, &err);
	tap_str(a.cert, "one's", "certificate of a file beside the kubeconfig");
	tap_str(a.key, "key", "key of a file");
	snprintf(path, sizeof(path), "%s/token", dir);
	tap_str(a.token_file, path, "tokenFile");
	kube_access_fini(&a);
	load("one", "open", &a, &err);
	tap_ok(a.insecure && a.username && strcmp(a.username, "u") == 0 && strcmp(a.password, "p") == 0, "insecure, user and password");
	kube_access_fini(&a);
}

/* A path that is relative to where we are. */
static void test_relative(void)
{
	struct kube_access a = { 0 };
	struct error err = { 0 };

	if (chdir(dir) < 0)
		abort();
	setenv("KUBECONFIG", "sub/two", 1);
	tap_int(kube_access_load(NULL, NULL, &a, &err), 0, "KUBECONFIG, relative: %s", err.text);
	(void)!chdir("/");
	tap_str(a.ca, "sub's", "its files");
	kube_access_fini(&a);
	unsetenv("KUBECONFIG");
	setenv("HOME", dir, 1);
	tap_int(kube_access_load(NULL, "far-away", &a, &err), -1, "~/.kube/config, another context");
	tap_ok(strstr(err.text, "/.kube/config has no context called \"far-away\""), "says which file: %s", err.text);
	tap_int(kube_access_load(NULL, NULL, &a, &err), 0, "~/.kube/config");
	tap_str(a.server, "https://home", "its server");
	kube_access_fini(&a);
}

static const struct {
	const char *files, *context, *error, *hint;
} bad[] = {
	{ "missing", NULL, "there is no kubeconfig: ", "set KUBECONFIG" },
	{ "one", "def", "has no context called \"def\"", "did you mean dev? There are: dev, files, open" },
	{ "one", "qwertyuiop", "has no context called \"qwertyuiop\"", "there are: dev" },
	{ "one", "nocluster", "has no cluster called \"neer\"", "did you mean near?" },
	{ "one", "nouser", "has no user called \"mee\"", "did you mean me?" },
	{ "one", "noserver", "its cluster has no server", "" },
	{ "one", "broken", "client-key-data of the kubeconfig is not base64", "" },
	{ "one", "lost", "/nowhere: No such file", "" },
	{ "one", "gcp", "\"auth-provider: gcp\" is not there any more", "credential plugin" },
	{ "nocurrent", NULL, "has no current context", "there are: a" },
	{ "garbage", NULL, "garbage:2:", "" },
	{ ".", NULL, "Is a directory", "" },
};

static void test_bad(void)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kube_access a;
		struct error err;

		tap_int(load(bad[i].files, bad[i].context, &a, &err), -1, "%s %s: is refused", bad[i].files,
			bad[i].context ? bad[i].context : "");
		tap_ok(strstr(err.text, bad[i].error), "says: %s", err.text);
		tap_ok(strstr(err.hint, bad[i].hint), "advises: %s", err.hint);
		tap_ok(!a.server, "nothing is returned");
	}
}

int main(void)
{
	char command[300];

	if (!mkdtemp(dir) || chdir(dir) < 0 || mkdir("pki", 0700) < 0 || mkdir("sub", 0700) < 0 || mkdir("sub/pki", 0700) < 0 ||
	    mkdir(".kube", 0700) < 0)
		abort();
	(void)!chdir("/");
	write_file("one", one);
	write_file("sub/two", two);
	write_file("pki/ca.crt", "one's");
	write_file("pki/key", "key");
	write_file("sub/pki/ca.crt", "sub's");
	write_file("nocurrent", "contexts: [{name: a, context: {cluster: b}}]\n");
	write_file("garbage", "a: 1\n b: [\n");
	write_file(
	    "json",
	    "{\"current-context\":\"c\",\"clusters\":[{\"name\":\"c\",\"cluster\":{\"server\":\"https://j\"}}],\"users\":"
	    "[{\"name\":\"c\",\"user\":{\"token\":\"jt\"}}],\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"c\",\"user\":\"c\"}}]}");
	write_file(".kube/config", "current-context: c\nclusters: [{name: c, cluster: {server: 'https://home'}}]\n"
				   "contexts: [{name: c, context: {cluster: c}}]\n");
	test_good();
	test_details();
	test_bad();
	test_relative();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	tap_int(system(command), 0, "nothing is left");
	return tap_done();
}
