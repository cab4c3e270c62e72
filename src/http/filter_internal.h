// SPDX-License-Identifier: MIT
/* A filter as a tree of conditions. Internal to filter*.c. */
#pragma once

#include "http/filter.h"
#include "http/jq_program.h"
#include "http/jsonpath.h"
#include "http/regexp.h"

/* A named thing (query parameter, cookie) and what its value must match. */
struct named_regex {
	struct named_regex *next;
	char *name;
	struct regex *value;
};

struct network {
	struct ip prefix;
	unsigned int len;
};

/* One condition; what it uses of these depends on its kind. */
struct condition {
	const struct condition_kind *kind;
	struct condition *next, *first; /* its siblings, and the first below all_of, any_of, not */
	struct regex *regex;
	struct jsonpath *path;
	struct jq *jq;
	char **words; /* NULL at the end: methods; gRPC's service and method, each may be "" */
	struct named_regex *named;
	struct network *networks;
	size_t n_networks;
};

/* What a condition looks at: others below it, what is known of a connection without a request in it, a request. */
enum condition_scope { OF_OTHERS, OF_CONNECTION, OF_REQUEST };

struct condition_kind {
	const char *name;  /* inside all_of and any_of */
	const char *outer; /* on the top level; NULL: not there */
	enum condition_scope scope;
	int (*compile)(struct condition *c, const json_t *value, const char *where, struct error *err);
	enum http_verdict (*match)(struct http_filter *f, const struct condition *c, const struct http_request *r);
};

struct http_filter {
	struct condition *root; /* NULL: everything */
	uint16_t *ports;	/* NULL: all */
	size_t n_ports;
	struct http_filter_trouble trouble;
	struct regex_budget budget; /* of the request that is looked at */
	bool of_connection; /* it can match a connection without a request */
};

/* filter.c, for the kinds that have others below them. @where is "http_filter.any_of[2]" and so on. */
struct condition *condition_compile(const json_t *object, const char *where, bool outer, struct error *err);
int condition_compile_list(struct condition *c, const json_t *list, const char *where, struct error *err);
enum http_verdict condition_match(struct http_filter *f, const struct condition *c, const struct http_request *r);

/* filter_kinds.c */
extern const struct condition_kind CONDITION_KINDS[];
extern const size_t CONDITION_KINDS_COUNT;

