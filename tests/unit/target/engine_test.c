// SPDX-License-Identifier: MIT
/* Asking container engines: a server of our own on the socket says what engines say (and what they never should). Our
 * own process plays the container's: a mount of it carries the container's id, as those of real ones do. */
#include "target/engine.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tap.h"
#include "target/http.h"
#include "target/own_run.h"

#define ID    "3f4e8a2b9c1d7e6f5a0b3f4e8a2b9c1d7e6f5a0b3f4e8a2b9c1d7e6f5a0b1234"
#define OTHER "aaaa8a2b9c1d7e6f5a0b3f4e8a2b9c1d7e6f5a0b3f4e8a2b9c1d7e6f5a0b1234"

/* @body may hold %d: our process id. */
static const struct {
	const char *name, *status, *body;
	const char *error, *hint; /* parts that must be there; NULL: it is found */
} rows[] = {
	{ "shop", "200 OK",
	  "{\"Id\":\"" ID "\",\"State\":{\"Status\":\"running\",\"Running\":true,\"Pid\":%d},\"Name\":\"/shop\"}", NULL,
	  NULL },
	{ "a.b_c-1", "200 OK", "{\"Id\":\"" ID "\",\"State\":{\"Running\":true,\"Pid\":%d}}", NULL, NULL },
	{ "3f4e8a2b9c1d", "200 OK", "{\"Id\":\"" ID "\",\"State\":{\"Running\":true,\"Pid\":%d}}", NULL, NULL },
	{ "stopped", "200 OK", "{\"Id\":\"" ID "\",\"State\":{\"Status\":\"exited\",\"Running\":false,\"Pid\":0}}",
	  "container \"stopped\" is not running (exited)", "docker start stopped" },
	{ "stranger", "200 OK", "{\"Id\":\"" OTHER "\",\"State\":{\"Running\":true,\"Pid\":%d}}",
	  "that is another process here", "Docker Desktop" },
	{ "elsewhere", "200 OK", "{\"Id\":\"" ID "\",\"State\":{\"Running\":true,\"Pid\":2147483647}}",
	  "that is no process here", "Docker Desktop" },
	{ "nopid", "200 OK", "{\"Id\":\"" ID "\",\"State\":{\"Running\":true,\"Pid\":0}}", "tells no process",
	  "pid/N" },
	{ "minus", "200 OK", "{\"Id\":\"" ID "\",\"State\":{\"Running\":true,\"Pid\":-1}}", "tells no process",
	  "pid/N" },
	{ "large", "200 OK", "{\"Id\":\"" ID "\",\"State\":{\"Running\":true,\"Pid\":4294967297}}", "tells no process",
	  "pid/N" },
	{ "word", "200 OK", "{\"Id\":\"" ID "\",\"State\":{\"Running\":true,\"Pid\":\"1\"}}",
	  "not one about a container", "" },
	{ "noid", "200 OK", "{\"Id\":\"\",\"State\":{\"Running\":true,\"Pid\":%d}}", "not one about a container", "" },
	{ "nostate", "200 OK", "{\"Id\":\"" ID "\"}", "not one about a container", "" },
	{ "list", "200 OK", "[1,2]", "not one about a container", "" },
	{ "cut", "200 OK", "{\"Id\":\"" ID "\",\"State\":", "not one about a container", "" },
	{ "text", "200 OK", "hello", "not one about a container", "" },
	{ "nothing", "200 OK", "", "not one about a container", "" },
	{ "missing", "404 Not Found", "{\"message\":\"No such container: missing\"}",
	  "docker has no container \"missing\" (asked on /run/", "running are: shop, payment" },
	{ "broken", "500 Internal Server Error", "{\"message\":\"the disk is\\nfull\"}",
	  "HTTP status 500: the disk is full", "" },
	{ "teapot", "418 I'm a teapot", "short and stout", "HTTP status 418: short and stout", "" },
	{ "bare", "503 Service Unavailable", "", "HTTP status 503: (nothing)", "" },
	{ "garbage", "", "\x16\x03\x01 this is not HTTP\r\n\r\n", "asking docker: /run/", "" },
	{ "huge", "200 OK", NULL, "the answer is longer than", "" },
};

static const char *running = "[{\"Id\":\"1\",\"Names\":[\"/shop\"]},{\"Names\":[\"/payment\",\"/"
			     "x\"]},{\"Names\":[]},{\"Names\":[\"/e\\u001b[1m\"]},7]";

static void say(int fd, const char *text)
{
	for (size_t left = strlen(text); left;) {
		ssize_t n = send(fd, text, left, MSG_NOSIGNAL);

		if (n < 0)
			return;
		text += n;
		left -= (size_t)n;
	}
}

static void say_huge(int fd)
{
	static char block[65537];

	memset(block, ' ', sizeof(block) - 1);
	for (size_t sent = 0; sent < 2 * (size_t)HTTP_ANSWER_MAX; sent += sizeof(block) - 1)
		say(fd, block);
}

static void answer(int fd, int pid)
{
	char request[4096] = "", path[256], body[1024], head[256];
	size_t len = 0;
	ssize_t n;

	while (!strstr(request, "\r\n\r\n") && (n = read(fd, request + len, sizeof(request) - 1 - len)) > 0)
		len += (size_t)n;
	if (strncmp(request, "GET /containers/json HTTP/1.1\r\n", 31) == 0) {
		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(running));
		say(fd, head);
		say(fd, running);
		return;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "GET /containers/%s/json HTTP/1.1\r\n", rows[i].name);
		if (strncmp(request, path, strlen(path)) != 0)
			continue;
		if (rows[i].status[0]) {
			snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nConnection: close\r\n\r\n", rows[i].status);
			say(fd, head);
		}
		if (!rows[i].body) {
			say_huge(fd);
		} else {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(body, sizeof(body), rows[i].body, pid);
#pragma GCC diagnostic pop
			say(fd, body);
		}
		return;
	}
	if (strncmp(request, "GET /silent ", 12) == 0)
		pause();
	say(fd, "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{}");
}

static int listen_at(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, 8) < 0)
		abort();
	return fd;
}

/* A process that answers at @path and ends with us. */
static void serve(const char *path)
{
	int fd = listen_at(path), pid = getpid();

	fflush(stdout);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int one = accept(fd, NULL, NULL);

			if (one >= 0 && fork() == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				answer(one, pid);
				_exit(0);
			}
			close(one);
		}
	}
	close(fd);
}

static void expect(enum engine engine, const char *container, const char *error, const char *hint, const char *name)
{
	struct error err = { 0 };
	int pid = engine_container_pid(engine, container, &err);

	if (!error) {
		tap_int(pid, getpid(), "%s: found", name);
		tap_str(err.text, "", "%s: no error", name);
		return;
	}
	tap_int(pid, -1, "%s: refused", name);
	tap_ok(strstr(err.text, error) && strstr(err.hint, hint), "%s: says why and what to do", name);
	printf("# \"%s\" (%s)\n", err.text, err.hint);
	tap_ok(!strpbrk(err.text, "\n\x1b") && !strpbrk(err.hint, "\n\x1b"), "%s: in one line", name);
}

static void test_missing(void)
{
	expect(ENGINE_DOCKER, "shop", "/run/docker.sock: No such file", "systemctl start docker", "no docker");
	expect(ENGINE_PODMAN, "shop", "/run/user/7/podman/podman.sock: No such file", "systemctl start podman.socket",
	       "no podman");
	setenv("DOCKER_HOST", "tcp://10.0.0.1:2375", 1);
	expect(ENGINE_DOCKER, "shop", "DOCKER_HOST is \"tcp://10.0.0.1:2375\"", "unset DOCKER_HOST",
	       "docker elsewhere");
	setenv("DOCKER_HOST", "unix:///run/none.sock", 1);
	expect(ENGINE_DOCKER, "shop", "DOCKER_HOST says /run/none.sock: No such file", "start",
	       "DOCKER_HOST without a socket");
	setenv("CONTAINER_HOST", "ssh://core@host/run/podman.sock", 1);
	expect(ENGINE_PODMAN, "shop", "CONTAINER_HOST is \"ssh://core@host/run/podman.sock\"", "unset CONTAINER_HOST",
	       "podman elsewhere");
	setenv("CONTAINER_HOST",
	       "unix:///run/a-path-of-more-than-the-108-bytes-that-fit-into-the-address-of-a-unix-"
	       "socket-together-with-its-end-as-the-manual-unix-7-says",
	       1);
	expect(ENGINE_PODMAN, "shop", "File name too long", "", "a path that is too long");
	unsetenv("CONTAINER_HOST");
	unsetenv("DOCKER_HOST");
	close(listen_at("/run/docker.sock"));
	expect(ENGINE_DOCKER, "shop", "/run/docker.sock: Connection refused", "systemctl start docker",
	       "nobody listens");
	unlink("/run/docker.sock");
}

static void test_names(void)
{
	static const char *const names[] = { "a/b", "..", "-x", "a b", "a%2fb", "a?b", "\xc3\xa4", "/a" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		expect(ENGINE_DOCKER, names[i], "is not a name of a container", "docker ps", names[i]);
}

/* Without capabilities even root needs the permission that the file does not give. */
static void test_forbidden(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (chmod("/run/docker.sock", 0) < 0 || syscall(SYS_capset, &head, none) < 0)
		abort();
	expect(ENGINE_DOCKER, "shop", "docker may not be asked by you: /run/docker.sock: Permission denied",
	       "sudo mirrord exec -t docker/shop -- ", "a forbidden socket");
}

static void test_http(void)
{
	struct http_answer a;
	struct error err = { 0 };

	tap_int(http_get("/run/docker.sock", "/silent", 100, &a, &err), -1, "a server that says nothing");
	tap_ok(strstr(err.text, "timed out"), "times out: %s", err.text);
	tap_int(http_get("/run/none.sock", "/", 1000, &a, &err), ENOENT, "no server");
}

int main(void)
{
	enter_own_run();
	if (mkdir("/run/" ID, 0755) < 0 || mount(ID, "/run/" ID, "tmpfs", 0, NULL) < 0)
		abort();
	unsetenv("DOCKER_HOST");
	unsetenv("CONTAINER_HOST");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	setenv("http_proxy", "http://192.0.2.1:3128", 1);
	test_missing();
	test_names();
	serve("/run/docker.sock");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect(ENGINE_DOCKER, rows[i].name, rows[i].error, rows[i].hint, rows[i].name);
	if (mkdir("/run/user", 0755) < 0 || mkdir("/run/user/7", 0755) < 0 || mkdir("/run/user/7/podman", 0755) < 0 ||
	    mkdir("/run/podman", 0755) < 0)
		abort();
	close(listen_at("/run/user/7/podman/podman.sock"));
	serve("/run/podman/podman.sock");
	expect(ENGINE_PODMAN, "shop", NULL, NULL, "root's podman where the user's does not answer");
	expect(ENGINE_PODMAN, "stopped", "is not running", "podman start stopped", "podman's words");
	setenv("DOCKER_HOST", "unix:///run/podman/podman.sock", 1);
	unlink("/run/docker.sock");
	expect(ENGINE_DOCKER, "shop", NULL, NULL, "by DOCKER_HOST");
	unsetenv("DOCKER_HOST");
	serve("/run/docker.sock");
	test_http();
	test_forbidden();
	return tap_done();
}
