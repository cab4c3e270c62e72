// SPDX-License-Identifier: MIT
/* A container's process among others: a directory plays /proc, with control groups as the runtimes name them. */
#include "agent/container.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "tap.h"

#define ID    "3f4e8a2b9c1d7e6f5a0b3f4e8a2b9c1d7e6f5a0b3f4e8a2b9c1d7e6f5a0b1234"
#define OTHER "aaaa8a2b9c1d7e6f5a0b3f4e8a2b9c1d7e6f5a0b3f4e8a2b9c1d7e6f5a0b1234"

static char dir[] = "/tmp/container-test-XXXXXX";

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

static void add_process(int pid, unsigned long long start, const char *name, const char *groups)
{
	char path[100], stat[200];

	snprintf(path, sizeof(path), "%s/%d", dir, pid);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%d/cgroup", dir, pid);
	write_file(path, groups);
	snprintf(path, sizeof(path), "%s/%d/stat", dir, pid);
	snprintf(stat, sizeof(stat), "%d (%s) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 %llu 1 2\n", pid, name, start);
	write_file(path, stat);
}

static const struct {
	const char *name, *groups;
} runtimes[] = {
	{ "containerd, v2", "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope\n" },
	{ "containerd, cgroupfs, v1", "2:cpu:/kubepods/besteffort/pod1/" ID "\n1:name=systemd:/kubepods/besteffort/pod1/" ID "\n" },
	{ "CRI-O", "0::/kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope\n" },
	{ "CRI-O, below its scope", "0::/kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope/container\n" },
	{ "docker", "0::/kubepods/pod1/" ID "\n" },
	{ "docker, systemd", "0::/system.slice/docker-" ID ".scope\n" },
	{ "seen from another cgroup namespace", "0::/../cri-containerd-" ID ".scope/init.scope\n" },
};

static void test_runtimes(void)
{
	struct error err = { 0 };

	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		add_process(70, 900, "app) S 1 (x", runtimes[i].groups);
		tap_int(container_find(dir, ID, &err), 70, "%s", runtimes[i].name);
	}
}

static void test_first(void)
{
	struct error err = { 0 };

	add_process(60, 5000, "sh", runtimes[0].groups); /* numbers wrap around: a later process may have a lower one */
	add_process(80, 901, "worker", runtimes[0].groups);
	add_process(70, 900, "app", runtimes[0].groups);
	tap_int(container_find(dir, ID, &err), 70, "the process that started first");
}

/* It is of the node, and was there before. */
static void test_watcher(void)
{
	static const char *const groups[] = { "0::/system.slice/crio-conmon-" ID ".scope\n",
					      "0::/kubepods.slice/kubepods-pod1.slice/crio-conmon-" ID ".scope\n",
					      "3:pids:/crio-conmon-" ID "\n1:name=systemd:/crio-conmon-" ID "\n" };
	struct error err = { 0 };

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		add_process(69, 890, "conmon", groups[i]);
		tap_int(container_find(dir, ID, &err), 70, "not the process by which CRI-O watches over it, %zu", i);
	}
}

static void test_none(void)
{
	struct error err = { 0 };

	tap_int(container_find(dir, OTHER, &err), -1, "another container");
	tap_ok(strstr(err.text, "no process here belongs to container aaaa8a2b9c1d…") && strstr(err.hint, "hostPID"), "%s", err.text);
	tap_int(container_find(dir, "3f4e8a2b9c1d7e6f5a0b3f4e8a2b9c1d", &err), -1, "the beginning of an id is another id");
	tap_int(container_find(dir, "shop", &err), -1, "too short for an id: %s", err.text);
	tap_int(container_find("/nowhere", ID, &err), -1, "no /proc: %s", err.text);
}

int main(void)
{
	char path[200];

	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/sys", dir);
	mkdir(path, 0700);
	add_process(50, 1, "init", "0::/init.scope\n");
	add_process(51, 2, "pause", "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" OTHER "x.scope\n");
	test_runtimes();
	test_first();
	test_watcher();
	test_none();
	snprintf(path, sizeof(path), "rm -r %s", dir);
	tap_int(system(path), 0, "nothing is left");
	return tap_done();
}
