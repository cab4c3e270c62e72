// SPDX-License-Identifier: MIT
/* Kubeconfig files are read as client-go reads them. The entries of all files are put together by name, the first wins as a whole; a file that
 * isn't there is passed over, one that can't be read is an error. Relative paths in an entry are relative to its file, so each entry keeps its
 * file's directory (under a key that no kubeconfig has). */
#include "kube/kubeconfig.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/nearest.h"
#include "config/arena.h"
#include "config/node.h"
#include "config/source.h"
#include "config/yaml.h"
#include "base/base64.h"
#include "kube/json.h"
#include "twin/privilege.h"

enum { FILE_MAX = 8 << 20 };
#define DIRECTORY "\1directory"
#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

static const char *const lists[] = { "clusters", "users", "contexts" };
static const char *const members[] = { "cluster", "user", "context" };
enum list { CLUSTERS, USERS, CONTEXTS };

static char *print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *print(const char *format, ...)
{
	va_list ap;
	char *text;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	return text;
}

static char *read_file(const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? NULL : fd_read_all(fd, FILE_MAX, NULL);
}

static void merge_list(json_t *all, const json_t *file, enum list list, const char *directory)
{
	json_t *merged = json_object_get(all, lists[list]), *entry;
	size_t i;

	json_array_foreach(json_object_get(file, lists[list]), i, entry)
	{
		const char *name = kube_text_or_null(entry, "name");
		json_t *value = json_object_get(entry, members[list]);

		if (!name || json_object_get(merged, name))
			continue;
		value = json_is_object(value) ? json_incref(value) : json_object();
		json_object_set_new(value, DIRECTORY, json_string(directory));
		json_object_set_new(merged, name, value);
	}
}

/* By the reader of configurations, whose errors have line and column. NULL with @err. */
static json_t *parse(const char *path, const char *text, struct error *err)
{
	struct arena *a = arena_new();
	struct problem_list problems;
	struct source s;
	const struct node *root;
	json_t *value = NULL;

	problem_list_init(&problems);
	source_init(&s, path, text, strlen(text), a, &problems);
	root = yaml_parse(&s);
	if (root && !problems.n_errors)
		value = json_loads(node_to_json(a, root), JSON_DECODE_ANY, NULL);
	if (!value && problems.n) {
		char *why = problem_format(&problems.items[0]);

		error_set(err, 0, "%s", why ? why : path);
		free(why);
	} else if (!value) {
		error_set(err, 0, "%s is not UTF-8", path);
	}
	problem_list_fini(&problems);
	arena_free(a);
	return value;
}

/* Returns 1 when it was there, 0 when not, -1 with @err. */
static int merge_file(json_t *all, const char *path, struct error *err)
{
	char *text = read_file(path), *slash, *here;
	json_t *file;

	if (!text && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (!text)
		return error_set(err, errno, "read the kubeconfig %s", path);
	file = parse(path, text, err);
	free(text);
	if (!file)
		return error_wrap(err, "read the kubeconfig");
	here = path[0] == '/' ? NULL : getcwd(NULL, 0);
	text = print("%s%s%s", here ? here : "", here ? "/" : "", path);
	slash = text ? strrchr(text, '/') : NULL;
	if (slash)
		*slash = '\0';
	free(here);
	for (int i = CLUSTERS; i <= CONTEXTS; i++)
		merge_list(all, file, (enum list)i, text ? text : ".");
	free(text);
	if (!json_object_get(all, "current-context") && kube_text_or_null(file, "current-context")) {
		json_object_set(all, "current-context", json_object_get(file, "current-context"));
		json_object_set_new(all, "current-file", json_string(path));
	}
	json_decref(file);
	return 1;
}

/* Under sudo it is that of the user who called it, if they have one. */
static char *default_file(void)
{
	const char *home = getenv("HOME");
	uid_t uid = getuid();
	gid_t gid;
	struct passwd *user;
	char *theirs = NULL;

	if (privilege_sudo_user(&uid, &gid) == 0 && (user = getpwuid(uid)))
		theirs = print("%s/.kube/config", user->pw_dir);
	if (theirs && access(theirs, F_OK) == 0)
		return theirs;
	free(theirs);
	user = home && *home ? NULL : getpwuid(getuid());
	return print("%s/.kube/config", home && *home ? home : user ? user->pw_dir : "");
}

/* Returns how many of the files there are, or -1 with @err. */
static int merge_files(json_t *all, const char *files, struct error *err)
{
	char *list = files ? strdup(files) : default_file(), *rest = list;
	int n = 0, r = 0;

	for (char *path; r >= 0 && rest && (path = strsep(&rest, ":"));)
		if (*path)
			n += r = merge_file(all, path, err);
	free(list);
	return r < 0 ? -1 : n;
}

/* "a, b, c" */
static char *list_names(const json_t *object)
{
	char *all = strdup("");
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		char *more = all ? print("%s%s%s", all, *all ? ", " : "", name) : NULL;

		free(all);
		all = more;
	}
	return all;
}

static int refuse_name(const json_t *all, enum list list, const char *name, const char *files, struct error *err)
{
	const json_t *there = json_object_get(all, lists[list]);
	const char **names = calloc(json_object_size(there) + 1, sizeof(*names)), *near = NULL, *key;
	char *listed = list_names(there);
	size_t n = 0;
	json_t *value;

	json_object_foreach((json_t *)there, key, value)
	{
		if (names)
			names[n++] = key;
	}
	if (names)
		near = nearest_word(name, names);
	error_set(err, 0, "%s has no %s called \"%s\"", files, members[list], name);
	if (near)
		error_hint(err, "did you mean %s? There are: %s", near, listed ? listed : "");
	else
		error_hint(err, listed && *listed ? "there are: %s" : "there are none%s", listed ? listed : "");
	free(names);
	free(listed);
	return -1;
}

/* Relative paths are relative to the entry's file. */
static char *path_of(const json_t *entry, const char *path)
{
	if (path[0] == '/')
		return strdup(path);
	return print("%s/%s", json_string_value(json_object_get(entry, DIRECTORY)), path);
}

/* PEM text, given as base64 under @key-data, or as a path under @key. Returns 0 (*ret NULL when neither is there) or -1 with @err. */
static int read_pem(const json_t *entry, const char *key, char **ret, struct error *err)
{
	char data_key[64], *path, *text;
	const char *data, *file = kube_text_or_null(entry, key);

	snprintf(data_key, sizeof(data_key), "%s-data", key);
	data = kube_text_or_null(entry, data_key);
	if (data) {
		*ret = base64_decode(data, NULL);
		return *ret ? 0 : error_set(err, 0, "%s of the kubeconfig is not base64", data_key);
	}
	if (!file)
		return 0;
	path = path_of(entry, file);
	text = path ? read_file(path) : NULL;
	if (!text)
		error_set(err, errno, "read %s %s", key, path ? path : file);
	free(path);
	*ret = text;
	return text ? 0 : -1;
}

static int take_cluster(const json_t *cluster, struct kube_access *a, struct error *err)
{
	size_t n;

	a->server = kube_copy(cluster, "server");
	if (!a->server)
		return error_set(err, 0, "%s: its cluster has no server", a->origin);
	n = strlen(a->server);
	while (n && a->server[n - 1] == '/')
		a->server[--n] = '\0';
	a->tls_name = kube_copy(cluster, "tls-server-name");
	a->proxy = kube_copy(cluster, "proxy-url");
	a->insecure = json_is_true(json_object_get(cluster, "insecure-skip-tls-verify"));
	a->cluster = json_deep_copy(cluster);
	return read_pem(cluster, "certificate-authority", &a->ca, err);
}

/* One that is only HOST:PORT speaks TLS when there is something to do that with, as for kubectl. Certificates and the rest are known. */
static int complete_server(struct kube_access *a, struct error *err)
{
	char *url;

	if (strstr(a->server, "://"))
		return 0;
	url = print("%s://%s", a->ca || a->cert || a->insecure ? "https" : "http", a->server);
	if (!url)
		return error_set(err, ENOMEM, "read the kubeconfig");
	free(a->server);
	a->server = url;
	return 0;
}

static int take_user(const json_t *user, struct kube_access *a, struct error *err)
{
	const json_t *provider = json_object_get(user, "auth-provider");
	const char *file = kube_text_or_null(user, "tokenFile");

	a->token = kube_copy(user, "token");
	if (file)
		a->token_file = path_of(user, file);
	a->username = kube_copy(user, "username");
	a->password = kube_copy(user, "password");
	a->exec = json_incref(json_object_get(user, "exec"));
	a->exec_dir = kube_copy(user, DIRECTORY);
	a->as = kube_copy(user, "as");
	a->as_uid = kube_copy(user, "as-uid");
	a->as_groups = json_incref(json_object_get(user, "as-groups"));
	a->as_extra = json_incref(json_object_get(user, "as-user-extra"));
	if (provider && !a->token)
		a->token = kube_copy(json_object_get(provider, "config"), "id-token");
	if (provider && !a->token) {
		error_set(err, 0, "%s: authentication by \"auth-provider: %s\" is not there any more, in kubectl neither", a->origin,
			  kube_text_or_null(provider, "name") ? kube_text_or_null(provider, "name") : "?");
		return error_hint(err, "use the provider's credential plugin (users: exec: in the kubeconfig)");
	}
	if (read_pem(user, "client-certificate", &a->cert, err) < 0 || read_pem(user, "client-key", &a->key, err) < 0)
		return error_wrap(err, "%s", a->origin);
	return 0;
}

/* A context may lack a user: then nobody in particular asks. */
static int take_context(const json_t *all, const char *name, const char *files, struct kube_access *a, struct error *err)
{
	const json_t *context = json_object_get(json_object_get(all, "contexts"), name), *cluster, *user = NULL;
	const char *cluster_name, *user_name;

	if (!context)
		return refuse_name(all, CONTEXTS, name, files, err);
	cluster_name = kube_text_or_null(context, "cluster");
	user_name = kube_text_or_null(context, "user");
	a->origin = print("context %s of %s", name, files);
	a->namespace = strdup(kube_text_or_null(context, "namespace") ? kube_text_or_null(context, "namespace") : "default");
	cluster = cluster_name ? json_object_get(json_object_get(all, "clusters"), cluster_name) : NULL;
	if (user_name)
		user = json_object_get(json_object_get(all, "users"), user_name);
	if (!a->origin || !a->namespace)
		return error_set(err, ENOMEM, "read the kubeconfig");
	if (!cluster)
		return refuse_name(all, CLUSTERS, cluster_name ? cluster_name : "", a->origin, err);
	if (user_name && !user)
		return refuse_name(all, USERS, user_name, a->origin, err);
	return take_cluster(cluster, a, err) < 0 || take_user(user, a, err) < 0 || complete_server(a, err) < 0 ? -1 : 0;
}

/* In a pod. An IPv6 address needs brackets. */
static int take_service_account(struct kube_access *a, struct error *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	bool v6 = host && strchr(host, ':');

	if (!host || !*host || !port || !*port)
		return 0;
	a->origin = strdup("the service account of this pod");
	a->server = print("https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
	a->token_file = strdup(SERVICE_ACCOUNT "/token");
	a->ca = read_file(SERVICE_ACCOUNT "/ca.crt");
	if (!a->ca)
		return error_set(err, errno, "read " SERVICE_ACCOUNT "/ca.crt");
	a->namespace = read_file(SERVICE_ACCOUNT "/namespace");
	if (!a->namespace)
		a->namespace = strdup("default");
	return 1;
}

static int refuse_nothing(const char *files, struct error *err)
{
	char *file = files ? strdup(files) : default_file();

	error_set(err, 0, "there is no kubeconfig: %s", file ? file : "?");
	free(file);
	return error_hint(err, "a target of a cluster needs one, as kubectl does: set KUBECONFIG, or name targets of this machine: pid/, netns/, "
			       "docker/, podman/");
}

static int choose_context(const json_t *all, const char *files, const char *context, struct kube_access *a, struct error *err)
{
	char *file = NULL, *names;
	int r;

	if (!files)
		files = kube_text_or_null(all, "current-file");
	if (!files)
		files = file = default_file();
	if (!context)
		context = kube_text_or_null(all, "current-context");
	if (context) {
		r = take_context(all, context, files, a, err);
	} else {
		names = list_names(json_object_get(all, "contexts"));
		r = error_set(err, 0, "%s has no current context", files);
		error_hint(err, "name one with --context, or `kubectl config use-context NAME`; there are: %s", names && *names ? names : "none");
		free(names);
	}
	free(file);
	return r;
}

int kube_access_load(const char *files, const char *context, struct kube_access *ret, struct error *err)
{
	struct kube_access a = { 0 };
	const char *environment = getenv("KUBECONFIG");
	json_t *all = json_pack("{s:{}, s:{}, s:{}}", lists[0], lists[1], lists[2]);
	int r, n;

	if (!files && environment && *environment)
		files = environment;
	n = merge_files(all, files, err);
	r = n;
	if (n == 0 && !files && !context)
		r = take_service_account(&a, err);
	if (n > 0)
		r = choose_context(all, files, context, &a, err);
	else if (r == 0)
		r = refuse_nothing(files, err);
	json_decref(all);
	if (r < 0) {
		kube_access_fini(&a);
		return -1;
	}
	*ret = a;
	return 0;
}

void kube_access_fini(struct kube_access *a)
{
	char *const texts[] = { a->origin, a->server, a->namespace, a->ca, a->tls_name, a->proxy, a->cert, a->key, a->token,
				a->token_file, a->username, a->password, a->exec_dir, a->as, a->as_uid };
	json_t *const values[] = { a->exec, a->cluster, a->as_groups, a->as_extra };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		json_decref(values[i]);
	*a = (struct kube_access){ 0 };
}
