// SPDX-License-Identifier: MIT
/* Watches.
 *
 * A watch without a resourceVersion gives every object that there is as ADDED and goes on from there, so no list is needed before it. It ends
 * now and then (the server's time limit, a broken connection): then it goes on from the last resourceVersion that an object or a bookmark
 * told. When that is too old (410 Gone, as a status or as an ERROR object) it starts anew without one. Failures back off; one that asking
 * again won't change (403, 404) is the caller's to know. */
#include "kube/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/text.h"
#include "kube/connection.h"
#include "kube/status.h"

enum { LINE_MAX_BYTES = 16 << 20, BACKOFF_MS = 100, BACKOFF_DOUBLINGS = 6, SERVER_TIMEOUT_S = 300 };

struct stream {
	struct kube *kube;
	struct kube_watch *watch;
	CURL *handle;
	struct curl_slist *headers;
	char version[64], why[CURL_ERROR_SIZE];
	struct text line;
	int failures;
	bool renewed;	  /* the credential, since there was an answer other than 401 */
	int64_t again_at; /* ms; when the next attempt is due while there is no handle */
	bool given_up;
	int result; /* of on_object */
	struct error *err;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void note_version(struct stream *s, const json_t *object)
{
	const char *version = json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));

	if (version)
		snprintf(s->version, sizeof(s->version), "%s", version);
}

static void handle_line(struct stream *s)
{
	json_t *event = json_loadb(s->line.at, s->line.len, 0, NULL), *object = json_object_get(event, "object");
	const char *type = json_string_value(json_object_get(event, "type"));

	if (type && strcmp(type, "ERROR") == 0) {
		log_debug("kube: watch %s: %s", s->watch->path, json_string_value(json_object_get(object, "message")));
		s->version[0] = '\0';
	} else if (type && object) {
		s->failures = 0;
		note_version(s, object);
		if (strcmp(type, "BOOKMARK") != 0)
			s->result = s->watch->on_object(s->watch->arg, type, object, s->err);
	}
	json_decref(event);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct stream *s = arg;
	size_t left = n *= size;
	long status = 0;

	s->kube->curl->easy_getinfo(s->handle, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) /* one Status object, in however many lines */
		return text_add(&s->line, data, n, LINE_MAX_BYTES) ? n : 0;
	while (left && !s->result) {
		const char *end = memchr(data, '\n', left);
		size_t part = end ? (size_t)(end - data) + 1 : left;

		if (!text_add(&s->line, data, part, LINE_MAX_BYTES))
			return 0;
		data += part;
		left -= part;
		if (end) {
			handle_line(s);
			s->line.len = 0;
		}
	}
	return n;
}

static void stream_stop(struct stream *s)
{
	if (s->handle) {
		s->kube->curl->multi_remove_handle(s->kube->multi, s->handle);
		s->kube->curl->easy_cleanup(s->handle);
	}
	s->kube->curl->slist_free_all(s->headers);
	s->handle = NULL;
	s->headers = NULL;
	s->line.len = 0;
}

static int stream_start(struct stream *s, struct error *err)
{
	const struct curl_api *curl = s->kube->curl;
	char path[1400];

	snprintf(path, sizeof(path), "%s%cwatch=true&allowWatchBookmarks=true&timeoutSeconds=%d%s%s", s->watch->path,
		 strchr(s->watch->path, '?') ? '&' : '?', SERVER_TIMEOUT_S, s->version[0] ? "&resourceVersion=" : "", s->version);
	s->handle = kube_open_handle(s->kube, path, &s->headers, err);
	if (!s->handle)
		return -1;
	curl->easy_setopt(s->handle, CURLOPT_HTTPHEADER, s->headers);
	curl->easy_setopt(s->handle, CURLOPT_WRITEFUNCTION, on_body);
	curl->easy_setopt(s->handle, CURLOPT_WRITEDATA, s);
	curl->easy_setopt(s->handle, CURLOPT_ERRORBUFFER, s->why);
	curl->easy_setopt(s->handle, CURLOPT_PRIVATE, s);
	if (curl->multi_add_handle(s->kube->multi, s->handle) != CURLM_OK)
		return error_set(err, ENOMEM, "watch the cluster");
	return 0;
}

/* What the answer, other than 200, says: try again, start anew, or give up. @code of the transfer. */
static int stream_ended(struct stream *s, CURLcode code, struct error *err)
{
	long status = 0;
	json_t *answer;
	int r = 0;

	s->kube->curl->easy_getinfo(s->handle, CURLINFO_RESPONSE_CODE, &status);
	log_debug("kube: watch %s: ended: %ld, %s", s->watch->path, status, code == CURLE_OK ? "as it should" : s->why);
	answer = status != 200 && s->line.len ? json_loadb(s->line.at, s->line.len, 0, NULL) : NULL;
	if (code != CURLE_OK && !s->kube->reached)
		r = kube_refuse_transfer(s->kube, code, s->why, err);
	else if (status == 401 && !s->renewed)
		kube_renew_credential(s->kube);
	else if (status >= 400 && status < 500 && status != 410 && status != 429)
		r = kube_status_refuse(status, answer, s->kube->access.origin, "watch what happens in the cluster", err);
	json_decref(answer);
	if (status)
		s->renewed = status == 401;
	if (status == 410)
		s->version[0] = '\0';
	stream_stop(s);
	s->again_at = now_ms();
	if (status != 200 || code != CURLE_OK) {
		s->again_at += (int64_t)backoff(BACKOFF_MS, (unsigned int)s->failures++, BACKOFF_DOUBLINGS);
	}
	if (r < 0 && s->watch->optional) {
		log_debug("kube: %s", err->text);
		*err = (struct error){ 0 };
		s->given_up = true;
		r = 0;
	}
	return r;
}

static int collect(struct kube *k, struct error *err)
{
	CURLMsg *m;
	int left, r = 0;

	while (r == 0 && (m = k->curl->multi_info_read(k->multi, &left))) {
		struct stream *s = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		k->curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
		if (!s->result)
			r = stream_ended(s, m->data.result, err);
	}
	return r;
}

/* Starts what is due. Returns the ms until the next one is, @most at most; -1 with @err. */
static int64_t start_due(struct stream *s, size_t n, int64_t most, struct error *err)
{
	int64_t now = now_ms();

	for (size_t i = 0; i < n; i++) {
		if (s[i].handle || s[i].given_up)
			continue;
		if (s[i].again_at <= now && stream_start(&s[i], err) < 0)
			return -1;
		if (!s[i].handle && s[i].again_at - now < most)
			most = s[i].again_at - now;
	}
	return most;
}

/* 1, 0, or -1: what one of them said. */
static int result_of(const struct stream *s, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		r = s[i].result;
	return r;
}

static int run(struct kube *k, struct stream *s, size_t n, int64_t deadline, struct error *err)
{
	for (;;) {
		int64_t wait = deadline - now_ms();
		int running, r;

		if (wait <= 0)
			return 0;
		wait = start_due(s, n, wait < 1000 ? wait : 1000, err);
		if (wait < 0)
			return -1;
		k->curl->multi_perform(k->multi, &running);
		r = result_of(s, n);
		if (r == 0)
			r = collect(k, err);
		if (r == 0)
			r = kube_wait(k, (int)wait, err);
		if (r)
			return r;
	}
}

int kube_watch(struct kube *k, struct kube_watch *watches, size_t n, int64_t timeout_ms, struct error *err)
{
	struct stream *s = calloc(n, sizeof(*s));
	int r;

	if (!s)
		return error_set(err, ENOMEM, "watch the cluster");
	for (size_t i = 0; i < n; i++)
		s[i] = (struct stream){ .kube = k, .watch = &watches[i], .err = err };
	r = run(k, s, n, now_ms() + timeout_ms, err);
	for (size_t i = 0; i < n; i++) {
		stream_stop(&s[i]);
		free(s[i].line.at);
	}
	free(s);
	return r;
}
