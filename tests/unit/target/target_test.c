// SPDX-License-Identifier: MIT
/* Targets that need no engine. Every one that is refused says why and what to do. */
#include "target/target.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <pthread.h>
#include <unistd.h>

#include "child.h"
#include "tap.h"
#include "target/own_run.h"

static const struct {
	const char *text, *error, *hint; /* parts that must be there */
} refused[] = {
	{ "", "a target is a kind, a slash and a name", "pid/4711, netns/NAME, docker/NAME, podman/NAME" },
	{ "4711", "a target is a kind, a slash and a name", "pid/4711" },
	{ "pid/", "a target is a kind, a slash and a name", "pid/4711" },
	{ "/shop", "a target is a kind, a slash and a name", "pid/4711" },
	{ "netsn/shop", "no kind of target called \"netsn\"", "did you mean netns/shop? Targets are pid/4711, netns/" },
	{ "dokcer/a/b", "no kind of target called \"dokcer\"", "did you mean docker/a/b?" },
	{ "deploymnt/web", "no kind of target called \"deploymnt\"", "did you mean deployment/web?" },
	{ "qwertz/shop", "no kind of target called \"qwertz\"",
	  "targets are pid/4711, netns/NAME, docker/NAME, podman/NAME" },
	{ "targetless/x", "a target is a kind, a slash and a name", "targetless" },
	{ "pod", "a target is a kind, a slash and a name", "pod/NAME" },
	{ "pod/Shop", "\"Shop\" is not a name in a cluster", "as kubectl does" },
	{ "pod/-shop", "\"-shop\" is not a name in a cluster", "as kubectl does" },
	{ "pod/a/b", "\"a/b\" is not a name in a cluster", "as kubectl does" },
	{ "pod/..", "\"..\" is not a name in a cluster", "as kubectl does" },
	{ "deployment/shop/container/", "\"\" is not a name of a container", "deployment/shop/container/app" },
	{ "deployment/shop/container/a/b", "\"a/b\" is not a name of a container", "deployment/shop/container/app" },
	{ "deployment/shop?watch=1", "is not a name in a cluster", "as kubectl does" },
	{ "label/app", "\"app\" is not a list of labels", "label/app=shop,tier=web" },
	{ "label/app=a=b", "is not a list of labels", "label/app=shop" },
	{ "label/app=a,", "is not a list of labels", "label/app=shop" },
	{ "label/=a", "is not a list of labels", "label/app=shop" },
	{ "label/app in (a)", "is not a list of labels", "label/app=shop" },
	{ "pid/abc", "\"abc\" is not a process id", "pid/4711 names a process" },
	{ "pid/0", "\"0\" is not a process id", "pid/4711" },
	{ "pid/-1", "\"-1\" is not a process id", "pid/4711" },
	{ "pid/ 1", "\" 1\" is not a process id", "pid/4711" },
	{ "pid/1x", "\"1x\" is not a process id", "pid/4711" },
	{ "pid/99999999999999999999", "is not a process id", "pid/4711" },
	{ "pid/2147483648", "is not a process id", "pid/4711" },
	{ "pid/2147483647", "there is no process 2147483647", "ps -e" },
	{ "netns/..", "\"..\" is not a name", "ip netns list" },
	{ "netns/a/b", "\"a/b\" is not a name", "ip netns list" },
};

static const struct {
	const char *text;
	enum target_kind kind;
	const char *name, *container;
} in_cluster[] = {
	{ "pod/shop", TARGET_POD, "shop", "" },
	{ "po/shop", TARGET_POD, "shop", "" },
	{ "pod/shop-7d9.x", TARGET_POD, "shop-7d9.x", "" },
	{ "deployment/shop/container/app", TARGET_DEPLOYMENT, "shop", "app" },
	{ "deploy/shop", TARGET_DEPLOYMENT, "shop", "" },
	{ "rollout/shop", TARGET_ROLLOUT, "shop", "" },
	{ "statefulset/db", TARGET_STATEFULSET, "db", "" },
	{ "daemonset/log", TARGET_DAEMONSET, "log", "" },
	{ "replicaset/shop-1", TARGET_REPLICASET, "shop-1", "" },
	{ "job/once", TARGET_JOB, "once", "" },
	{ "cronjob/nightly", TARGET_CRONJOB, "nightly", "" },
	{ "svc/shop", TARGET_SERVICE, "shop", "" },
	{ "label/app=shop", TARGET_LABEL, "app=shop", "" },
	{ "label/app.kubernetes.io/name=shop,tier=/container/app", TARGET_LABEL, "app.kubernetes.io/name=shop,tier=", "app" },
	{ "targetless", TARGET_TARGETLESS, "", "" },
};

static void test_in_cluster(void)
{
	for (size_t i = 0; i < sizeof(in_cluster) / sizeof(in_cluster[0]); i++) {
		struct target t = { 0 };
		struct error err = { 0 };

		tap_int(target_resolve(in_cluster[i].text, &t, &err), 0, "%s: is read", in_cluster[i].text);
		tap_ok(t.kind == in_cluster[i].kind && target_is_in_cluster(&t), "%s: its kind", in_cluster[i].text);
		tap_str(t.name, in_cluster[i].name, "%s: its name", in_cluster[i].text);
		tap_str(t.container, in_cluster[i].container, "%s: its container", in_cluster[i].text);
	}
}

/* Of this machine's targets the form alone is looked at. */
static void test_parse(void)
{
	static const struct {
		const char *text;
		int kind; /* -1: an error */
	} rows[] = { { "pid/999999999", TARGET_PID }, { "netns/no-such", TARGET_NETNS }, { "docker/x", TARGET_DOCKER }, { "pod/shop", TARGET_POD },
		     { "targetless", TARGET_TARGETLESS }, { "targetless/x", -1 }, { "pod", -1 }, { "pod/", -1 }, { "/x", -1 }, { "", -1 },
		     { "pod/Shop", -1 }, { "label/app", -1 }, { "deployment/a/container/", -1 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct target t = { .kind = TARGET_LABEL };
		struct error err = { 0 };

		tap_int(target_parse(rows[i].text, &t, &err), rows[i].kind < 0 ? -1 : 0, "\"%s\" is %sa target", rows[i].text,
			rows[i].kind < 0 ? "no " : "");
		tap_int(t.kind, rows[i].kind < 0 ? (int)TARGET_LABEL : rows[i].kind, "its kind");
	}
}

/* Resolves @text and compares the error with what it must say; NULL for none. */
static void expect(const char *text, const char *error, const char *hint, const char *name)
{
	struct target t = { .pid = -7 };
	struct error err = { 0 };
	int r = target_resolve(text, &t, &err);

	tap_int(r, error ? -1 : 0, "%s: returns", name);
	if (!error) {
		tap_str(err.text, "", "%s: no error", name);
		return;
	}
	tap_ok(strstr(err.text, error) && strstr(err.hint, hint), "%s: says why and what to do", name);
	if (!strstr(err.text, error) || !strstr(err.hint, hint))
		printf("# got \"%s\" (%s)\n", err.text, err.hint);
	tap_int(err.status, 1, "%s: exit status", name);
	tap_int(t.pid, -7, "%s: result untouched", name);
}

static void *thread_main(void *arg)
{
	int *fds = arg, tid = gettid();
	char c;

	if (write(fds[1], &tid, sizeof(tid)) > 0 && read(fds[0], &c, 1) == 0)
		return NULL;
	return NULL;
}

static void test_thread(void)
{
	char text[32], hint[64];
	int up[2], down[2], fds[2], tid = 0;
	pthread_t thread;

	if (pipe(up) < 0 || pipe(down) < 0)
		abort();
	fds[0] = down[0];
	fds[1] = up[1];
	if (pthread_create(&thread, NULL, thread_main, fds) != 0 || read(up[0], &tid, sizeof(tid)) != sizeof(tid))
		abort();
	snprintf(text, sizeof(text), "pid/%d", tid);
	snprintf(hint, sizeof(hint), "use pid/%d", getpid());
	expect(text, "is a thread of process", hint, "a thread");
	close(down[1]);
	pthread_join(thread, NULL);
}

static void test_process(void)
{
	char text[32];
	struct target t;
	struct error err = { 0 };
	pid_t child = fork();
	siginfo_t info;

	if (child == 0)
		_exit(0);
	snprintf(text, sizeof(text), "pid/%d", getpid());
	prctl(PR_SET_NAME, "a) Z (b");
	tap_int(target_resolve(text, &t, &err), 0, "our own process, whose name looks like stat's other fields");
	tap_ok(t.kind == TARGET_PID && t.pid == getpid() && !t.netns[0] && !t.etc[0], "what it resolves to");
	tap_str(t.text, text, "its text");
	waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
	snprintf(text, sizeof(text), "pid/%d", child);
	expect(text, "has ended", "name a process that runs", "a zombie");
	waitpid(child, NULL, 0);
	expect(text, "there is no process", "ps -e", "a process that is gone");
}

static void test_kernel_thread(void)
{
	char comm[32] = "";
	int fd = open("/proc/2/comm", O_RDONLY);

	if (fd < 0 || read(fd, comm, sizeof(comm) - 1) < 0 || strcmp(comm, "kthreadd\n") != 0)
		printf("# kernel threads are not seen from here\n");
	else
		expect("pid/2", "is a kernel thread", "whose network you want", "a kernel thread");
	if (fd >= 0)
		close(fd);
}

static void test_foreign_process(void)
{
	char text[32] = "pid/1", hint[64];

	if (geteuid() == 0) {
		snprintf(text, sizeof(text), "pid/%d", getppid());
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0) {
			printf("# no other user to be\n");
			return;
		}
	}
	snprintf(hint, sizeof(hint), "sudo mirrord exec -t %s -- ", text);
	expect(text, "Permission denied", hint, "a process of another user");
	expect(text, "belongs to user root (uid 0)", hint, "a process of another user");
}

static void make_name(const char *name, const char *source)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0 || (source && mount(source, path, NULL, MS_BIND, NULL) < 0))
		abort();
	close(fd);
}

static void test_netns(void)
{
	struct target t;
	struct error err = { 0 };

	enter_own_run();
	expect("netns/shop", "no network namespace called \"shop\" (looked in /run/netns)", "there are none",
	       "no names at all");
	if (mkdir("/run/netns", 0755) < 0)
		abort();
	make_name("shop", "/proc/self/ns/net");
	make_name("leftover", NULL);
	make_name("other", "/proc/self/ns/uts");
	tap_int(target_resolve("netns/shop", &t, &err), 0, "a named network namespace");
	tap_ok(t.kind == TARGET_NETNS && t.pid == 0, "has no process");
	tap_str(t.netns, "/run/netns/shop", "its path");
	tap_str(t.etc, "", "has no directory of its own below /etc/netns");
	expect("netns/shpo", "no network namespace called \"shpo\"", "there are: ", "another name");
	expect("netns/shpo", "no network namespace called \"shpo\"", "shop", "another name lists those there are");
	expect("netns/leftover", "not a network namespace", "ip netns delete leftover", "a file whose mount is gone");
	expect("netns/other", "not a network namespace", "ip netns delete other", "a namespace of another type");
	if (mount("etc", "/etc", "tmpfs", 0, NULL) < 0 || mkdir("/etc/netns", 0755) < 0 ||
	    mkdir("/etc/netns/shop", 0755) < 0)
		abort();
	tap_int(target_resolve("netns/shop", &t, &err), 0, "with files");
	tap_str(t.etc, "/etc/netns/shop", "its directory");
}

int main(void)
{
	char text[400] = "netns/";

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		expect(refused[i].text, refused[i].error, refused[i].hint, refused[i].text);
	memset(text + 6, 'x', sizeof(text) - 7);
	expect(text, "longer than 255 bytes", "", "a text that is too long");
	test_in_cluster();
	test_parse();
	test_process();
	test_thread();
	test_kernel_thread();
	in_child(test_foreign_process);
	in_child(test_netns);
	return tap_done();
}
