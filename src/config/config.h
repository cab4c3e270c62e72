// SPDX-License-Identifier: MIT
/* The configuration as the rest of the program uses it: one typed field per key of key.def, and where each value came from.
 *
 *   struct config c;
 *   if (config_load(&request, &c, problems) == 0 && c.incoming_mode == INCOMING_STEAL) … */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/problem.h"

struct node;
struct arena;

enum incoming_mode { INCOMING_MIRROR, INCOMING_STEAL, INCOMING_OFF };
enum incoming_concurrent { INCOMING_ABORT, INCOMING_CONTINUE, INCOMING_OVERRIDE };
enum target_replicas { REPLICAS_ONE, REPLICAS_ALL };
enum tls_delivery_protocol { TLS_DELIVERY_TLS, TLS_DELIVERY_TCP };
enum image_pull_policy { IMAGE_PULL_IF_NOT_PRESENT, IMAGE_PULL_ALWAYS, IMAGE_PULL_NEVER };

enum config_tri { CONFIG_UNSET = -1, CONFIG_NO, CONFIG_YES };
#define CONFIG_NO_NUMBER UINT64_MAX /* a number that is unset */

/* Lists: @set tells an empty one from an unset one. */
struct config_strings {
	char **items;
	size_t n;
	bool set;
};
struct config_ports {
	uint16_t *items;
	size_t n;
	bool set;
};
struct config_pair {
	uint16_t from, to;
};
struct config_pairs {
	struct config_pair *items;
	size_t n;
	bool set;
};
struct config_map_entry {
	const char *name, *value;
};
struct config_map {
	struct config_map_entry *items;
	size_t n;
	bool set;
};
/* {"local": […]} or {"remote": […]}. */
enum filter_side { FILTER_NONE, FILTER_LOCAL, FILTER_REMOTE };
struct config_filter {
	enum filter_side side;
	struct config_strings entries;
};

/* C types of the kinds in key.def. A STRING that is unset is NULL; so is a JSON. */
typedef bool config_BOOL;
typedef enum config_tri config_TRI;
typedef uint64_t config_NUMBER;
typedef char *config_STRING;
typedef struct config_strings config_STRINGS;
typedef int config_ENUM; /* index of the word in key.def; the enums above */
typedef struct config_ports config_PORTS;
typedef struct config_pairs config_PAIRS;
typedef struct config_map config_MAP;
typedef struct config_filter config_FILTER;
typedef const struct node *config_JSON; /* config/node.h */

enum config_key {
#define SECTION(name, ...) KEY_##name,
#define KEY(kind, field, ...) KEY_##field,
#include "config/key.def"
#undef SECTION
#undef KEY
};
enum { CONFIG_KEYS = KEY_experimental_browser_extension_config + 1 };

enum config_origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENV, ORIGIN_FLAG };

/* @name: the file, the variable, the option. @line and @column count from 1, in files. */
struct config_source {
	enum config_origin origin;
	const char *name;
	unsigned int line, column;
};

/* All memory is the arena's (config_fini). Fields come in the order of the keys, whatever the padding. */
struct config { // NOLINT(clang-analyzer-optin.performance.Padding)
#define SECTION(...)
#define KEY(kind, field, ...) config_##kind field;
#include "config/key.def"
#undef SECTION
#undef KEY
	/* Made from the above: */
	struct config_filter dns_rules; /* dns_filter, and the names that the outgoing filter adds to it */
	const struct node *env_file_variables; /* an object of strings; NULL: there is no env file */
	char *http_filter; /* the object feature.network.incoming.http_filter, as JSON text; NULL: everything is taken */

	struct config_source sources[CONFIG_KEYS];
	struct arena *arena;
};

/* An option of the command line that stands for a key; @value as a variable would have it. */
struct config_flag {
	enum config_key key;
	const char *option, *value;
};

struct config_request {
	const char *file; /* -f; "-" is standard input. NULL: $MIRRORD_CONFIG_FILE, or .mirrord/mirrord.{json,yaml,yml,toml}, or none */
	const struct config_flag *flags; /* later ones win */
	size_t n_flags;
	char *const *environ; /* NAME=value…, NULL; may be NULL */
	bool strict;	      /* keys that we don't have are errors, not warnings */
	bool file_alone;      /* no variables but those that a template asks for: what the file itself says */
};

/* Collects everything that is wrong, and all warnings, in @problems (problem_list_init). Returns 0; -1 when there is an error among them:
 * then @ret holds nothing. Without a file, the rest counts. */
int config_load(const struct config_request *request, struct config *ret, struct problem_list *problems);
void config_fini(struct config *c);
/* The default of each key, into a struct with nothing but an arena. */
void config_set_defaults(struct config *c, struct problem_list *problems);
