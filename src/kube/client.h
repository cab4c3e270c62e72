// SPDX-License-Identifier: MIT
/* Talking to an API server: JSON requests, several at a time, and watches. Blocking; it gives up when the descriptor of
 * kube_set_cancel() becomes readable. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "kube/kubeconfig.h"

struct kube;

/* Takes @access over, also on failure. NULL with @err: no libcurl, a credential plugin failed. */
struct kube *kube_new(struct kube_access *access, struct error *err);
void kube_free(struct kube *k);
const struct kube_access *kube_access_of(const struct kube *k);
/* -1: none. */
void kube_set_cancel(struct kube *k, int fd);
int kube_get_cancel(const struct kube *k);

struct kube_call {
	const char *method; /* NULL: GET */
	char path[1024];    /* "/api/v1/namespaces/x/pods?labelSelector=…", escaped */
	const char *type;   /* of the body; NULL: application/json */
	json_t *body;	    /* the caller's */
	/* The answer. */
	long status;
	json_t *answer; /* owned (kube_call_fini); NULL when it is no JSON */
	char warning[1024]; /* of its Warning headers, or "" */
	time_t date;	    /* of the server's clock; 0: not told */
};

/* Makes the @n calls at the same time; each is repeated as the server asks for (429, 503) or a broken connection allows. Returns 0 when
 * all were answered, with whatever status; -1 with @err (and nothing to be freed) when one wasn't. */
int kube_perform(struct kube *k, struct kube_call *calls, size_t n, struct error *err);
void kube_call_fini(struct kube_call *c);
/* By its status, and with an object as the answer, as Kubernetes always gives one. */
bool kube_call_succeeded(const struct kube_call *c);
/* For a child of ours: who we are is kept (a credential plugin isn't asked again), connections are the parent's. -1 without memory. */
int kube_after_fork(struct kube *k);
/* Requests from here on don't use connections that are there: they may be as dead as one that is known to be. */
void kube_forget_connections(struct kube *k);

/* What didn't succeed as an error: the server's words, and what helps (kube/status.h). @what names the attempt: "create the agent's
 * job". Returns -1. */
int kube_call_refuse(const struct kube *k, const struct kube_call *c, const char *what, struct error *err);
/* One call that must succeed. *ret may be NULL when the answer doesn't matter. */
int kube_do(struct kube *k, struct kube_call *c, json_t **ret, const char *what, struct error *err);

/* Writes a path with each "%s" replaced by the next argument, escaped for a URL. What is too long is cut, and the server knows no such
 * thing. */
void kube_path(char *out, size_t room, const char *format, ...);

/* One watched collection. Every object that there is comes as "ADDED" first; after a gap (410, a broken connection that can't go on)
 * they all come again. */
struct kube_watch {
	char path[1024]; /* of the collection, with its selectors */
	bool optional;	 /* when it may not be watched, the others go on */
	/* 0: go on; 1: that was it; -1 with @err. @type is ADDED, MODIFIED or DELETED. */
	int (*on_object)(void *arg, const char *type, json_t *object, struct error *err);
	void *arg;
};
/* Watches all of them until one says 1 (returns 1), @timeout_ms is over (0), or with -1 and @err. */
int kube_watch(struct kube *k, struct kube_watch *watches, size_t n, int64_t timeout_ms, struct error *err);
