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
};

/* The same for every call; never unloaded. NULL with @err when no libcurl is installed. */
const struct curl_api *curl_load(struct error *err);
