// SPDX-License-Identifier: MIT
/* libcurl, loaded when it is first needed: with the thirty libraries behind it, it would cost every start of `mirrord
 * exec` some milliseconds, and most targets need no HTTP. */
#pragma once

#include <curl/curl.h>

#include "base/error.h"

struct curl_api {
	__typeof__(&curl_global_init) global_init;
	__typeof__(&curl_easy_init) easy_init;
	__typeof__(&curl_easy_cleanup) easy_cleanup;
	__typeof__(&curl_easy_setopt) easy_setopt;
	__typeof__(&curl_easy_perform) easy_perform;
	__typeof__(&curl_easy_getinfo) easy_getinfo;
	__typeof__(&curl_easy_strerror) easy_strerror;
	__typeof__(&curl_easy_send) easy_send;
	__typeof__(&curl_easy_recv) easy_recv;
	__typeof__(&curl_multi_init) multi_init;
	__typeof__(&curl_multi_cleanup) multi_cleanup;
	__typeof__(&curl_multi_add_handle) multi_add_handle;
	__typeof__(&curl_multi_remove_handle) multi_remove_handle;
	__typeof__(&curl_multi_perform) multi_perform;
	__typeof__(&curl_multi_poll) multi_poll;
	__typeof__(&curl_multi_info_read) multi_info_read;
	__typeof__(&curl_slist_append) slist_append;
	__typeof__(&curl_slist_free_all) slist_free_all;
};

/* The same for every call; never unloaded. NULL with @err when no libcurl is installed. */
const struct curl_api *curl_load(struct error *err);
