// SPDX-License-Identifier: MIT
#include "agent/openssl.h"

#include <dlfcn.h>

struct openssl ossl;

enum { SSL_LIBRARY, CRYPTO_LIBRARY };
static const char *const names[] = { "libssl.so.3", "libcrypto.so.3" };

static const struct {
	const char *name;
	int library;
	void **to;
} symbols[] = {
#define OPENSSL(name) { #name, SSL_LIBRARY, (void **)&ossl.name },
#define CRYPTO(name)  { #name, CRYPTO_LIBRARY, (void **)&ossl.name },
#include "agent/openssl.def"
#undef OPENSSL
#undef CRYPTO
};

int openssl_load(struct error *err)
{
	static void *libraries[2];

	if (libraries[SSL_LIBRARY])
		return 0;
	for (int i = CRYPTO_LIBRARY; i >= SSL_LIBRARY; i--) {
		if (!libraries[i])
			libraries[i] = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		if (libraries[i])
			continue;
		error_set(err, 0, "decrypting TLS needs OpenSSL, which can't be loaded: %s", dlerror());
		return error_hint(err, "Install the package libssl3 (openssl on other distributions).");
	}
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		*symbols[i].to = dlsym(libraries[symbols[i].library], symbols[i].name);
		if (*symbols[i].to)
			continue;
		libraries[SSL_LIBRARY] = NULL;
		return error_set(err, 0, "%s has no %s", names[symbols[i].library], symbols[i].name);
	}
	return 0;
}

const char *openssl_reason(void)
{
	const char *reason = ossl.ERR_reason_error_string(ossl.ERR_peek_last_error());

	ossl.ERR_clear_error();
	return reason ? reason : "unknown error";
}
