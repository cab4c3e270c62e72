// SPDX-License-Identifier: MIT
/* A credential plugin is run with what it is to know in KUBERNETES_EXEC_INFO, and prints an ExecCredential. */
#include "kube/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "kube/json.h"
#include "twin/privilege.h"

enum { ANSWER_MAX = 1 << 20, EARLY_SECONDS = 10, STOP_MS = 1000, STOP_LOOKS = 50 };

static const char *const versions[] = { "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1" };

void kube_credential_fini(struct kube_credential *c)
{
	free(c->token);
	free(c->cert);
	free(c->key);
	*c = (struct kube_credential){ 0 };
}

bool kube_credential_holds(const struct kube_credential *c, time_t now)
{
	return (c->token || c->cert) && (!c->expires || now < c->expires - EARLY_SECONDS);
}

int kube_credential_parse(const char *text, const char *version, struct kube_credential *ret, struct error *err)
{
	struct kube_credential c = { 0 };
	json_error_t where;
	json_t *root = json_loads(text, 0, &where);
	const json_t *status = json_object_get(root, "status");
	const char *kind = kube_text_or_null(root, "kind"), *its_version = kube_text_or_null(root, "apiVersion");
	const char *expires = kube_text_or_null(status, "expirationTimestamp");

	if (!root) {
		error_set(err, 0, "it printed no JSON: line %d: %s", where.line, where.text);
	} else if (!kind || strcmp(kind, "ExecCredential") != 0 || !its_version || strcmp(its_version, version) != 0) {
		error_set(err, 0, "it printed a %s of %s, not an ExecCredential of %s", kind ? kind : "thing",
			  its_version ? its_version : "no version", version);
	} else {
		c.token = kube_copy(status, "token");
		c.cert = kube_copy(status, "clientCertificateData");
		c.key = kube_copy(status, "clientKeyData");
		c.expires = expires ? kube_time(expires) : 0;
		if (!c.token && !c.cert)
			error_set(err, 0, "it printed neither a token nor a certificate");
		else if (!c.cert != !c.key)
			error_set(err, 0, "it printed a certificate without its key, or the other way round");
	}
	json_decref(root);
	if (error_is_set(err)) {
		kube_credential_fini(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

/* The cluster as the plugin may ask it: with the authority's certificate itself, also where the kubeconfig names a file. */
static json_t *describe_cluster(const struct kube_access *a)
{
	json_t *cluster = json_pack("{s:s}", "server", a->server), *extension;
	const char *const copied[] = { "tls-server-name", "proxy-url", "disable-compression" };
	char *authority = a->ca && !a->insecure ? malloc(BASE64_ROOM(strlen(a->ca))) : NULL;
	size_t i;

	for (i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
		if (json_object_get(a->cluster, copied[i]))
			json_object_set(cluster, copied[i], json_object_get(a->cluster, copied[i]));
	if (a->insecure)
		json_object_set_new(cluster, "insecure-skip-tls-verify", json_true());
	if (authority) {
		base64_encode((const uint8_t *)a->ca, strlen(a->ca), authority);
		json_object_set_new(cluster, "certificate-authority-data", json_string(authority));
		free(authority);
	}
	json_array_foreach(json_object_get(a->cluster, "extensions"), i, extension)
	{
		const char *name = kube_text_or_null(extension, "name");

		if (name && strcmp(name, "client.authentication.k8s.io/exec") == 0)
			json_object_set(cluster, "config", json_object_get(extension, "extension"));
	}
	return cluster;
}

static char *describe(const struct kube_access *a, const char *version, bool interactive)
{
	json_t *info = json_pack("{s:s, s:s, s:{s:b}}", "apiVersion", version, "kind", "ExecCredential", "spec", "interactive", interactive);
	char *text;

	if (json_is_true(json_object_get(a->exec, "provideClusterInfo")))
		json_object_set_new(json_object_get(info, "spec"), "cluster", describe_cluster(a));
	text = json_dumps(info, JSON_COMPACT);
	json_decref(info);
	return text;
}

/* The words of the command line; the array is the caller's, the words are not. */
static char **make_argv(const json_t *exec, const char *command)
{
	const json_t *args = json_object_get(exec, "args");
	char **argv = calloc(json_array_size(args) + 2, sizeof(*argv));
	json_t *word;
	size_t i;

	if (!argv)
		return NULL;
	argv[0] = (char *)command;
	json_array_foreach((json_t *)args, i, word)
	{
		argv[i + 1] = (char *)(json_string_value(word) ? json_string_value(word) : "");
	}
	return argv;
}

static _Noreturn void run(const json_t *exec, const char *command, char **argv, const char *info, bool interactive, int out)
{
	struct error err = { 0 };
	json_t *variable;
	uid_t uid;
	gid_t gid;
	size_t i;

	/* Under sudo: what it has cached, and whom it asks, are the user's who called that. */
	if (privilege_sudo_user(&uid, &gid) == 0 && privilege_become(uid, gid, &err) < 0)
		_exit(126);
	signal(SIGPIPE, SIG_DFL);
	dup2(out, STDOUT_FILENO);
	if (!interactive && freopen("/dev/null", "r", stdin) == NULL)
		_exit(126);
	json_array_foreach(json_object_get(exec, "env"), i, variable)
	{
		if (kube_text_or_null(variable, "name") && json_string_value(json_object_get(variable, "value")))
			setenv(kube_text_or_null(variable, "name"), json_string_value(json_object_get(variable, "value")), 1);
	}
	setenv("KUBERNETES_EXEC_INFO", info, 1);
	execvp(command, argv);
	_exit(errno == ENOENT ? 127 : 126);
}

/* All that comes until the end; NULL with errno, ECANCELED when @cancel became readable. */
static char *read_answer(int fd, int cancel)
{
	size_t len = 0;
	char *text = malloc(ANSWER_MAX + 1);

	while (text) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = cancel, .events = POLLIN } };
		ssize_t n = poll(p, 2, -1) < 0 && errno != EINTR ? -1 : 0;

		if (n == 0 && p[1].revents) {
			n = -1;
			errno = ECANCELED;
		} else if (n == 0 && p[0].revents) {
			n = read(fd, text + len, ANSWER_MAX - len);
			if (n == 0) {
				text[len] = '\0';
				return text;
			}
		}
		if (n < 0 && errno != EINTR) {
			int saved = errno;

			free(text);
			errno = saved;
			return NULL;
		}
		len += n > 0 ? (size_t)n : 0;
	}
	return NULL;
}

static int refuse_end(const struct kube_access *a, int status, struct error *err)
{
	const char *hint = kube_text_or_null(a->exec, "installHint");

	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		error_set(err, 0, "there is no such program");
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 126)
		error_set(err, 0, "it can't be executed");
	else if (WIFEXITED(status))
		error_set(err, 0, "it ended with status %d", WEXITSTATUS(status));
	else
		error_set(err, 0, "it ended by signal %d", WTERMSIG(status));
	return hint ? error_hint(err, "%s", hint) : error_hint(err, "`kubectl get pods` runs the same program: does that work?");
}

/* It is asked to end, and a second later it is made to. */
static void stop_plugin(pid_t pid)
{
	static const struct timespec pause = { .tv_nsec = STOP_MS / STOP_LOOKS * 1000000L };

	kill(pid, SIGTERM);
	for (int i = 0; i < STOP_LOOKS; i++) {
		siginfo_t ended = { 0 };

		if (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid)
			return;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
}

static int run_plugin(const struct kube_access *a, const char *command, const char *info, bool interactive, int cancel, char **ret,
		      struct error *err)
{
	char **argv = make_argv(a->exec, command), *answer;
	int out[2] = { -1, -1 }, status = 0, saved;
	pid_t pid = -1;

	if (!argv || pipe2(out, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		error_set(err, errno, "start it");
		fd_closep(&out[0]);
		fd_closep(&out[1]);
		free(argv);
		return -1;
	}
	if (pid == 0)
		run(a->exec, command, argv, info, interactive, out[1]);
	free(argv);
	close(out[1]);
	answer = read_answer(out[0], cancel);
	saved = errno;
	close(out[0]);
	if (!answer)
		stop_plugin(pid);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!answer)
		return error_set(err, saved, "read what it prints");
	if (status) {
		free(answer);
		return refuse_end(a, status, err);
	}
	*ret = answer;
	return 0;
}

static const char *version_of(const json_t *exec)
{
	const char *version = kube_text_or_null(exec, "apiVersion");

	for (size_t i = 0; version && i < sizeof(versions) / sizeof(versions[0]); i++)
		if (strcmp(version, versions[i]) == 0)
			return versions[i];
	return NULL;
}

bool kube_credential_may_ask(const struct kube_access *a)
{
	return strcmp(kube_text(a->exec, "interactiveMode"), "Never") != 0;
}

int kube_credential_fetch(const struct kube_access *a, int cancel, struct kube_credential *ret, struct error *err)
{
	const char *word = kube_text_or_null(a->exec, "command"), *version = version_of(a->exec);
	bool interactive = isatty(STDIN_FILENO) && kube_credential_may_ask(a);
	char path[4096], *info, *answer = NULL;
	int r = -1;

	if (!word || !version) {
		error_set(err, 0, "%s: its credential plugin has %s", a->origin, !word ? "no command" : "another version than v1 and v1beta1");
		return error_hint(err, "`apiVersion: %s` is the current one", versions[0]);
	}
	if (strcmp(kube_text(a->exec, "interactiveMode"), "Always") == 0 && !interactive)
		return error_set(err, 0, "credential plugin %s wants a terminal (interactiveMode: Always), and there is none", word);
	if (strchr(word, '/') && word[0] != '/')
		snprintf(path, sizeof(path), "%s/%s", a->exec_dir, word);
	else
		snprintf(path, sizeof(path), "%s", word);
	info = describe(a, version, interactive);
	if (!info)
		error_set(err, ENOMEM, "describe the cluster");
	else if (run_plugin(a, path, info, interactive, cancel, &answer, err) == 0)
		r = kube_credential_parse(answer, version, ret, err);
	free(info);
	free(answer);
	return r < 0 ? error_wrap(err, "credential plugin %s", word) : 0;
}
