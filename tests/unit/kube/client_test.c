// SPDX-License-Identifier: MIT
/* Requests, watches and the beginning of an exec, against a server that answers by a script: one connection for each answer. */
#include "kube/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "kube/connection.h"
#include "kube/exec.h"
#include "kube/sha1.h"
#include "tap.h"

#define OK(body) "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: Fri, 27 Nov 2026 04:00:00 GMT\r\n\r\n" body
#define STATUS(line, fields) "HTTP/1.1 " line "\r\nConnection: close\r\nContent-Length: 2\r\n" fields "\r\n{}"
#define ADDED(version) "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"" version "\"}}}\n"
#define BOOKMARK(version) "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"" version "\"}}}\n"
#define GONE "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"too old resource version\"}}\n"
static const char UPGRADE[] = "101", SOCKS[] = "SOCKS"; /* answers that depend on what is asked */
static const char TELL_EXTRA[] = OK("{}"); /* that header is told in place of the first line */

enum { REQUEST = 4096, LINES = 200, RETRIES = 3, PAUSE_MS = 1, PAUSE_MAX_MS = 20 };

struct scene {
	struct kube *kube;
	pid_t server;
	int told;		   /* gets what the server was asked */
	char lines[LINES][REQUEST]; /* the first of each request */
	int n;
};

static void send_text(int fd, const char *text, size_t len)
{
	if (send(fd, text, len, MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* Reads up to @end. */
static void read_until(int fd, const char *end, char text[REQUEST])
{
	size_t len = 0;
	ssize_t n;

	text[0] = '\0';
	while (!strstr(text, end) && len < REQUEST - 1 && (n = recv(fd, text + len, REQUEST - 1 - len, 0)) > 0) {
		len += (size_t)n;
		text[len] = '\0';
	}
}

static void upgrade(int fd, const char *request)
{
	static const char field[] = "Sec-WebSocket-Key: ";
	const char *key = strstr(request, field) + sizeof(field) - 1;
	char joined[128], accept[BASE64_ROOM(SHA1_LEN)], answer[512];
	uint8_t sum[SHA1_LEN];

	snprintf(joined, sizeof(joined), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, "\r"), key);
	sha1(joined, strlen(joined), sum);
	base64_encode(sum, sizeof(sum), accept);
	snprintf(answer, sizeof(answer),
		 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
		 "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n", accept);
	send_text(fd, answer, strlen(answer));
}

/* RFC 1928: tells what it is to connect to, as "name NAME" or "address", and hangs up. */
static void be_proxy(int fd, char text[REQUEST])
{
	static const char no_authentication[] = { 5, 0 };
	uint8_t data[512];
	ssize_t n = recv(fd, data, 2, MSG_WAITALL) == 2 ? recv(fd, data, data[1], MSG_WAITALL) : -1;

	send_text(fd, no_authentication, sizeof(no_authentication));
	n = n < 0 ? -1 : recv(fd, data, sizeof(data), 0);
	if (n > 5 && data[3] == 3)
		snprintf(text, REQUEST, "name %.*s", data[4], data + 5);
	else
		snprintf(text, REQUEST, "address");
}

static void answer(int fd, const char *reply, int told)
{
	char text[REQUEST], *line = text;

	if (reply == SOCKS)
		be_proxy(fd, text);
	else
		read_until(fd, "\r\n\r\n", text);
	if (reply == TELL_EXTRA && !(line = strstr(text, "Impersonate-Extra")))
		_exit(1);
	if (dprintf(told, "%.*s\n", (int)strcspn(line, "\r"), line) < 0)
		_exit(1);
	if (reply == UPGRADE)
		upgrade(fd, text);
	else if (reply != SOCKS)
		send_text(fd, reply, strlen(reply));
	shutdown(fd, SHUT_WR);
	while (recv(fd, text, sizeof(text), 0) > 0)
		;
	close(fd);
}

/* The last answer is given for good. */
static _Noreturn void serve(int listener, const char *const *replies, int told)
{
	for (size_t i = 0;; i += replies[i + 1] != NULL) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			_exit(1);
		answer(fd, replies[i], told);
	}
}

/* @proxy: NULL: none; "socks5://", "http://USER:PASSWORD@": the server is that, and the cluster's is behind it. */
static struct scene *begin_with(const char *const *replies, const char *proxy, json_t *extra)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[2];
	struct kube_access a = { .retries = RETRIES, .retry_min_ms = PAUSE_MS, .retry_max_ms = PAUSE_MAX_MS, .no_proxy = true };
	struct error err = { 0 };
	char *here;

	if (bind(listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(listener, 16) < 0 || pipe(fds) < 0 ||
	    getsockname(listener, (struct sockaddr *)&sa, &len) < 0 ||
	    asprintf(&here, "%s127.0.0.1:%u", proxy ? proxy : "http://", ntohs(sa.sin_port)) < 0)
		abort();
	s->server = fork();
	if (s->server == 0) {
		close(fds[0]); /* what is told to nobody ends it */
		serve(listener, replies, fds[1]);
	}
	close(listener);
	close(fds[1]);
	s->told = fds[0];
	a.origin = strdup("context test");
	a.token_file = strdup("/dev/null"); /* somebody may renew it */
	a.server = proxy ? strdup("http://api.in-the-far-network.test") : here;
	a.proxy = proxy ? here : NULL;
	a.as_extra = extra;
	s->kube = kube_new(&a, &err);
	if (!s->kube)
		abort();
	return s;
}

static struct scene *begin(const char *const *replies)
{
	return begin_with(replies, NULL, NULL);
}

/* Ends the server, and takes what it was asked. */
static void end(struct scene *s)
{
	FILE *f = fdopen(s->told, "r");

	kube_free(s->kube);
	kill(s->server, SIGTERM);
	waitpid(s->server, NULL, 0);
	while (s->n < LINES && fgets(s->lines[s->n], REQUEST, f))
		s->n++;
	fclose(f);
}

static void calls(void)
{
	static const struct {
		const char *name, *method;
		const char *replies[4];
		long status;
		int asked;
	} rows[] = {
		{ "too many requests", NULL, { STATUS("429 Too Many Requests", "Retry-After: 1\r\n"), OK("{}") }, 200, 2 },
		{ "… for very long", NULL, { STATUS("429 Too Many Requests", "Retry-After: 99999999999999999999\r\n"), OK("{}") }, 200, 2 },
		{ "… until a date", NULL, { STATUS("503 Busy", "Retry-After: Fri, 31 Dec 2027 23:59:59 GMT\r\n"), OK("{}") }, 200, 2 },
		{ "a POST that was not carried out", "POST", { STATUS("429 Too Many Requests", "Retry-After: 0\r\n"), OK("{}") }, 200, 2 },
		{ "a POST that may have been", "POST", { STATUS("500 Internal Server Error", ""), OK("{}") }, 500, 1 },
		{ "a server's trouble", NULL, { STATUS("500 Internal Server Error", ""), STATUS("502 Bad Gateway", ""), OK("{}") }, 200, 3 },
		{ "… for good", NULL, { STATUS("500 Internal Server Error", "") }, 500, 1 + RETRIES },
		{ "a token that is too old", NULL, { STATUS("401 Unauthorized", ""), OK("{}") }, 200, 2 },
		{ "… and the new one is no better", NULL, { STATUS("401 Unauthorized", "") }, 401, 2 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scene *s = begin(rows[i].replies);
		struct kube_call c = { .method = rows[i].method, .path = "/api/v1/pods" };
		struct error err = { 0 };

		tap_int(kube_perform(s->kube, &c, 1, &err), 0, "%s: answered", rows[i].name);
		tap_int(c.status, rows[i].status, "%s: status", rows[i].name);
		kube_call_fini(&c);
		end(s);
		tap_int(s->n, rows[i].asked, "%s: asked so often", rows[i].name);
		free(s);
	}
}

static int count_objects(void *arg, const char *type, json_t *object, struct error *err)
{
	int *left = arg;

	return --*left == 0;
}

/* The versions that were asked for, as "-,9,-". */
static char *versions_of(const struct scene *s)
{
	static char text[REQUEST];
	size_t n = 0;

	for (int i = 0; i < s->n; i++) {
		const char *version = strstr(s->lines[i], "&resourceVersion="), *value = version ? version + strlen("&resourceVersion=") : "-";

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", n ? "," : "", (int)strcspn(value, " \n"), value);
	}
	return text;
}

static void watches_go_on(void)
{
	static const struct {
		const char *name;
		const char *replies[5];
		int objects;
		const char *versions;
	} rows[] = {
		{ "behind the last object", { OK(ADDED("4") ADDED("5")), OK(ADDED("6")) }, 3, "-,5" },
		{ "behind a bookmark", { OK(ADDED("5") BOOKMARK("9")), OK(ADDED("10")) }, 2, "-,9" },
		{ "anew, when that is gone", { OK(ADDED("5") GONE), OK(ADDED("5")) }, 2, "-,-" },
		{ "anew, when that is refused as gone", { OK(ADDED("5")), STATUS("410 Gone", ""), OK(ADDED("7")) }, 2, "-,5,-" },
		{ "when the server was busy, and the token is too old then",
		  { OK(ADDED("5")), STATUS("429 Too Many Requests", ""), STATUS("401 Unauthorized", ""), OK(ADDED("7")) }, 2, "-,5,5,5" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scene *s = begin(rows[i].replies);
		int left = rows[i].objects;
		struct kube_watch w = { .path = "/api/v1/pods", .on_object = count_objects, .arg = &left };
		struct error err = { 0 };

		tap_int(kube_watch(s->kube, &w, 1, 20000, &err), 1, "a watch goes on %s: objects", rows[i].name);
		end(s);
		tap_str(versions_of(s), rows[i].versions, "a watch goes on %s: from there", rows[i].name);
		free(s);
	}
}

static void exec_is_patient(void)
{
	static const char *const replies[] = { STATUS("404 Not Found", ""), STATUS("500 Internal Server Error", ""), UPGRADE, NULL };
	static const char *const command[] = { "true", NULL };
	const struct kube_exec_target target = { "test", "shop", "app", command };
	struct scene *s = begin(replies);
	struct error err = { 0 };
	struct kube_exec *e = kube_exec_start(s->kube, &target, &err);

	tap_ok(e != NULL, "an exec into a container that isn't known at first");
	tap_str(err.text, "", "… leaves no error behind");
	kube_exec_free(e);
	end(s);
	tap_int(s->n, 3, "… asked for three times");
	free(s);
}

/* kubectl lets the proxy find the server's name, as Go's net/http does for socks5. */
static void socks_proxy(void)
{
	static const char *const replies[] = { SOCKS, NULL };
	struct scene *s = begin_with(replies, "socks5://", NULL);
	struct kube_call c = { .path = "/version" };
	struct error err = { 0 };

	tap_int(kube_perform(s->kube, &c, 1, &err), -1, "a proxy that refuses");
	end(s);
	tap_str(s->lines[0], "name api.in-the-far-network.test\n", "… was told the server's name");
	free(s);
}

/* A login page, or another server. */
static void no_kubernetes(void)
{
	static const char *const replies[] = { "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>Please log in</html>", NULL };
	struct scene *s = begin(replies);
	struct kube_call c = { .path = "/api/v1/pods" };
	struct error err = { 0 };

	tap_int(kube_do(s->kube, &c, NULL, "list pods", &err), -1, "what is no JSON is no answer");
	tap_str(err.text, "list pods: the server answers with something else than JSON", "… says so");
	tap_ok(strstr(err.hint, "context test") && strstr(err.hint, "proxy"), "… and advises: %s", err.hint);
	end(s);
	free(s);
}

/* What the environment says is for others than this machine; ALL_PROXY is of other programs. */
static void environment_proxy(void)
{
	static const char *const replies[] = { OK("{}"), NULL }, *const names[] = { "HTTP_PROXY", "http_proxy", "ALL_PROXY" };
	static const struct {
		const char *name;
		int variable; /* of names[], which gets the server's address; -1: all get one where nobody is */
		const char *host, *asked; /* NULL: one far away */
	} rows[] = {
		{ "a server far away, HTTP_PROXY", 0, NULL, "GET http://api.in-the-far-network.test/version HTTP/1.1\n" },
		{ "a server far away, http_proxy", 1, NULL, "GET http://api.in-the-far-network.test/version HTTP/1.1\n" },
		{ "a server far away, ALL_PROXY", 2, NULL, "" },
		{ "this machine by name", -1, "localhost", "GET /version HTTP/1.1\n" },
		{ "this machine by address", -1, "127.0.0.1", "GET /version HTTP/1.1\n" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scene *s = begin(replies);
		struct kube_access *a = &s->kube->access;
		struct kube_call c = { .path = "/version" };
		struct error err = { 0 };
		unsigned int port = (unsigned int)atoi(strrchr(a->server, ':') + 1);

		a->no_proxy = false;
		for (int n = 0; n < 3; n++)
			if (rows[i].variable < 0)
				setenv(names[n], "http://127.0.0.1:1", 1);
			else if (n == rows[i].variable)
				setenv(names[n], a->server, 1);
		free(a->server);
		a->server = NULL;
		if (!rows[i].host)
			a->server = strdup("http://api.in-the-far-network.test");
		else if (asprintf(&a->server, "http://%s:%u", rows[i].host, port) < 0)
			abort();
		tap_int(kube_perform(s->kube, &c, 1, &err), *rows[i].asked ? 0 : -1, "%s", rows[i].name);
		kube_call_fini(&c);
		end(s);
		tap_str(s->n ? s->lines[0] : "", rows[i].asked, "%s: what was asked of whom", rows[i].name);
		free(s);
		for (int n = 0; n < 3; n++)
			unsetenv(names[n]);
	}
}

/* Some passwords are tokens. */
static void proxy_with_a_long_password(void)
{
	static const char *const replies[] = { OK("{}"), NULL };
	static char proxy[6000] = "http://me:";
	struct kube_call c = { .path = "/version" };
	struct error err = { 0 };
	struct scene *s;

	memset(proxy + strlen(proxy), 'x', 5000);
	strcat(proxy, "@");
	s = begin_with(replies, proxy, NULL);
	tap_int(kube_perform(s->kube, &c, 1, &err), 0, "a proxy with a long password");
	tap_str(err.text, "", "… is found");
	kube_call_fini(&c);
	end(s);
	tap_str(s->lines[0], "GET http://api.in-the-far-network.test/version HTTP/1.1\n", "… and asked");
	free(s);
}

/* As Kubernetes' own clients do, since a header's name can't have all that a key can. */
static void extra_of_whom_we_stand_for(void)
{
	static const char *const replies[] = { TELL_EXTRA, NULL };
	struct scene *s = begin_with(replies, NULL, json_pack("{s:[s]}", "example.org/50% off", "yes"));
	struct kube_call c = { .path = "/version" };
	struct error err = { 0 };

	tap_int(kube_perform(s->kube, &c, 1, &err), 0, "a key of as-user-extra");
	kube_call_fini(&c);
	end(s);
	tap_str(s->lines[0], "Impersonate-Extra-example.org%2F50%25%20off: yes\n", "… is escaped");
	free(s);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	calls();
	watches_go_on();
	exec_is_patient();
	socks_proxy();
	no_kubernetes();
	environment_proxy();
	proxy_with_a_long_password();
	extra_of_whom_we_stand_for();
	return tap_done();
}
