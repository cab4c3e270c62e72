// SPDX-License-Identifier: MIT
/* What every request to the API server has in common. Internal to the kube library. */
#pragma once

#include "kube/credential.h"
#include "kube/client.h"
#include "target/curl.h"

struct kube {
	const struct curl_api *curl;
	struct kube_access access;
	struct kube_credential credential;
	CURLM *multi;
	struct curl_slist *connect_to;
	int cancel;
	bool reached; /* the server answered before: it is the right one */
};

/* Waits until a transfer has something to do, @ms at most. Returns 0, or -1 with @err when it was cancelled. */
int kube_wait(struct kube *k, int ms, struct error *err);

/* A handle for @path, with TLS, proxy and who asks; *ret_headers (whose it is to be freed behind the handle) gets the headers of
 * authentication and may be appended to. NULL with @err. */
CURL *kube_open_handle(struct kube *k, const char *path, struct curl_slist **ret_headers, struct error *err);
/* Appends "NAME: VALUE". */
int kube_add_header(struct kube *k, struct curl_slist **headers, const char *name, const char *value);
/* A failed transfer as an error: what libcurl says (@detail when not ""), and what helps. Returns -1. */
int kube_refuse_transfer(const struct kube *k, CURLcode code, const char *detail, struct error *err);
/* After a 401: whether there may be a newer credential than the one that was refused. */
bool kube_renew_credential(struct kube *k);
/* Until it expires or is refused; it is copied. */
void kube_use_credential(struct kube *k, const struct kube_credential *c);
