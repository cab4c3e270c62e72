// SPDX-License-Identifier: MIT
/* libcurl by dlopen(). */
#include "target/curl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* Any TLS flavour will do, we only speak over unix sockets. The ABI of libcurl.so.4 is stable since 2006. */
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
	error_set(err, 0, "loading libcurl, which asks container engines: %s", dlerror());
	error_hint(err,
		   "install it (Debian and Ubuntu: apt install libcurl4), or name the container's process as pid/N");
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
	if (found.global_init(CURL_GLOBAL_NOTHING) != CURLE_OK) { /* no TLS */
		error_set(err, 0, "libcurl does not start");
		return NULL;
	}
	api = found;
	return &api;
}
