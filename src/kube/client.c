// SPDX-License-Identifier: MIT
/* Calls: transfers of one curl multi handle, so that those of a kube_perform() share a connection and a round trip.
 *
 * A call is made again when that can't do harm: 429 and 503 with "Retry-After" were not carried out; a GET changes nothing, so a
 * broken connection and any 5xx will do. Then with back-off, kube_access.retries times; a server that was there before may be starting anew, and a
 * server that never answered is the wrong one. 401 is tried once more with a fresh credential. */
#include "kube/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/text.h"
#include "kube/connection.h"
#include "kube/status.h"

enum { DOUBLINGS = 16, ANSWER_MAX = 64 << 20, CALL_TIMEOUT_MS = 30000 };

struct transfer {
	struct kube *kube;
	struct kube_call *call;
	CURL *handle;
	struct curl_slist *headers;
	char *sent, why[CURL_ERROR_SIZE];
	struct text answer;
	long retry_after; /* seconds; -1: not said */
	CURLcode code;
	bool done;
};

struct kube *kube_new(struct kube_access *access, struct error *err)
{
	struct kube *k = calloc(1, sizeof(*k));

	if (!k) {
		kube_access_fini(access);
		error_set(err, ENOMEM, "talk to the cluster");
		return NULL;
	}
	k->access = *access;
	*access = (struct kube_access){ 0 };
	k->cancel = -1;
	k->curl = curl_load(err);
	k->multi = k->curl ? k->curl->multi_init() : NULL;
	if (k->curl && !k->multi)
		error_set(err, ENOMEM, "talk to the cluster");
	if (!k->multi) {
		kube_free(k);
		return NULL;
	}
	return k;
}

void kube_free(struct kube *k)
{
	if (!k)
		return;
	if (k->multi)
		k->curl->multi_cleanup(k->multi);
	if (k->connect_to)
		k->curl->slist_free_all(k->connect_to);
	kube_access_fini(&k->access);
	kube_credential_fini(&k->credential);
	free(k);
}

/* The old handle isn't cleaned up: that would end the parent's connections. */
int kube_after_fork(struct kube *k)
{
	k->multi = k->curl->multi_init();
	return k->multi ? 0 : -1;
}

void kube_forget_connections(struct kube *k)
{
	CURLM *fresh = k->curl->multi_init();

	if (!fresh)
		return;
	k->curl->multi_cleanup(k->multi);
	k->multi = fresh;
}

const struct kube_access *kube_access_of(const struct kube *k)
{
	return &k->access;
}

void kube_set_cancel(struct kube *k, int fd)
{
	k->cancel = fd;
}

int kube_get_cancel(const struct kube *k)
{
	return k->cancel;
}

static size_t escape(char *out, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n + 4 < room; text++) {
		if (isalnum((unsigned char)*text) || strchr("-._~", *text))
			out[n++] = *text;
		else
			n += (size_t)snprintf(out + n, room - n, "%%%02X", (unsigned char)*text);
	}
	return n;
}

void kube_path(char *out, size_t room, const char *format, ...)
{
	size_t n = 0;
	va_list ap;

	va_start(ap, format);
	for (; *format && n + 1 < room; format++) {
		if (format[0] == '%' && format[1] == 's') {
			n += escape(out + n, room - n, va_arg(ap, const char *));
			format++;
		} else {
			out[n++] = *format;
		}
	}
	out[n] = '\0';
	va_end(ap);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	n *= size;
	return text_add(&t->answer, data, n, ANSWER_MAX) ? n : 0;
}

/* `Warning: 299 - "would violate PodSecurity \"restricted\"…"` */
static void note_warning(struct kube_call *c, const char *value, size_t len)
{
	const char *quote = memchr(value, '"', len), *end = memrchr(value, '"', len);
	size_t n = strlen(c->warning);

	if (n && n + 2 < sizeof(c->warning))
		n += (size_t)snprintf(c->warning + n, sizeof(c->warning) - n, "; ");
	for (const char *at = quote ? quote + 1 : NULL; at && at < end && n + 1 < sizeof(c->warning); at++)
		if (*at != '\\')
			c->warning[n++] = *at;
	c->warning[n] = '\0';
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct tm tm = { 0 };
	char text[64];

	n *= size;
	if (n > 8 && strncasecmp(line, "Warning:", 8) == 0)
		note_warning(t->call, line + 8, n - 8);
	if (n > 5 && n < sizeof(text) && strncasecmp(line, "Date:", 5) == 0) {
		snprintf(text, sizeof(text), "%.*s", (int)n, line);
		if (strptime(text + 5, " %a, %d %b %Y %H:%M:%S GMT", &tm))
			t->call->date = timegm(&tm);
	}
	if (n > 12 && strncasecmp(line, "Retry-After:", 12) == 0)
		t->retry_after = strtol(line + 12, NULL, 10);
	return n;
}

static int set_body(struct transfer *t, struct error *err)
{
	const struct curl_api *curl = t->kube->curl;
	const struct kube_call *c = t->call;

	if (c->method)
		curl->easy_setopt(t->handle, CURLOPT_CUSTOMREQUEST, c->method);
	if (!c->body)
		return 0;
	t->sent = json_dumps(c->body, JSON_COMPACT);
	if (!t->sent || kube_add_header(t->kube, &t->headers, "Content-Type", c->type ? c->type : "application/json") < 0)
		return error_set(err, ENOMEM, "ask the cluster");
	curl->easy_setopt(t->handle, CURLOPT_POSTFIELDS, t->sent);
	curl->easy_setopt(t->handle, CURLOPT_POSTFIELDSIZE, (long)strlen(t->sent));
	return 0;
}

static void transfer_fini(struct transfer *t)
{
	const struct curl_api *curl = t->kube->curl;

	if (t->handle) {
		curl->multi_remove_handle(t->kube->multi, t->handle);
		curl->easy_cleanup(t->handle);
	}
	curl->slist_free_all(t->headers);
	free(t->sent);
	free(t->answer.at);
	*t = (struct transfer){ .kube = t->kube, .call = t->call };
}

static int transfer_start(struct transfer *t, struct error *err)
{
	const struct curl_api *curl = t->kube->curl;

	t->retry_after = -1;
	kube_call_fini(t->call);
	t->handle = kube_open_handle(t->kube, t->call->path, &t->headers, err);
	if (!t->handle || set_body(t, err) < 0)
		return -1;
	kube_add_header(t->kube, &t->headers, "Accept", "application/json");
	curl->easy_setopt(t->handle, CURLOPT_HTTPHEADER, t->headers);
	curl->easy_setopt(t->handle, CURLOPT_WRITEFUNCTION, on_body);
	curl->easy_setopt(t->handle, CURLOPT_WRITEDATA, t);
	curl->easy_setopt(t->handle, CURLOPT_HEADERFUNCTION, on_header);
	curl->easy_setopt(t->handle, CURLOPT_HEADERDATA, t);
	curl->easy_setopt(t->handle, CURLOPT_ERRORBUFFER, t->why);
	curl->easy_setopt(t->handle, CURLOPT_TIMEOUT_MS, (long)CALL_TIMEOUT_MS);
	curl->easy_setopt(t->handle, CURLOPT_PRIVATE, t);
	if (curl->multi_add_handle(t->kube->multi, t->handle) != CURLM_OK)
		return error_set(err, ENOMEM, "ask the cluster");
	return 0;
}

static bool is_get(const struct kube_call *c)
{
	return !c->method || strcmp(c->method, "GET") == 0;
}

/* Milliseconds to wait before the next attempt; -1 when this answer stands. */
static long retry_delay(const struct transfer *t, int attempt)
{
	const struct kube_call *c = t->call;
	const struct kube_access *a = &t->kube->access;
	long pause = (long)backoff(a->retry_min_ms, (unsigned int)attempt, DOUBLINGS);
	bool asked = (c->status == 429 || c->status == 503) && t->retry_after >= 0;

	if (pause > (long)a->retry_max_ms)
		pause = (long)a->retry_max_ms;
	if ((unsigned int)attempt >= a->retries)
		return c->status == 401 && attempt == 0 && kube_renew_credential(t->kube) ? 0 : -1;
	if (t->code != CURLE_OK)
		return t->kube->reached && is_get(c) && t->code != CURLE_PEER_FAILED_VERIFICATION ? pause : -1;
	if (c->status == 401 && attempt == 0 && kube_renew_credential(t->kube))
		return 0;
	if (asked && t->retry_after > pause / 1000)
		pause = t->retry_after < (long)a->retry_max_ms / 1000 ? t->retry_after * 1000 : (long)a->retry_max_ms;
	return asked || c->status == 429 || (is_get(c) && c->status >= 500) ? pause : -1;
}

/* The transfers that are done in this turn. */
static void collect(struct kube *k)
{
	CURLMsg *m;
	int left;

	while ((m = k->curl->multi_info_read(k->multi, &left))) {
		struct transfer *t = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		k->curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		t->code = m->data.result;
		k->curl->easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &t->call->status);
		t->done = true;
	}
}

int kube_wait(struct kube *k, int ms, struct error *err)
{
	struct curl_waitfd cancel = { .fd = k->cancel, .events = CURL_WAIT_POLLIN };

	k->curl->multi_poll(k->multi, k->cancel >= 0 ? &cancel : NULL, k->cancel >= 0, ms, NULL);
	return cancel.revents ? error_set(err, ECANCELED, "ask the cluster") : 0;
}

static int pause_for(struct kube *k, long ms, struct error *err)
{
	struct timespec begin, now;
	long past = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (past < ms) {
		if (kube_wait(k, (int)(ms - past), err) < 0)
			return -1;
		clock_gettime(CLOCK_MONOTONIC, &now);
		past = (now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000;
	}
	return 0;
}

static int run_all(struct kube *k, const struct transfer *t, size_t n, struct error *err)
{
	for (;;) {
		size_t done = 0;
		int running;

		k->curl->multi_perform(k->multi, &running);
		collect(k);
		for (size_t i = 0; i < n; i++)
			done += t[i].done;
		if (done == n)
			return 0;
		if (kube_wait(k, 1000, err) < 0)
			return -1;
	}
}

static void finish(struct transfer *t)
{
	struct kube_call *c = t->call;

	t->kube->reached = true;
	c->answer = t->answer.at ? json_loadb(t->answer.at, t->answer.len, JSON_DECODE_ANY, NULL) : NULL;
	log_debug("kube: %s %s: %ld%s%s", c->method ? c->method : "GET", c->path, c->status, c->warning[0] ? ", " : "", c->warning);
}

/* One more attempt for those that need it. Returns how many that are, and the wait before it. */
static size_t sort_out(struct transfer *t, size_t n, int attempt, long *ret_wait, struct error *err)
{
	size_t again = 0;

	*ret_wait = 0;
	for (size_t i = 0; i < n; i++) {
		long wait;

		if (!t[i].handle)
			continue;
		wait = retry_delay(&t[i], attempt);
		if (wait >= 0) {
			log_debug("kube: %s: status %ld, %s: again in %ld ms", t[i].call->path, t[i].call->status,
				  t[i].kube->curl->easy_strerror(t[i].code), wait);
			*ret_wait = wait > *ret_wait ? wait : *ret_wait;
			again++;
		} else if (t[i].code != CURLE_OK) {
			kube_refuse_transfer(t[i].kube, t[i].code, t[i].why, err);
		} else {
			finish(&t[i]);
		}
		transfer_fini(&t[i]);
		t[i].done = wait < 0;
	}
	return again;
}

static int perform(struct kube *k, struct transfer *t, size_t n, struct error *err)
{
	for (int attempt = 0;; attempt++) {
		size_t again;
		long wait;

		for (size_t i = 0; i < n; i++)
			if (!t[i].done && transfer_start(&t[i], err) < 0)
				return -1;
		if (run_all(k, t, n, err) < 0)
			return -1;
		again = sort_out(t, n, attempt, &wait, err);
		if (error_is_set(err))
			return -1;
		if (!again)
			return 0;
		if (pause_for(k, wait, err) < 0)
			return -1;
	}
}

int kube_perform(struct kube *k, struct kube_call *calls, size_t n, struct error *err)
{
	struct transfer *t = calloc(n, sizeof(*t));
	int r;

	if (!t)
		return error_set(err, ENOMEM, "ask the cluster");
	for (size_t i = 0; i < n; i++)
		t[i] = (struct transfer){ .kube = k, .call = &calls[i] };
	r = perform(k, t, n, err);
	for (size_t i = 0; i < n; i++) {
		transfer_fini(&t[i]);
		if (r < 0)
			kube_call_fini(&calls[i]);
	}
	free(t);
	return r;
}

void kube_call_fini(struct kube_call *c)
{
	json_decref(c->answer);
	c->answer = NULL;
	c->status = 0;
	c->warning[0] = '\0';
}

bool kube_call_succeeded(const struct kube_call *c)
{
	return c->status >= 200 && c->status < 300 && json_is_object(c->answer);
}

int kube_call_refuse(const struct kube *k, const struct kube_call *c, const char *what, struct error *err)
{
	return kube_status_refuse(c->status, c->answer, k->access.origin, what, err);
}

int kube_do(struct kube *k, struct kube_call *c, json_t **ret, const char *what, struct error *err)
{
	int r = kube_perform(k, c, 1, err);

	if (r < 0)
		return error_wrap(err, "%s", what);
	if (!kube_call_succeeded(c))
		r = kube_call_refuse(k, c, what, err);
	if (r == 0 && ret)
		*ret = json_incref(c->answer);
	kube_call_fini(c);
	return r;
}
