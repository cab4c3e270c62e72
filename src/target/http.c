// SPDX-License-Identifier: MIT
/* A GET by libcurl's easy interface. */
#include "target/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "target/curl.h"

void http_answer_fini(struct http_answer *a)
{
	free(a->body);
	*a = (struct http_answer){ 0 };
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	n *= size;
	return text_add(arg, data, n, HTTP_ANSWER_MAX) ? n : 0; /* other than n: libcurl gives up with CURLE_WRITE_ERROR */
}

static void prepare(const struct curl_api *curl, CURL *handle, const char *socket, const char *url, long timeout_ms)
{
	curl->easy_setopt(handle, CURLOPT_URL, url);
	curl->easy_setopt(handle, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl->easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
	curl->easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_MS);
	curl->easy_setopt(handle, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl->easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
}

int http_get(const char *socket, const char *path, long timeout_ms, struct http_answer *ret, struct error *err)
{
	const struct curl_api *curl = curl_load(err);
	struct text body = { 0 };
	CURL *handle = curl ? curl->easy_init() : NULL;
	char url[512], why[CURL_ERROR_SIZE] = "";
	CURLcode code = CURLE_OUT_OF_MEMORY;
	long status = 0, error = 0;

	if (handle && text_add(&body, "", 0, 0) && snprintf(url, sizeof(url), "http://localhost%s", path) < (int)sizeof(url)) {
		prepare(curl, handle, socket, url, timeout_ms);
		curl->easy_setopt(handle, CURLOPT_ERRORBUFFER, why);
		curl->easy_setopt(handle, CURLOPT_WRITEDATA, &body);
		code = curl->easy_perform(handle);
	}
	if (code == CURLE_OK)
		curl->easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
	else if (code == CURLE_COULDNT_CONNECT)
		curl->easy_getinfo(handle, CURLINFO_OS_ERRNO, &error);
	if (handle)
		curl->easy_cleanup(handle);
	if (code == CURLE_OK) {
		*ret = (struct http_answer){ status, body.at, body.len };
		return 0;
	}
	free(body.at);
	if (!curl || error)
		return curl ? (int)error : -1;
	if (code == CURLE_WRITE_ERROR)
		return error_set(err, 0, "%s: the answer is longer than %d bytes", socket, HTTP_ANSWER_MAX);
	return error_set(err, 0, "%s: %s", socket, why[0] ? why : curl->easy_strerror(code));
}
