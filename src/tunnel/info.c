// SPDX-License-Identifier: MIT
/* The messages about the target: rows of fields (tunnel/fields.h). A field that may come more than once is an element of a
 * list.
 *
 * What comes from an agent ends up in files and names on the user's machine. So the decoder lets through only what such a thing
 * can be: a sysctl's path can't leave /proc/sys/net, an interface's name is one. */
#include "tunnel/info.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tunnel/fields.h"
#include "tunnel/writing.h"

enum tag {
	TAG_INTERFACE = 1,
	TAG_HOSTNAME = 2,
	TAG_ADDRESS = 3,
	TAG_ROUTE = 4,
	TAG_SYSCTL = 5,
	TAG_RESOLV_CONF = 6,
	TAG_HOSTS = 7,
	TAG_POLICY_ROUTING = 8,
	TAG_VARIABLE = 9,
	TAG_KERNEL = 10,
	TAG_VERSION = 11,
	TAG_MAY = 12,
};
enum failure_tag { FAILURE_TEXT = 1, FAILURE_HINT = 2, FAILURE_STATUS = 3 };

enum { ADDRESS_LEN = 17, ROUTE_LEN = 42 };

static void route_add(struct fields_writer *w, const struct info_route *r)
{
	uint8_t *p = fields_add(w, TAG_ROUTE, ROUTE_LEN);

	if (!p)
		return;
	p = write_u8(write_u8(write_bytes(p, r->prefix.b, 16), r->prefix_len), r->type);
	write_u32(write_u32(write_bytes(p, r->source.b, 16), r->metric), r->mtu);
}

static void sysctl_add(struct fields_writer *w, const struct info_sysctl *s)
{
	size_t name = strlen(s->name), value = strlen(s->value);
	uint8_t *p = fields_add(w, TAG_SYSCTL, name + 1 + value);

	if (p)
		write_bytes(write_u8(write_bytes(p, s->name, name), 0), s->value, value);
}

uint8_t *target_info_encode(const struct target_info *info, size_t *ret_len)
{
	struct fields_writer w = { 0 };
	uint8_t *p;

	fields_add_text(&w, TAG_INTERFACE, info->interface);
	fields_add_text(&w, TAG_HOSTNAME, info->hostname);
	for (size_t i = 0; i < info->n_addresses; i++) {
		p = fields_add(&w, TAG_ADDRESS, ADDRESS_LEN);
		if (p)
			write_u8(write_bytes(p, info->addresses[i].ip.b, 16), info->addresses[i].prefix_len);
	}
	for (size_t i = 0; i < info->n_routes; i++)
		route_add(&w, &info->routes[i]);
	for (size_t i = 0; i < info->n_sysctls; i++)
		sysctl_add(&w, &info->sysctls[i]);
	fields_add_text(&w, TAG_RESOLV_CONF, info->resolv_conf);
	fields_add_text(&w, TAG_HOSTS, info->hosts);
	fields_add_u8(&w, TAG_POLICY_ROUTING, info->policy_routing != 0);
	fields_add_text(&w, TAG_KERNEL, info->kernel);
	fields_add_text(&w, TAG_VERSION, info->version);
	fields_add_u8(&w, TAG_MAY, info->may);
	for (size_t i = 0; i < info->n_variables; i++)
		fields_add_text(&w, TAG_VARIABLE, info->variables[i]);
	return fields_result(&w, ret_len);
}

void target_info_fini(struct target_info *info)
{
	free(info->addresses);
	free(info->routes);
	free(info->sysctls);
	free(info->resolv_conf);
	free(info->hosts);
	for (size_t i = 0; i < info->n_variables; i++)
		free(info->variables[i]);
	free(info->variables);
	*info = (struct target_info){ 0 };
}

/* Letters, digits and what names on a system have; never a control character. */
static bool text_is_plain(const uint8_t *p, size_t len, const char *marks)
{
	for (size_t i = 0; i < len; i++) {
		bool alnum =
		    (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9');

		if (!alnum && (!p[i] || !strchr(marks, p[i])))
			return false;
	}
	return true;
}

/* Besides letters and digits. */
#define INTERFACE_MARKS "_-.:@+"
#define HOSTNAME_MARKS	"_-."
#define VERSION_MARKS	"_-.:+~"

static int field_copy(const struct field *f, const char *marks, char *out, size_t room)
{
	if (f->len >= room || !text_is_plain(f->value, f->len, marks))
		return -EINVAL;
	memcpy(out, f->value, f->len);
	out[f->len] = '\0';
	return 0;
}

static bool prefix_fits(const struct ip *ip, uint8_t prefix_len)
{
	return prefix_len <= (ip_is_v4(ip) ? 32 : 128);
}

static int address_decode(const struct field *f, struct target_info *info)
{
	struct info_address a, *place;
	int error;

	if (f->len < ADDRESS_LEN)
		return -EINVAL;
	memcpy(a.ip.b, f->value, 16);
	a.prefix_len = f->value[16];
	if (!prefix_fits(&a.ip, a.prefix_len))
		return -EINVAL;
	place = fields_grow((void **)&info->addresses, info->n_addresses, INFO_ADDRESSES, sizeof(a), &error);
	if (!place)
		return error;
	*place = a;
	info->n_addresses++;
	return 0;
}

static int route_decode(const struct field *f, struct target_info *info)
{
	struct info_route r, *place;
	int error;

	if (f->len < ROUTE_LEN)
		return -EINVAL;
	memcpy(r.prefix.b, f->value, 16);
	r.prefix_len = f->value[16];
	r.type = f->value[17];
	memcpy(r.source.b, f->value + 18, 16);
	r.metric = get32(f->value + 34);
	r.mtu = get32(f->value + 38);
	if (!prefix_fits(&r.prefix, r.prefix_len))
		return -EINVAL;
	place = fields_grow((void **)&info->routes, info->n_routes, INFO_ROUTES, sizeof(r), &error);
	if (!place)
		return error;
	*place = r;
	info->n_routes++;
	return 0;
}

/* A path below a directory: no way up, no root. */
static bool path_stays_below(const char *path)
{
	return path[0] && path[0] != '/' && !strstr(path, "..");
}

static int sysctl_decode(const struct field *f, struct target_info *info)
{
	const uint8_t *nul = f->len ? memchr(f->value, 0, f->len) : NULL;
	struct info_sysctl s = { 0 }, *place;
	struct field name, value;
	int error;

	if (!nul)
		return -EINVAL;
	name = (struct field){ .value = f->value, .len = (size_t)(nul - f->value) };
	value = (struct field){ .value = nul + 1, .len = f->len - name.len - 1 };
	if (field_copy(&name, "_-./", s.name, sizeof(s.name)) < 0 || !path_stays_below(s.name) ||
	    field_copy(&value, "_-./:, \t", s.value, sizeof(s.value)) < 0)
		return -EINVAL;
	place = fields_grow((void **)&info->sysctls, info->n_sysctls, INFO_SYSCTLS, sizeof(s), &error);
	if (!place)
		return error;
	*place = s;
	info->n_sysctls++;
	return 0;
}

/* A name that isn't empty, "=", a value. */
static int variable_decode(const struct field *f, struct target_info *info)
{
	char *text = NULL, **place;
	int error = field_text(f, INFO_FILE_MAX, &text);

	if (error == 0 && (!strchr(text, '=') || *text == '='))
		error = -EINVAL;
	place = error ? NULL : fields_grow((void **)&info->variables, info->n_variables, INFO_VARIABLES, sizeof(*place), &error);
	if (!place) {
		free(text);
		return error;
	}
	*place = text;
	info->n_variables++;
	return 0;
}

static int interface_decode(const struct field *f, struct target_info *info)
{
	int r = field_copy(f, INTERFACE_MARKS, info->interface, sizeof(info->interface));

	return strcmp(info->interface, ".") == 0 || strcmp(info->interface, "..") == 0 ? -EINVAL : r;
}

void target_info_tidy(struct target_info *info)
{
	if (!info->interface[0] || !text_is_plain((uint8_t *)info->interface, strlen(info->interface), INTERFACE_MARKS))
		strcpy(info->interface, "eth0");
	if (!text_is_plain((uint8_t *)info->hostname, strlen(info->hostname), HOSTNAME_MARKS))
		info->hostname[0] = '\0';
	if (!text_is_plain((uint8_t *)info->kernel, strlen(info->kernel), VERSION_MARKS))
		info->kernel[0] = '\0';
}

static int field_decode(const struct field *f, struct target_info *info)
{
	switch ((enum tag)f->tag) {
	case TAG_INTERFACE:
		return interface_decode(f, info);
	case TAG_HOSTNAME:
		return field_copy(f, HOSTNAME_MARKS, info->hostname, sizeof(info->hostname));
	case TAG_ADDRESS:
		return address_decode(f, info);
	case TAG_ROUTE:
		return route_decode(f, info);
	case TAG_SYSCTL:
		return sysctl_decode(f, info);
	case TAG_RESOLV_CONF:
		return field_text(f, INFO_FILE_MAX, &info->resolv_conf);
	case TAG_HOSTS:
		return field_text(f, INFO_FILE_MAX, &info->hosts);
	case TAG_POLICY_ROUTING:
		if (f->len < 1)
			return -EINVAL;
		info->policy_routing = f->value[0] != 0;
		return 0;
	case TAG_VARIABLE:
		return variable_decode(f, info);
	case TAG_KERNEL:
		return field_copy(f, VERSION_MARKS, info->kernel, sizeof(info->kernel));
	case TAG_VERSION:
		return field_copy(f, VERSION_MARKS, info->version, sizeof(info->version));
	case TAG_MAY:
		if (f->len < 1)
			return -EINVAL;
		info->may = f->value[0];
		return 0;
	}
	return 0;
}

int target_info_decode(const uint8_t *data, size_t len, struct target_info *ret, struct error *err)
{
	struct target_info info = { 0 };
	size_t whole = len, variables = 0;
	struct field f;
	int r;

	while ((r = fields_next(&data, &len, &f)) > 0) {
		variables += f.tag == TAG_VARIABLE ? f.len + 1 : 0;
		r = variables > INFO_VARIABLES_MAX ? -EINVAL : field_decode(&f, &info);
		if (r < 0)
			break;
	}
	if (r < 0) {
		target_info_fini(&info);
		if (r == -ENOMEM)
			return error_set(err, ENOMEM, "read what the agent tells of the target");
		return error_set(err, 0, "what the agent tells of the target is malformed at byte %zu of %zu",
				 whole - len, whole);
	}
	*ret = info;
	return 0;
}

uint8_t *failure_encode(const struct error *e, size_t *ret_len)
{
	struct fields_writer w = { 0 };

	fields_add_text(&w, FAILURE_TEXT, e->text);
	fields_add_text(&w, FAILURE_HINT, e->hint);
	fields_add_u8(&w, FAILURE_STATUS, (uint8_t)e->status);
	return fields_result(&w, ret_len);
}

int failure_decode(const uint8_t *data, size_t len, struct error *ret)
{
	struct error e = { .status = 1 };
	struct field f;
	int r;

	while ((r = fields_next(&data, &len, &f)) > 0) {
		if (f.tag == FAILURE_TEXT)
			field_words(&f, e.text, sizeof(e.text));
		else if (f.tag == FAILURE_HINT)
			field_words(&f, e.hint, sizeof(e.hint));
		else if (f.tag == FAILURE_STATUS && f.len)
			e.status = f.value[0];
	}
	if (r < 0 || !e.text[0])
		return -1;
	*ret = e;
	return 0;
}
