// SPDX-License-Identifier: MIT
/* Entering targets: processes of ours in namespaces of theirs. As root, also those that only root may enter. */
#include "agent/enter.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "agent/files.h"
#include "child.h"
#include "tap.h"
#include "target/own_run.h"

enum { USER = 65534 };

/* A process that has made itself a target; it lives until we end. */
static pid_t start(void (*make)(void))
{
	int ready[2];
	char c;
	pid_t pid;

	if (pipe(ready) < 0)
		abort();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		make();
		if (write(ready[1], "", 1) != 1)
			abort();
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		printf("# the target could not be made\n");
	close(ready[0]);
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static struct target target_of(pid_t pid)
{
	struct target t = { .kind = TARGET_PID, .pid = pid };

	snprintf(t.text, sizeof(t.text), "pid/%d", pid);
	return t;
}

/* The number of a namespace of process @pid's, 0 for ourselves. */
static ino_t namespace_of(pid_t pid, const char *name)
{
	char path[64] = "/proc/self/ns";
	struct stat st;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/ns", pid);
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", name);
	if (stat(path, &st) < 0)
		abort();
	return st.st_ino;
}

static uint64_t capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	syscall(SYS_capget, &header, data);
	return data[0].effective | data[0].permitted | (uint64_t)(data[1].effective | data[1].permitted) << 32;
}

/* Those that a user namespace needs, with our own numbers mapped to @inside. */
static void make_user_namespace(uid_t inside)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER) < 0)
		abort();
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", inside, uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", inside, gid);
	write_file("/proc/self/gid_map", map);
}

static void make_container(void)
{
	make_user_namespace(0);
	if (unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWNS) < 0 || sethostname("shop-7d9", 8) < 0)
		abort();
}

/* The network belongs to one user namespace, the process and its host name to another below it; another number again.
 */
static void make_nested(void)
{
	make_user_namespace(0);
	if (unshare(CLONE_NEWNET) < 0)
		abort();
	make_user_namespace(7);
	if (unshare(CLONE_NEWUTS) < 0 || sethostname("nested-1", 8) < 0)
		abort();
}

/* As a rootless container on the host's network. */
static void make_host_network(void)
{
	make_user_namespace(0);
	if (unshare(CLONE_NEWUTS) < 0 || sethostname("hostnet1", 8) < 0)
		abort();
}

static void make_roots_network(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWUTS) < 0 || sethostname("roots-01", 8) < 0)
		abort();
}

static void become_user(void)
{
	if (setresgid(USER, USER, USER) < 0 || setresuid(USER, USER, USER) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
		abort();
}

static void make_user_in_roots_network(void)
{
	make_roots_network();
	become_user();
}

static void nothing(void)
{
}

static void (*current)(void); /* how the target of the test is made */
static const char *current_host;
static bool as_user; /* the agent is not root */
static bool root;    /* we may be anybody */

static void expect_entered(pid_t pid, const char *name)
{
	struct target t = target_of(pid);
	struct entry e;
	struct error err = { 0 };
	struct utsname names;
	const ino_t net = namespace_of(pid, "net"), mnt = namespace_of(0, "mnt"), pids = namespace_of(0, "pid");

	if (agent_enter(&t, &e, &err) < 0) {
		tap_str(err.text, "", "%s: entered", name);
		return;
	}
	uname(&names);
	tap_ok(namespace_of(0, "net") == net, "%s: the network is the target's", name);
	if (current_host)
		tap_str(names.nodename, current_host, "%s: so is the host name", name);
	tap_ok(namespace_of(0, "mnt") == mnt && namespace_of(0, "pid") == pids,
	       "%s: mounts and processes are still ours", name);
	tap_int(agent_settle(&e, &err), 0, "%s: settled", name);
	tap_ok(e.root < 0 && e.process < 0, "%s: nothing held", name);
	tap_int(capabilities() & ~(1ULL << CAP_NET_RAW | 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_DAC_OVERRIDE), 0,
		"%s: no other rights", name);
	tap_int(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1, "%s: none to come", name);
}

static void test_enter(void)
{
	pid_t pid;

	if (as_user && root)
		become_user();
	pid = start(current);
	expect_entered(pid, current_host ? current_host : "our own network");
	if (current != nothing && current != make_host_network)
		tap_ok(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP) >= 0, "%s: raw sockets are allowed",
		       current_host);
	stop(pid);
}

static void run(void (*make)(void), const char *host, bool user)
{
	current = make;
	current_host = host;
	as_user = user;
	in_child(test_enter);
}

/* What a rule in the target says of its user goes for us. */
static void test_becomes_user(void)
{
	pid_t pid = start(make_user_in_roots_network);
	struct stat st;
	int fd;

	current_host = "roots-01";
	expect_entered(pid, "another user's process");
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	tap_ok(fd >= 0 && fstat(fd, &st) == 0, "raw sockets are allowed");
	tap_ok(st.st_uid == USER && st.st_gid == USER, "our sockets are the target's user's");
	stop(pid);
}

static void expect_refused(const struct target *t, const char *error, const char *hint, const char *name)
{
	struct entry e = { .root = -7 };
	struct error err = { 0 };

	tap_int(agent_enter(t, &e, &err), -1, "%s: refused", name);
	tap_ok(strstr(err.text, error) && strstr(err.hint, hint), "%s: says why and what to do", name);
	printf("# \"%s\" (%s)\n", err.text, err.hint);
	tap_int(e.root, -7, "%s: result untouched", name);
}

static void test_refused(void)
{
	struct target t = target_of(start(nothing));
	struct target file = { .kind = TARGET_NETNS, .text = "netns/x", .netns = "/proc/self/status" };

	stop(t.pid);
	expect_refused(&t, "has ended", "still running", "a process that is gone");
	expect_refused(&file, "entering its network", "", "a file that is no namespace");
	snprintf(file.netns, sizeof(file.netns), "/nowhere/x");
	expect_refused(&file, "opening /nowhere/x: No such file", "", "a name that is gone");
}

static void test_needs_root(void)
{
	pid_t pid = start(make_user_in_roots_network);
	struct target t = target_of(pid);
	char hint[64];

	become_user();
	snprintf(hint, sizeof(hint), "sudo mirrord exec -t pid/%d -- ", pid);
	expect_refused(&t, "Operation not permitted", hint, "our process in root's network");
	t = target_of(getppid());
	snprintf(hint, sizeof(hint), "sudo mirrord exec -t pid/%d -- ", getppid());
	expect_refused(&t, "Permission denied", hint, "root's process");
	kill(pid, SIGKILL);
}

/* A target that is root's by its network's name. */
static void test_name(void)
{
	struct target t = {
		.kind = TARGET_NETNS, .text = "netns/shop", .netns = "/run/netns-of-shop", .etc = "/run/etc"
	};
	struct entry e;
	struct error err = { 0 };
	pid_t pid;
	char path[64], *text;

	enter_own_run();
	pid = start(make_roots_network);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	close(open(t.netns, O_CREAT | O_RDONLY | O_CLOEXEC, 0));
	if (mount(path, t.netns, NULL, MS_BIND, NULL) < 0 || mkdir(t.etc, 0755) < 0)
		abort();
	close(open("/run/etc/resolv.conf", O_CREAT | O_RDONLY | O_CLOEXEC, 0644));
	write_file("/run/etc/resolv.conf", "nameserver 192.0.2.53\n");
	if (agent_enter(&t, &e, &err) < 0)
		tap_str(err.text, "", "a named network: entered");
	tap_ok(namespace_of(0, "net") == namespace_of(pid, "net"), "the network is the one of the name");
	tap_ok(namespace_of(0, "uts") != namespace_of(pid, "uts"), "no host name comes with it");
	text = target_file(&e, "resolv.conf");
	tap_str(text, "nameserver 192.0.2.53\n", "its own resolv.conf");
	free(text);
	text = target_file(&e, "hosts");
	tap_ok(text && access("/etc/hosts", R_OK) == 0, "the machine's hosts");
	free(text);
	tap_int(agent_settle(&e, &err), 0, "settled");
	stop(pid);
}

/* A root directory that tries to make us read something else. */
static const char *root_dir = "/run/root";

static void fill(const char *path, size_t size, char letter)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	char block[4096];

	memset(block, letter, sizeof(block));
	for (size_t n; size; size -= n) {
		n = size < sizeof(block) ? size : sizeof(block);
		if (write(fd, block, n) != (ssize_t)n)
			abort();
	}
	close(fd);
}

static void make_files(const char *kind)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/etc/resolv.conf", root_dir);
	remove(path);
	if (strcmp(kind, "file") == 0)
		fill(path, 10, 'f');
	else if (strcmp(kind, "empty") == 0)
		fill(path, 0, 'e');
	else if (strcmp(kind, "directory") == 0 && mkdir(path, 0755) < 0)
		abort();
	else if (strcmp(kind, "largest") == 0)
		fill(path, 1 << 20, 'l');
	else if (strcmp(kind, "too large") == 0)
		fill(path, (1 << 20) + 1, 'l');
	else if (strcmp(kind, "fifo") == 0 && mkfifo(path, 0644) < 0)
		abort();
	else if (strcmp(kind, "absolute link") == 0 && symlink("/run/stub.conf", path) < 0)
		abort();
	else if (strcmp(kind, "link out") == 0 && symlink("../../../../../../../../run/stub.conf", path) < 0)
		abort();
	else if (strcmp(kind, "link to the machine's") == 0 && symlink("/../../../secret", path) < 0)
		abort();
	else if (strcmp(kind, "magic link") == 0 && symlink("/proc/self/root/run/secret", path) < 0)
		abort();
}

static void make_chroot(void)
{
	if (chroot(root_dir) < 0 || chdir("/") < 0)
		abort();
}

static void test_files(void)
{
	static const struct {
		const char *kind, *want;
		long long len; /* -1: there is none */
	} rows[] = {
		{ "file", "ffffffffff", 10 }, { "largest", NULL, 1 << 20 },
		{ "too large", NULL, -1 },    { "fifo", NULL, -1 },
		{ "empty", "", 0 },	      { "directory", NULL, -1 },
		{ "none", NULL, -1 },	      { "absolute link", "stub", 4 },
		{ "link out", "stub", 4 },    { "link to the machine's", NULL, -1 },
		{ "magic link", NULL, -1 },
	};
	struct target t;
	struct entry e;
	struct error err = { 0 };

	enter_own_run();
	fill("/run/secret", 6, 's');
	if (mkdir("/run/root", 0755) < 0 || mkdir("/run/root/etc", 0755) < 0 || mkdir("/run/root/run", 0755) < 0 ||
	    mkdir("/run/root/proc", 0755) < 0 || mount("/proc", "/run/root/proc", NULL, MS_BIND | MS_REC, NULL) < 0)
		abort();
	close(open("/run/root/run/stub.conf", O_CREAT | O_RDONLY | O_CLOEXEC, 0644));
	write_file("/run/root/run/stub.conf", "stub");
	t = target_of(start(make_chroot));
	if (agent_enter(&t, &e, &err) < 0)
		tap_str(err.text, "", "entered");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text;

		make_files(rows[i].kind);
		text = target_file(&e, "resolv.conf");
		tap_int(text ? (long long)strlen(text) : -1, rows[i].len, "resolv.conf, %s: length", rows[i].kind);
		if (rows[i].want)
			tap_str(text, rows[i].want, "resolv.conf, %s: contents", rows[i].kind);
		free(text);
	}
	stop(t.pid);
}

int main(void)
{
	root = geteuid() == 0 && setresuid(0, USER, 0) == 0 && setresuid(0, 0, 0) == 0;
	run(make_container, "shop-7d9", true);
	run(make_nested, "nested-1", true);
	run(make_host_network, "hostnet1", true);
	run(nothing, NULL, true);
	run(nothing, NULL, false);
	in_child(test_refused);
	in_child(test_files);
	if (root) {
		run(make_container, "shop-7d9", false);
		run(make_nested, "nested-1", false);
		run(make_roots_network, "roots-01", false);
		in_child(test_becomes_user);
		in_child(test_needs_root);
	} else {
		printf("# not root: targets of root's are left out\n");
	}
	in_child(test_name);
	return tap_done();
}
