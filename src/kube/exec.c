// SPDX-License-Identifier: MIT
/* Starting an exec: libcurl makes the connection (proxy and TLS included, CURLOPT_CONNECT_ONLY), the upgrade is ours. */
#include "kube/exec.h"

#include <dlfcn.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "kube/exec_internal.h"
#include "kube/handshake.h"
#include "kube/status.h"

enum { REQUEST_MAX = 65536, ANSWER_TIMEOUT_MS = 20000 };
enum { ATTEMPTS = 20, PAUSE_MS = 100 };
#define PROTOCOLS "v5.channel.k8s.io, v4.channel.k8s.io"

static int make_path(const struct kube_exec_target *t, char *path, size_t room)
{
	char part[4096];
	size_t n;

	kube_path(part, sizeof(part), "/api/v1/namespaces/%s/pods/%s/exec?container=%s&stdin=true&stdout=true&stderr=true", t->namespace,
		  t->pod, t->container);
	n = (size_t)snprintf(path, room, "%s", part);
	for (const char *const *word = t->command; *word && n < room; word++) {
		kube_path(part, sizeof(part), "&command=%s", *word);
		n += (size_t)snprintf(path + n, room - n, "%s", part);
	}
	return n < room ? 0 : -1;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct kube *k = arg;
	struct pollfd p = { .fd = k->cancel, .events = POLLIN };

	return k->cancel >= 0 && poll(&p, 1, 0) > 0;
}

/* OpenSSL asks the socket for a record's head, then for its body, 16 KiB at most; so it asks for as much as there is. Where libcurl has TLS from
 * somebody else this isn't called, and records are read as they come. */
static CURLcode on_tls(CURL *handle, void *context, void *arg)
{
	void *library = dlopen("libssl.so.3", RTLD_LAZY | RTLD_NOLOAD);
	__typeof__(&SSL_CTX_ctrl) set = NULL;
	__typeof__(&SSL_CTX_set_default_read_buffer_len) set_room = NULL;

	if (!library)
		return CURLE_OK;
	*(void **)&set = dlsym(library, "SSL_CTX_ctrl");
	*(void **)&set_room = dlsym(library, "SSL_CTX_set_default_read_buffer_len");
	if (set && set_room) {
		set(context, SSL_CTRL_SET_READ_AHEAD, 1, NULL);
		set_room(context, EXEC_IN);
	}
	dlclose(library);
	return CURLE_OK;
}

static int connect_only(struct kube_exec *e, struct error *err)
{
	const struct curl_api *curl = e->kube->curl;
	char why[CURL_ERROR_SIZE] = "";
	curl_socket_t sock = CURL_SOCKET_BAD;
	CURLcode code;

	curl->easy_setopt(e->handle, CURLOPT_CONNECT_ONLY, 1L);
	curl->easy_setopt(e->handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl->easy_setopt(e->handle, CURLOPT_ERRORBUFFER, why);
	curl->easy_setopt(e->handle, CURLOPT_NOPROGRESS, 0L);
	curl->easy_setopt(e->handle, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl->easy_setopt(e->handle, CURLOPT_XFERINFODATA, e->kube);
	curl->easy_setopt(e->handle, CURLOPT_SSL_CTX_FUNCTION, on_tls);
	code = curl->easy_perform(e->handle);
	if (code == CURLE_OK)
		code = curl->easy_getinfo(e->handle, CURLINFO_ACTIVESOCKET, &sock);
	if (code != CURLE_OK)
		kube_refuse_transfer(e->kube, code, why, err);
	curl->easy_setopt(e->handle, CURLOPT_ERRORBUFFER, NULL);
	e->sock = sock;
	return code == CURLE_OK && sock != CURL_SOCKET_BAD ? 0 : -1;
}

/* Waits for @events on the connection. Returns 0, or -1 with @err. */
static int await(struct kube_exec *e, short events, struct error *err)
{
	struct pollfd p[2] = { { .fd = e->sock, .events = events }, { .fd = e->kube->cancel, .events = POLLIN } };
	int n = poll(p, 2, ANSWER_TIMEOUT_MS);

	if (n < 0 && errno != EINTR)
		return error_set(err, errno, "wait for the cluster");
	if (n == 0)
		return error_set(err, ETIMEDOUT, "wait for the cluster's answer to exec");
	return p[1].revents ? error_set(err, ECANCELED, "wait for the cluster") : 0;
}

static int send_all(struct kube_exec *e, const char *data, size_t len, struct error *err)
{
	while (len) {
		size_t n = 0;
		CURLcode code = e->kube->curl->easy_send(e->handle, data, len, &n);

		if (code == CURLE_AGAIN && await(e, POLLOUT, err) < 0)
			return -1;
		if (code != CURLE_OK && code != CURLE_AGAIN)
			return kube_refuse_transfer(e->kube, code, "", err);
		data += n;
		len -= n;
	}
	return 0;
}

/* What to write in "Host:": the server's URL without scheme and path. */
static void host_of(const struct kube_access *a, char *out, size_t room)
{
	const char *begin = strstr(a->server, "://");

	begin = begin ? begin + 3 : a->server;
	snprintf(out, room, "%.*s", (int)strcspn(begin, "/"), begin);
}

/* The server's URL may have a path of its own. */
static const char *prefix_of(const struct kube_access *a)
{
	const char *begin = strstr(a->server, "://");

	begin = begin ? begin + 3 : a->server;
	return begin + strcspn(begin, "/");
}

static int send_request(struct kube_exec *e, const char *path, const char *key, struct error *err)
{
	const struct kube_access *a = &e->kube->access;
	char *request = malloc(REQUEST_MAX), host[512], basic[512], encoded[BASE64_ROOM(sizeof(basic))];
	size_t n;
	int r;

	if (!request)
		return error_set(err, ENOMEM, "ask the cluster");
	host_of(a, host, sizeof(host));
	n = (size_t)snprintf(request, REQUEST_MAX,
			     "GET %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: mirrord/" VERSION "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
			     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: " PROTOCOLS "\r\n",
			     prefix_of(a), path, host, key);
	if (a->username && n < REQUEST_MAX) {
		snprintf(basic, sizeof(basic), "%s:%s", a->username, a->password ? a->password : "");
		base64_encode((const uint8_t *)basic, strlen(basic), encoded);
		n += (size_t)snprintf(request + n, REQUEST_MAX - n, "Authorization: Basic %s\r\n", encoded);
	}
	for (struct curl_slist *h = e->headers; h && n < REQUEST_MAX; h = h->next)
		if (strncmp(h->data, "Host:", 5) != 0)
			n += (size_t)snprintf(request + n, REQUEST_MAX - n, "%s\r\n", h->data);
	if (n < REQUEST_MAX)
		n += (size_t)snprintf(request + n, REQUEST_MAX - n, "\r\n");
	r = n < REQUEST_MAX ? send_all(e, request, n, err) : error_set(err, EMSGSIZE, "ask the cluster");
	free(request);
	return r;
}

static int receive_answer(struct kube_exec *e, struct handshake_answer *ret, size_t *ret_len, struct error *err)
{
	for (;;) {
		size_t n = 0;
		ssize_t whole;
		CURLcode code = e->kube->curl->easy_recv(e->handle, e->in + e->in_len, sizeof(e->in) - e->in_len, &n);

		if (code == CURLE_AGAIN) {
			if (await(e, POLLIN, err) < 0)
				return -1;
			continue;
		}
		if (code != CURLE_OK)
			return kube_refuse_transfer(e->kube, code, "", err);
		if (n == 0)
			return error_set(err, 0, "the cluster hung up instead of answering to exec");
		e->in_len += n;
		whole = handshake_parse((char *)e->in, e->in_len, ret);
		if (whole < 0) {
			error_set(err, 0, "the cluster's answer to exec is no HTTP");
			return error_hint(err, "is there a proxy in between that doesn't know WebSocket?");
		}
		if (whole > 0) {
			*ret_len = (size_t)whole;
			return 0;
		}
	}
}

/* Besides "get", which a WebSocket's request is, Kubernetes asks for "create", and says nothing when that is missing. */
static int refuse_answer(struct kube_exec *e, const struct handshake_answer *a, struct error *err)
{
	json_t *status = json_loadb((const char *)e->in + a->body, a->body_len, 0, NULL);
	const char *message = json_string_value(json_object_get(status, "message"));
	struct kube_refusal r;

	kube_status_refuse(a->status, status, e->kube->access.origin, "start the agent by exec", err);
	if (a->status == 403 && message && strstr(message, "is forbidden: ") && kube_refusal_parse(message, &r) < 0) {
		r = (struct kube_refusal){ .verb = "create", .resource = "pods/exec" };
		snprintf(r.namespace, sizeof(r.namespace), "%s", e->namespace);
		err->hint[0] = '\0';
		kube_refusal_hint(&r, err);
	}
	json_decref(status);
	return -1;
}

static int check_answer(struct kube_exec *e, const struct handshake_answer *a, const char *accept, struct error *err)
{
	if (a->status != 101)
		return refuse_answer(e, a, err);
	if (strcmp(a->accept, accept) != 0)
		return error_set(err, 0, "the answer to exec is another request's: a cache is in between");
	e->closes_stdin = strcmp(a->protocol, "v5.channel.k8s.io") == 0;
	if (e->closes_stdin || strcmp(a->protocol, "v4.channel.k8s.io") == 0)
		return 0;
	return error_set(err, 0, "the cluster speaks another exec protocol (\"%s\") than ours: " PROTOCOLS, a->protocol);
}

static int shake_hands(struct kube_exec *e, const char *path, long *ret_status, struct error *err)
{
	struct handshake_answer answer = { 0 };
	char key[HANDSHAKE_KEY], accept[BASE64_ROOM(20)];
	uint8_t random[16];
	size_t len = 0;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return error_set(err, errno, "draw random bytes");
	handshake_key(random, key, accept);
	if (send_request(e, path, key, err) < 0 || receive_answer(e, &answer, &len, err) < 0)
		return -1;
	*ret_status = answer.status;
	if (check_answer(e, &answer, accept, err) < 0)
		return -1;
	e->in_at = len;
	log_debug("kube: exec: %s", answer.protocol);
	return 0;
}

struct kube_exec *kube_exec_open(struct kube *k, const struct kube_exec_target *target, long *ret_status, struct error *err)
{
	struct kube_exec *e = calloc(1, sizeof(*e));
	char path[8192];

	*ret_status = 0;
	if (!e || make_path(target, path, sizeof(path)) < 0) {
		error_set(err, e ? EMSGSIZE : ENOMEM, "start the agent by exec");
		free(e);
		return NULL;
	}
	e->kube = k;
	e->namespace = target->namespace;
	e->local = -1;
	e->channel = -1;
	e->masks_at = sizeof(e->masks);
	e->handle = kube_open_handle(k, path, &e->headers, err);
	if (e->handle && connect_only(e, err) == 0 && shake_hands(e, path, ret_status, err) == 0)
		return e;
	kube_exec_free(e);
	return NULL;
}

struct kube_exec *kube_exec_start(struct kube *k, const struct kube_exec_target *target, struct error *err)
{
	static const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	struct kube_exec *e = NULL;
	long status = 0;

	for (int i = 0; i < ATTEMPTS && !e; i++) {
		if (i > 0 && status != 404 && status != 400 && status != 500 && status != 429)
			break;
		if (i > 0)
			nanosleep(&pause, NULL);
		*err = (struct error){ 0 };
		e = kube_exec_open(k, target, &status, err);
	}
	return e;
}
