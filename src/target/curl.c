// SPDX-License-Identifier: MIT
/* libcurl by dlopen(). */
#include "target/curl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* Engines need no TLS, and for clusters OpenSSL's flavour comes first. The ABI of libcurl.so.4 is stable since 2006. */
static const char *const libraries[] = { "libcurl.so.4", "libcurl-gnutls.so.4", "libcurl-nss.so.4" };

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
	{ "curl_global_init", offsetof(struct curl_api, global_init) },
	{ "curl_easy_init", offsetof(struct curl_api, easy_init) },
	{ "curl_easy_cleanup", offsetof(struct curl_api, easy_cleanup) },
	{ "curl_easy_setopt", offsetof(struct curl_api, easy_setopt) },
	{ "curl_easy_perform", offsetof(struct curl_api, easy_perform) },
	{ "curl_easy_getinfo", offsetof(struct curl_api, easy_getinfo) },
	{ "curl_easy_strerror", offsetof(struct curl_api, easy_strerror) },
	{ "curl_easy_send", offsetof(struct curl_api, easy_send) },
	{ "curl_easy_recv", offsetof(struct curl_api, easy_recv) },
	{ "curl_multi_init", offsetof(struct curl_api, multi_init) },
	{ "curl_multi_cleanup", offsetof(struct curl_api, multi_cleanup) },
	{ "curl_multi_add_handle", offsetof(struct curl_api, multi_add_handle) },
	{ "curl_multi_remove_handle", offsetof(struct curl_api, multi_remove_handle) },
	{ "curl_multi_perform", offsetof(struct curl_api, multi_perform) },
	{ "curl_multi_poll", offsetof(struct curl_api, multi_poll) },
	{ "curl_multi_info_read", offsetof(struct curl_api, multi_info_read) },
	{ "curl_slist_append", offsetof(struct curl_api, slist_append) },
	{ "curl_slist_free_all", offsetof(struct curl_api, slist_free_all) },
};

enum { LIBRARIES = sizeof(libraries) / sizeof(libraries[0]), SYMBOLS = sizeof(symbols) / sizeof(symbols[0]) };
_Static_assert(SYMBOLS * sizeof(void *) == sizeof(struct curl_api), "a row for each function");

static void *open_library(struct error *err)
{
	for (size_t i = 0; i < LIBRARIES; i++) {
		void *handle = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);

		if (handle)
			return handle;
	}
	error_set(err, 0, "loading libcurl, which asks container engines and clusters: %s", dlerror());
	error_hint(err,
		   "install it (Debian and Ubuntu: apt install libcurl4); a container can be named by its process, as pid/N");
	return NULL;
}

const struct curl_api *curl_load(struct error *err)
{
	static struct curl_api api;
	struct curl_api found;
	void *handle;

	if (api.easy_init)
		return &api;
	handle = open_library(err);
	if (!handle)
		return NULL;
	for (size_t i = 0; i < SYMBOLS; i++) {
		void *symbol = dlsym(handle, symbols[i].name);

		if (!symbol) {
			error_set(err, 0, "libcurl has no %s()", symbols[i].name);
			return NULL;
		}
		memcpy((char *)&found + symbols[i].offset, &symbol, sizeof(symbol));
	}
	if (found.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		error_set(err, 0, "libcurl does not start");
		return NULL;
	}
	api = found;
	return &api;
}
