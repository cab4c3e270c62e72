// SPDX-License-Identifier: MIT
#include "config/incoming_http.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "config/arena.h"
#include "config/node.h"
#include "http/options.h"

enum { PEM_MAX = 512 << 10 };
static const char local[] = "local:";

static char *read_pem(struct arena *a, const char *path, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = fd < 0 ? NULL : fd_read_all(fd, PEM_MAX, NULL), *copy;

	if (!text) {
		error_set(err, errno, "read %s", path);
		return NULL;
	}
	copy = arena_copy(a, text, strlen(text));
	free(text);
	if (strstr(copy, "-----BEGIN "))
		return copy;
	error_set(err, 0, "%s: there is no PEM text in it", path);
	return NULL;
}

static void add_lines(struct arena_text *to, const char *text)
{
	arena_text_add(to, text);
	arena_text_add(to, "\n");
}

/* All PEM files of a directory, not of those in it. */
static int read_directory(struct arena_text *to, const char *path, struct error *err)
{
	DIR *dir = opendir(path);
	size_t before = to->len;

	if (!dir)
		return error_set(err, errno, "read %s", path);
	for (const struct dirent *e; (e = readdir(dir));) {
		char *name = arena_format(to->arena, "%s/%s", path, e->d_name), *text;
		struct error skipped = { 0 };
		struct stat st;

		if (stat(name, &st) == 0 && S_ISREG(st.st_mode) && (text = read_pem(to->arena, name, &skipped)))
			add_lines(to, text);
	}
	closedir(dir);
	return to->len > before ? 0 : error_set(err, 0, "%s: there is no PEM file in it", path);
}

static int read_roots(struct arena_text *to, const char *path, struct error *err)
{
	struct stat st;
	char *text;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return read_directory(to, path, err);
	text = read_pem(to->arena, path, err);
	if (!text)
		return -1;
	add_lines(to, text);
	return 0;
}

/* "local:PATH" becomes what is in the file. */
static int fill_in(struct arena *a, struct node *n, struct error *err)
{
	if (n->kind == NODE_STRING && strncmp(n->text, local, sizeof(local) - 1) == 0)
		return (n->text = read_pem(a, n->text + sizeof(local) - 1, err)) ? 0 : -1;
	for (struct node *child = n->child; child; child = child->next)
		if (fill_in(a, child, err) < 0)
			return -1;
	return 0;
}

static int add_ports(const struct config *c, struct node *to, struct error *err)
{
	struct node *ports = node_clone(c->arena, c->steal_tls);

	if (fill_in(c->arena, ports, err) < 0)
		return error_wrap(err, "feature.network.incoming.steal_tls");
	node_add_member(c->arena, to, ports, "steal_tls", 0);
	return 0;
}

static int add_trust(const struct config *c, struct node *delivery, struct error *err)
{
	struct arena *a = c->arena;
	struct arena_text roots = { .arena = a };

	for (size_t i = 0; i < c->tls_trust_roots.n; i++)
		if (read_roots(&roots, c->tls_trust_roots.items[i], err) < 0)
			return error_wrap(err, "feature.network.incoming.tls_delivery.trust_roots");
	if (roots.text)
		node_add_member(a, delivery, node_new_string(a, roots.text), "trust_roots", 0);
	if (c->tls_server_cert) {
		char *text = read_pem(a, c->tls_server_cert, err);

		if (!text)
			return error_wrap(err, "feature.network.incoming.tls_delivery.server_cert");
		node_add_member(a, delivery, node_new_string(a, text), "server_cert", 0);
	}
	return 0;
}

static int add_delivery(const struct config *c, struct node *to, struct error *err)
{
	struct arena *a = c->arena;
	struct node *delivery = node_new(a, NODE_OBJECT, 0);

	if (add_trust(c, delivery, err) < 0)
		return -1;
	if (c->tls_protocol == TLS_DELIVERY_TCP)
		node_add_member(a, delivery, node_new_string(a, "tcp"), "protocol", 0);
	if (c->tls_server_name)
		node_add_member(a, delivery, node_new_string(a, c->tls_server_name), "server_name", 0);
	if (delivery->n)
		node_add_member(a, to, delivery, "tls_delivery", 0);
	return 0;
}

static void add_number(struct arena *a, struct node *to, const char *key, uint64_t value, uint64_t preset)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	if (value != preset)
		node_add_member(a, to, node_new_text(a, NODE_NUMBER, text, strlen(text), 0), key, 0);
}

static void add_true(struct arena *a, struct node *to, const char *key, bool value)
{
	if (value)
		node_add_member(a, to, node_new_bool(a, true), key, 0);
}

bool incoming_http_decrypts(const struct config *c)
{
	return c->steal_tls && c->steal_tls->n;
}

int incoming_http_text(const struct config *c, char **ret, struct error *err)
{
	struct node *all = node_new(c->arena, NODE_OBJECT, 0);
	struct http_options checked;
	char *text;

	add_number(c->arena, all, "max_body_buffer_size", c->agent_max_body_buffer_size, HTTP_BODY_MAX);
	add_number(c->arena, all, "max_body_buffer_timeout", c->agent_max_body_buffer_timeout, HTTP_BODY_MS);
	add_true(c->arena, all, "inject_headers", c->agent_inject_headers);
	add_true(c->arena, all, "override_cache_control", c->agent_override_cache_control);
	if (incoming_http_decrypts(c) && (add_ports(c, all, err) < 0 || add_delivery(c, all, err) < 0))
		return -1;
	*ret = NULL;
	if (!all->n)
		return 0;
	text = node_to_json(c->arena, all);
	if (http_options_parse(text, &checked, err) < 0)
		return error_wrap(err, "feature.network");
	http_options_fini(&checked);
	*ret = text;
	return 0;
}
