// SPDX-License-Identifier: MIT
/* OpenSSL, loaded when TLS is first to be decrypted: an agent that decrypts nothing is to stay small. Functions are members of `ossl`;
 * OpenSSL's macros call functions by name, so what they stand for is called in their place. */
#pragma once

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/error.h"

struct openssl {
#define OPENSSL(name) __typeof__(&(name)) name;
#define CRYPTO(name)  __typeof__(&(name)) name;
#include "agent/openssl.def"
#undef OPENSSL
#undef CRYPTO
};
extern struct openssl ossl;

/* Does nothing the second time. 0, or -1 with @err: which library is missing, and what to install. */
int openssl_load(struct error *err);
/* The newest error in words, without OpenSSL's codes; the queue is empty then. */
const char *openssl_reason(void);
