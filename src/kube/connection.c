// SPDX-License-Identifier: MIT
/* TLS, proxy and authentication of a request.
 *
 * tls-server-name: libcurl checks the certificate against the URL's host, so the URL has that name, CURLOPT_CONNECT_TO says where it is, and
 * the Host header what the server is called. */
#include "kube/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/addr.h"

enum { CONNECT_TIMEOUT_MS = 10000, TOKEN_MAX = 1 << 20 };

int kube_add_header(struct kube *k, struct curl_slist **headers, const char *name, const char *value)
{
	struct curl_slist *more;
	char *line;

	if (asprintf(&line, "%s: %s", name, value) < 0)
		return -1;
	more = k->curl->slist_append(*headers, line);
	free(line);
	if (!more)
		return -1;
	*headers = more;
	return 0;
}

/* The kubelet renews a service account's token in its file, so it is read each time. */
static char *read_token(const char *path, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *token = fd < 0 ? NULL : fd_read_all(fd, TOKEN_MAX, NULL);

	if (token)
		token[strcspn(token, "\r\n")] = '\0';
	else
		error_set(err, errno, "read the token %s", path);
	return token;
}

static int add_token(struct kube *k, struct curl_slist **headers, struct error *err)
{
	const struct kube_access *a = &k->access;
	const char *token = a->token ? a->token : k->credential.token;
	char *from_file = NULL, *value;
	int r;

	if (a->token_file && !(from_file = read_token(a->token_file, err)))
		return -1;
	token = from_file ? from_file : token;
	if (!token)
		return 0;
	r = asprintf(&value, "Bearer %s", token) < 0 ? -1 : kube_add_header(k, headers, "Authorization", value);
	if (r >= 0)
		free(value);
	free(from_file);
	return r < 0 ? error_set(err, ENOMEM, "authenticate") : 0;
}

/* The header's name for a key such as "example.org/project": what may not stand in one is escaped, as the API server undoes it. The caller's; NULL
 * without memory. */
static char *name_of_extra(const char *key)
{
	static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&'*+-.^_`|~"; /* RFC 9110 §5.6.2, but for % */
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fputs("Impersonate-Extra-", out);
	for (; *key; key++)
		fprintf(out, strchr(fine, *key) ? "%c" : "%%%02X", (unsigned char)*key);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static int add_impersonation(struct kube *k, struct curl_slist **headers)
{
	const struct kube_access *a = &k->access;
	json_t *values, *value;
	const char *key;
	size_t i;
	int r = 0;

	if (a->as)
		r |= kube_add_header(k, headers, "Impersonate-User", a->as);
	if (a->as_uid)
		r |= kube_add_header(k, headers, "Impersonate-Uid", a->as_uid);
	json_array_foreach(a->as_groups, i, value)
	{
		r |= kube_add_header(k, headers, "Impersonate-Group", json_string_value(value) ? json_string_value(value) : "");
	}
	json_object_foreach(a->as_extra, key, values)
	{
		char *name = name_of_extra(key);

		json_array_foreach(values, i, value)
		{
			r |= name ? kube_add_header(k, headers, name, json_string_value(value) ? json_string_value(value) : "") : -1;
		}
		free(name);
	}
	return r;
}

static int set_pem(struct kube *k, CURL *h, CURLoption blob, CURLoption type, const char *pem)
{
	struct curl_blob b = { .data = (void *)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY };

	if (type)
		k->curl->easy_setopt(h, type, "PEM");
	return k->curl->easy_setopt(h, blob, &b) == CURLE_OK ? 0 : -1;
}

static int set_tls(struct kube *k, CURL *h, struct error *err)
{
	const struct kube_access *a = &k->access;
	const char *cert = k->credential.cert ? k->credential.cert : a->cert, *key = k->credential.cert ? k->credential.key : a->key;
	int r = 0;

	if (a->insecure) {
		k->curl->easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
		k->curl->easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
	} else if (a->ca) {
		r = set_pem(k, h, CURLOPT_CAINFO_BLOB, (CURLoption)0, a->ca);
	}
	if (cert && r == 0)
		r = set_pem(k, h, CURLOPT_SSLCERT_BLOB, CURLOPT_SSLCERTTYPE, cert);
	if (key && r == 0)
		r = set_pem(k, h, CURLOPT_SSLKEY_BLOB, CURLOPT_SSLKEYTYPE, key);
	if (r == 0)
		return 0;
	error_set(err, 0, "this libcurl takes no certificates from memory");
	return error_hint(err, "it needs libcurl 7.77 or later with OpenSSL (Debian and Ubuntu: apt install libcurl4)");
}

/* "https://10.0.0.1:6443/x" is where to connect, and the name to be checked another: the server's URL is split around its host. */
static int set_named_url(struct kube *k, CURL *h, const char *path, struct curl_slist **headers)
{
	const struct kube_access *a = &k->access;
	const char *begin = strstr(a->server, "://"), *end, *port;
	char *url = NULL, *host = NULL, *to = NULL;
	int r = -1, len;

	begin = begin ? begin + 3 : a->server;
	end = begin + strcspn(begin, "/");
	len = (int)(end - begin);
	port = begin[0] == '[' ? strchr(begin, ']') : begin;
	port = port ? memchr(port, ':', (size_t)(end - port)) : NULL;
	if (asprintf(&url, "%.*s%s%.*s%s%s", (int)(begin - a->server), a->server, a->tls_name, port ? (int)(end - port) : 0, port ? port : "", end,
		     path) >= 0 &&
	    asprintf(&host, "%.*s", len, begin) >= 0 && asprintf(&to, "::%.*s%s", len, begin, port ? "" : ":") >= 0 &&
	    (k->connect_to || (k->connect_to = k->curl->slist_append(NULL, to))) && k->curl->easy_setopt(h, CURLOPT_URL, url) == CURLE_OK)
		r = kube_add_header(k, headers, "Host", host);
	k->curl->easy_setopt(h, CURLOPT_CONNECT_TO, k->connect_to);
	free(url);
	free(host);
	free(to);
	return r;
}

static int set_url(struct kube *k, CURL *h, const char *path, struct curl_slist **headers)
{
	char *url;
	int r;

	if (k->access.tls_name)
		return set_named_url(k, h, path, headers);
	if (asprintf(&url, "%s%s", k->access.server, path) < 0)
		return -1;
	r = k->curl->easy_setopt(h, CURLOPT_URL, url) == CURLE_OK ? 0 : -1;
	free(url);
	return r;
}

/* What kubectl calls socks5 is socks5h to libcurl: the proxy looks the server's name up, which often means something there alone. */
static int set_proxy(struct kube *k, CURL *h, const char *proxy)
{
	static const char socks[] = "socks5://";
	bool is_socks = strncasecmp(proxy, socks, sizeof(socks) - 1) == 0;
	char *url;
	int r;

	if (asprintf(&url, "%s%s", is_socks ? "socks5h://" : "", is_socks ? proxy + sizeof(socks) - 1 : proxy) < 0)
		return -1;
	r = k->curl->easy_setopt(h, CURLOPT_PROXY, url) == CURLE_OK ? 0 : -1;
	free(url);
	return r;
}

static bool is_this_machine(const char *server)
{
	const char *begin = strstr(server, "://");
	char host[256];
	struct ip a;

	begin = begin ? begin + 3 : server;
	snprintf(host, sizeof(host), "%.*s", (int)(begin[0] == '[' ? strcspn(begin + 1, "]") : strcspn(begin, ":/")), begin + (begin[0] == '['));
	return strcasecmp(host, "localhost") == 0 || (ip_parse(host, &a) && ip_is_loopback(&a));
}

/* As Go's net/http does it, and so kubectl: never for this machine itself, where kind and minikube are, and without ALL_PROXY. "": none. What
 * NO_PROXY says libcurl knows. */
static const char *proxy_of_environment(const char *server)
{
	bool tls = strncasecmp(server, "https:", 6) == 0;
	const char *upper = getenv(tls ? "HTTPS_PROXY" : "HTTP_PROXY"), *lower = getenv(tls ? "https_proxy" : "http_proxy");

	if (is_this_machine(server))
		return "";
	return upper && *upper ? upper : lower ? lower : "";
}

/* proxy-url is meant for this cluster, whatever NO_PROXY says. */
static int choose_proxy(struct kube *k, CURL *h)
{
	const struct kube_access *a = &k->access;

	if (a->proxy)
		k->curl->easy_setopt(h, CURLOPT_NOPROXY, "");
	return set_proxy(k, h, a->proxy ? a->proxy : a->no_proxy ? "" : proxy_of_environment(a->server));
}

static int set_common(struct kube *k, CURL *h)
{
	const struct kube_access *a = &k->access;

	k->curl->easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	k->curl->easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	k->curl->easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	k->curl->easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	k->curl->easy_setopt(h, CURLOPT_PIPEWAIT, 1L);
	k->curl->easy_setopt(h, CURLOPT_USERAGENT, "mirrord/" VERSION);
	if (a->username) {
		k->curl->easy_setopt(h, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		k->curl->easy_setopt(h, CURLOPT_USERNAME, a->username);
		k->curl->easy_setopt(h, CURLOPT_PASSWORD, a->password ? a->password : "");
	}
	return choose_proxy(k, h);
}

static int refresh_credential(struct kube *k, struct error *err)
{
	struct kube_credential fresh = { 0 };

	if (!k->access.exec || k->access.token || kube_credential_holds(&k->credential, time(NULL)))
		return 0;
	if (kube_credential_fetch(&k->access, k->cancel, &fresh, err) < 0)
		return -1;
	kube_credential_fini(&k->credential);
	k->credential = fresh;
	return 0;
}

CURL *kube_open_handle(struct kube *k, const char *path, struct curl_slist **ret_headers, struct error *err)
{
	struct curl_slist *headers = NULL;
	CURL *h;

	if (refresh_credential(k, err) < 0)
		return NULL;
	h = k->curl->easy_init();
	if (!h) {
		error_set(err, ENOMEM, "ask the cluster");
		return NULL;
	}
	if ((set_common(k, h) < 0 || set_url(k, h, path, &headers) < 0) && error_set(err, ENOMEM, "ask the cluster") < 0)
		goto fail;
	if (set_tls(k, h, err) < 0 || add_token(k, &headers, err) < 0 ||
	    (add_impersonation(k, &headers) < 0 && error_set(err, ENOMEM, "impersonate") < 0))
		goto fail;
	*ret_headers = headers;
	return h;
fail:
	k->curl->slist_free_all(headers);
	k->curl->easy_cleanup(h);
	return NULL;
}

void kube_use_credential(struct kube *k, const struct kube_credential *c)
{
	kube_credential_fini(&k->credential);
	k->credential = (struct kube_credential){ .token = c->token ? strdup(c->token) : NULL, .cert = c->cert ? strdup(c->cert) : NULL,
						  .key = c->key ? strdup(c->key) : NULL, .expires = c->expires };
}

bool kube_renew_credential(struct kube *k)
{
	if (!k->access.exec)
		return k->access.token_file != NULL;
	kube_credential_fini(&k->credential);
	return true;
}

int kube_refuse_transfer(const struct kube *k, CURLcode code, const char *detail, struct error *err)
{
	const struct kube_access *a = &k->access;

	error_set(err, 0, "ask the cluster at %s: %s", a->server, detail[0] ? detail : k->curl->easy_strerror(code));
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
		return error_hint(err, "is it running, and reachable from here (VPN)? That is %s; --context names another", a->origin);
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
		return error_hint(err, "the proxy is %s", a->proxy ? a->proxy : "from the environment (HTTPS_PROXY)");
	case CURLE_PEER_FAILED_VERIFICATION:
		return error_hint(err, "the server's certificate does not suit %s: a cluster that was made anew has another one; fetch its "
				       "kubeconfig again", a->origin);
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CONNECT_ERROR:
		return error_hint(err, "check certificate and key of the user in %s (kubectl says the same?)", a->origin);
	case CURLE_SSL_CACERT_BADFILE:
		return error_hint(err, "certificate-authority of %s is not PEM", a->origin);
	default:
		return error_hint(err, "that is %s", a->origin);
	}
}
