// SPDX-License-Identifier: MIT
/* What the agent tells of the target: there and back, cut at every place, and what is refused. */
#include "tunnel/info.h"

#include <linux/rtnetlink.h>
#include <string.h>

#include "net/bytes.h"

#include "guard.h"
#include "tap.h"

static char *text_of(size_t len)
{
	char *text = malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + i % 26);
	text[len] = '\0';
	return text;
}

/* One of everything; or as much of everything as there may be. */
static struct target_info example(bool full)
{
	struct target_info info = { .interface = "eth0", .hostname = "shop-7d4b9", .policy_routing = 1,
				     .kernel = "6.1.0-18-amd64", .version = "0.1.0", .may = INFO_MAY_MIRROR };

	info.n_addresses = full ? INFO_ADDRESSES : 2;
	info.n_routes = full ? INFO_ROUTES : 2;
	info.n_sysctls = full ? INFO_SYSCTLS : 2;
	info.addresses = calloc(info.n_addresses, sizeof(*info.addresses));
	info.routes = calloc(info.n_routes, sizeof(*info.routes));
	info.sysctls = calloc(info.n_sysctls, sizeof(*info.sysctls));
	for (size_t i = 0; i < info.n_addresses; i++) {
		info.addresses[i] = (struct info_address){ i % 2 ? IP_ANY6 : IP_ANY4, i % 2 ? 64 : 24 };
		info.addresses[i].ip.b[15] = (uint8_t)(i + 1);
	}
	for (size_t i = 0; i < info.n_routes; i++) {
		info.routes[i] = (struct info_route){ IP_ANY4, (uint8_t)(i % 33), RTN_UNREACHABLE, IP_ANY6, (uint32_t)i, (uint32_t)i + 1280 };
		info.routes[i].prefix.b[12] = 10;
	}
	for (size_t i = 0; i < info.n_sysctls; i++) {
		snprintf(info.sysctls[i].name, sizeof(info.sysctls[i].name), "ipv4/tcp_thing-%zu", i);
		snprintf(info.sysctls[i].value, sizeof(info.sysctls[i].value), "%zu\t4096 -1", i);
	}
	info.resolv_conf = text_of(full ? INFO_FILE_MAX : 40);
	info.hosts = text_of(full ? INFO_FILE_MAX : 0);
	info.n_variables = full ? INFO_VARIABLES : 2;
	info.variables = calloc(info.n_variables, sizeof(char *));
	for (size_t i = 0; i < info.n_variables; i++)
		if (asprintf(&info.variables[i], "NAME_%zu=%s", i, i % 2 ? "a=b\nc" : "") < 0)
			exit(99);
	return info;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same(const struct target_info *a, const struct target_info *b)
{
	if (strcmp(a->interface, b->interface) || strcmp(a->hostname, b->hostname) || strcmp(a->kernel, b->kernel) ||
	    strcmp(a->version, b->version) || a->may != b->may || a->n_addresses != b->n_addresses ||
	    a->n_routes != b->n_routes || a->n_sysctls != b->n_sysctls || a->policy_routing != b->policy_routing ||
	    !same_text(a->resolv_conf, b->resolv_conf) || !same_text(a->hosts, b->hosts))
		return false;
	for (size_t i = 0; i < a->n_addresses; i++)
		if (memcmp(&a->addresses[i], &b->addresses[i], sizeof(a->addresses[i])))
			return false;
	for (size_t i = 0; i < a->n_routes; i++)
		if (!ip_equal(&a->routes[i].prefix, &b->routes[i].prefix) || a->routes[i].prefix_len != b->routes[i].prefix_len ||
		    a->routes[i].type != b->routes[i].type || !ip_equal(&a->routes[i].source, &b->routes[i].source) ||
		    a->routes[i].metric != b->routes[i].metric || a->routes[i].mtu != b->routes[i].mtu)
			return false;
	for (size_t i = 0; i < a->n_sysctls; i++)
		if (strcmp(a->sysctls[i].name, b->sysctls[i].name) || strcmp(a->sysctls[i].value, b->sysctls[i].value))
			return false;
	for (size_t i = 0; a->n_variables == b->n_variables && i < a->n_variables; i++)
		if (strcmp(a->variables[i], b->variables[i]))
			return false;
	return a->n_variables == b->n_variables;
}

static void test_there_and_back(const char *name, struct target_info info)
{
	struct target_info got;
	struct error err = { 0 };
	size_t len;
	uint8_t *data = target_info_encode(&info, &len);

	tap_int(target_info_decode(data, len, &got, &err), 0, "%s (%zu bytes)", name, len);
	tap_ok(same(&info, &got), "%s: the same", name);
	tap_ok(len <= 4 << 20, "%s: fits a message", name);
	target_info_fini(&info);
	target_info_fini(&got);
	target_info_fini(&got);
	free(data);
}

/* Between two fields it is a shorter message; anywhere else it is malformed. */
static void test_cuts(void)
{
	struct target_info info = example(false), got;
	struct error err;
	size_t len, whole = 0, wrong = 0;
	uint8_t *data = target_info_encode(&info, &len);

	for (size_t cut = 0; cut < len; cut++) {
		size_t at = 0;

		while (at < cut)
			at += 6 + get32(data + at + 2);
		if (target_info_decode(guard_copy(data, cut), cut, &got, &err) == 0) {
			target_info_fini(&got);
			wrong += at != cut;
			whole++;
		} else {
			wrong += at == cut;
		}
	}
	tap_int(wrong, 0, "cut anywhere inside a field it is malformed");
	tap_int(whole, 16, "between two fields it isn't");
	free(data);
	target_info_fini(&info);
}

static const char ADDRESS24[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1\x18";

#define TEXT(text) text, sizeof(text) - 1
static const struct {
	const char *name;
	uint16_t tag;
	const char *value;
	size_t len;
	int want;
} fields[] = {
	{ "unknown", 99, TEXT("whatever"), 0 },
	{ "interface", 1, TEXT("eth0.100"), 0 },
	{ "longest interface", 1, TEXT("123456789012345"), 0 },
	{ "interface too long", 1, TEXT("1234567890123456"), -1 },
	{ "interface as a path", 1, TEXT("../x"), -1 },
	{ "interface as a directory", 1, TEXT(".."), -1 },
	{ "interface with a space", 1, TEXT("a b"), -1 },
	{ "interface with a 0", 1, TEXT("a\0b"), -1 },
	{ "host name", 2, TEXT("shop.default-1_x"), 0 },
	{ "host name with a newline", 2, TEXT("shop\nx"), -1 },
	{ "host name with an escape", 2, TEXT("\033[2J"), -1 },
	{ "address", 3, ADDRESS24, 17, 0 },
	{ "address that grew", 3, TEXT("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1\x20more"), 0 },
	{ "address cut", 3, ADDRESS24, 16, -1 },
	{ "address with a long prefix", 3, TEXT("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1\x21"), -1 },
	{ "IPv6 address with a long prefix", 3, TEXT("\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x81"), -1 },
	{ "IPv6 address", 3, TEXT("\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x80"), 0 },
	{ "route cut", 4, ADDRESS24, 17, -1 },
	{ "sysctl", 5, TEXT("ipv4/tcp_rmem\0004096 131072 6291456"), 0 },
	{ "sysctl without a value", 5, TEXT("ipv4/tcp_rmem"), -1 },
	{ "sysctl with an empty value", 5, TEXT("ipv4/tcp_rmem\0"), 0 },
	{ "sysctl without a name", 5, TEXT("\0001"), -1 },
	{ "sysctl from the root", 5, TEXT("/etc/passwd\0001"), -1 },
	{ "sysctl on the way up", 5, TEXT("ipv4/../../kernel/core_pattern\0001"), -1 },
	{ "sysctl with a pipe", 5, TEXT("ipv4/x\0|/bin/sh"), -1 },
	{ "sysctl with two values", 5, TEXT("ipv4/x\0001\0002"), -1 },
	{ "resolv.conf", 6, TEXT("nameserver 10.96.0.10\nsearch a b\n"), 0 },
	{ "resolv.conf with a 0", 6, TEXT("nameserver\0"), -1 },
	{ "empty hosts", 7, TEXT(""), 0 },
	{ "policy routing", 8, TEXT("\1"), 0 },
	{ "policy routing, empty", 8, TEXT(""), -1 },
	{ "kernel", 10, TEXT("6.1.0-18-amd64+x~1"), 0 },
	{ "kernel with an escape", 10, TEXT("6.1\033[2J"), -1 },
	{ "version", 11, TEXT("0.1.0~rc1"), 0 },
	{ "version too long", 11, TEXT("12345678901234567890123456789012"), -1 },
	{ "rights", 12, TEXT("\3"), 0 },
	{ "rights, empty", 12, TEXT(""), -1 },
};

static size_t put_field(uint8_t *out, uint16_t tag, const void *value, size_t len)
{
	put16(out, tag);
	put32(out + 2, (uint32_t)len);
	if (len)
		memcpy(out + 6, value, len);
	return 6 + len;
}

/* Two variables of half of all that they may have, or a byte more. */
static void test_variables_in_all(void)
{
	enum { HALF = INFO_VARIABLES_MAX / 2 };

	for (size_t more = 0; more < 2; more++) {
		char *value = malloc(HALF + more);
		uint8_t *data = malloc(2 * (6 + HALF + more));
		struct target_info got = { 0 };
		struct error err = { 0 };
		size_t len;

		memset(value, 'x', HALF + more);
		memcpy(value, "A=", 2);
		len = put_field(data, 9, value, HALF - 1); /* as a string each has one byte more */
		len += put_field(data + len, 9, value, HALF - 1 + more);
		tap_int(target_info_decode(data, len, &got, &err), more ? -1 : 0, "variables of %d bytes in all, and %zu more",
			INFO_VARIABLES_MAX, more);
		if (!more)
			target_info_fini(&got);
		free(data);
		free(value);
	}
}

static void test_fields(void)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct target_info got = { .n_routes = 77 };
		struct error err = { 0 };
		uint8_t data[256];
		size_t len = put_field(data, fields[i].tag, fields[i].value, fields[i].len);
		int r = target_info_decode(guard_copy(data, len), len, &got, &err);

		tap_int(r, fields[i].want, "field: %s", fields[i].name);
		if (r == 0)
			target_info_fini(&got);
		else
			tap_ok(got.n_routes == 77 && error_is_set(&err), "field: %s: an error, and nothing is set", fields[i].name);
	}
}

/* @n times the same field. */
static int decode_repeated(uint16_t tag, const void *value, size_t len, size_t n)
{
	struct target_info got = { 0 };
	struct error err;
	uint8_t *data = malloc(n * (6 + len));
	size_t at = 0;
	int r;

	for (size_t i = 0; i < n; i++)
		at += put_field(data + at, tag, value, len);
	r = target_info_decode(data, at, &got, &err);
	target_info_fini(&got);
	free(data);
	return r;
}

static void test_limits(void)
{
	char *file = text_of(INFO_FILE_MAX + 1), route[42] = "";

	tap_int(decode_repeated(3, ADDRESS24, 17, INFO_ADDRESSES), 0, "most addresses");
	tap_int(decode_repeated(3, ADDRESS24, 17, INFO_ADDRESSES + 1), -1, "one too many");
	tap_int(decode_repeated(4, route, 42, INFO_ROUTES), 0, "most routes");
	tap_int(decode_repeated(4, route, 42, INFO_ROUTES + 1), -1, "one too many");
	tap_int(decode_repeated(5, "a\0", 2, INFO_SYSCTLS), 0, "most sysctls");
	tap_int(decode_repeated(5, "a\0", 2, INFO_SYSCTLS + 1), -1, "one too many");
	tap_int(decode_repeated(6, file, INFO_FILE_MAX, 1), 0, "largest file");
	tap_int(decode_repeated(6, file, INFO_FILE_MAX + 1, 1), -1, "one byte too many");
	tap_int(decode_repeated(7, "x", 1, 2), -1, "a file twice");
	free(file);
}

static void test_failure(void)
{
	struct error e = { 0 }, got = { 0 };
	size_t len, decoded = 0;
	uint8_t *data, other[64];

	error_set(&e, 0, "enter pid/4711: it is gone");
	error_hint(&e, "is it running?");
	e.status = 127;
	data = failure_encode(&e, &len);
	tap_int(failure_decode(guard_copy(data, len), len, &got), 0, "a failure");
	tap_str(got.text, e.text, "its text");
	tap_str(got.hint, e.hint, "its advice");
	tap_int(got.status, 127, "its status");
	for (size_t cut = 0; cut < len; cut++)
		decoded += failure_decode(guard_copy(data, cut), cut, &got) == 0;
	tap_int(decoded, 2, "cut, it is whole only behind the text");
	free(data);
	memset(e.text, 'x', sizeof(e.text) - 1);
	data = failure_encode(&e, &len);
	tap_int(failure_decode(data, len, &got), 0, "the longest");
	tap_str(got.text, e.text, "its text");
	free(data);
	len = put_field(other, 1, "a\033[2J\nb\0c", 9);
	tap_int(failure_decode(other, len, &got), 0, "one with control characters");
	tap_str(got.text, "a?[2J\nb?c", "does nothing to a terminal");
	len = put_field(other, 2, "hint", 4);
	tap_int(failure_decode(other, len, &got), -1, "one without a text");
}

/* What has been tidied can be told. */
static void test_tidy(void)
{
	static const struct {
		const char *interface, *hostname, *want_interface, *want_hostname;
	} rows[] = {
		{ "ens3", "shop-7d9.test", "ens3", "shop-7d9.test" },
		{ "eth(0)", "(none)", "eth0", "" },
		{ "", "two words", "eth0", "" },
		{ "a\"b", "line\nbreak", "eth0", "" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct target_info info = { 0 }, told = { 0 };
		struct error err = { 0 };
		size_t len;
		uint8_t *data;

		strcpy(info.interface, rows[i].interface);
		strcpy(info.hostname, rows[i].hostname);
		target_info_tidy(&info);
		data = target_info_encode(&info, &len);
		tap_int(target_info_decode(data, len, &told, &err), 0, "tidied row %zu is read", i);
		tap_str(told.interface, rows[i].want_interface, "its interface");
		tap_str(told.hostname, rows[i].want_hostname, "its host name");
		free(data);
		target_info_fini(&told);
	}
}

int main(void)
{
	test_tidy();
	test_there_and_back("empty", (struct target_info){ 0 });
	test_there_and_back("example", example(false));
	test_there_and_back("as much as there may be", example(true));
	test_cuts();
	test_fields();
	test_variables_in_all();
	test_limits();
	test_failure();
	return tap_done();
}
