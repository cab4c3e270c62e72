// SPDX-License-Identifier: MIT
/* How a cluster is reached and as whom: the kubeconfig files, or a pod's service account. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* All pointers are owned (kube_access_fini). NULL: not given. */
struct kube_access {
	char *origin;	 /* for messages: "context dev of /home/me/.kube/config" */
	char *server;	 /* "https://10.0.0.1:6443", perhaps with a path; no slash at the end */
	char *namespace; /* the context's, or "default" */
	char *ca;	 /* PEM */
	char *tls_name;	 /* that the server's certificate must have, when not the URL's */
	char *proxy;	 /* URL; NULL: what the environment says */
	bool insecure;	 /* the server's certificate is not looked at */
	bool no_proxy;	 /* whatever the environment says */
	char *cert, *key; /* PEM */
	char *token, *token_file, *username, *password;
	json_t *exec;	/* the user's credential plugin (kube/credential.h) */
	char *exec_dir; /* what its relative path is relative to */
	json_t *cluster; /* the cluster's entry, for the plugin */
	char *as, *as_uid; /* impersonation */
	json_t *as_groups, *as_extra;
	/* Of requests that failed and may be made again: how often, and the least and the longest pause before. */
	unsigned int retries, retry_min_ms, retry_max_ms;
};

/* @files is a list with ":" between; NULL: that of KUBECONFIG, else ~/.kube/config, else (no such file) the service account of the pod that
 * we run in. As client-go does: the first file that names a cluster, user or context is the one that counts. @context NULL:
 * the current one. Returns 0, or -1 with @err. */
int kube_access_load(const char *files, const char *context, struct kube_access *ret, struct error *err);
void kube_access_fini(struct kube_access *a);
