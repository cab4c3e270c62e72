// SPDX-License-Identifier: MIT
/* What an agent tells of its target, and why it can't: within the limits, harmless, and the same when it is encoded again. */
#include "tunnel/info.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static void check_target(const struct target_info *info)
{
	fuzz_check(info->n_addresses <= INFO_ADDRESSES && info->n_routes <= INFO_ROUTES && info->n_sysctls <= INFO_SYSCTLS);
	fuzz_check(!strchr(info->interface, '/') && !strpbrk(info->hostname, "\n \033/"));
	fuzz_check(!strpbrk(info->kernel, "\n \033/") && !strpbrk(info->version, "\n \033/"));
	fuzz_check(!info->hosts || strlen(info->hosts) <= INFO_FILE_MAX);
	for (size_t i = 0; i < info->n_sysctls; i++) {
		const char *name = info->sysctls[i].name;

		fuzz_check(*name && *name != '/' && !strstr(name, "..") && strlen(name) < sizeof(info->sysctls[i].name));
		fuzz_check(strlen(info->sysctls[i].value) < sizeof(info->sysctls[i].value) && !strchr(info->sysctls[i].value, '\n'));
	}
	for (size_t i = 0; i < info->n_addresses; i++)
		fuzz_check(info->addresses[i].prefix_len <= (ip_is_v4(&info->addresses[i].ip) ? 32 : 128));
}

static void decode_target(const uint8_t *data, size_t size)
{
	struct target_info info, again;
	struct error err = { 0 };
	uint8_t *first, *second;
	size_t len, len2;

	if (target_info_decode(data, size, &info, &err) < 0) {
		fuzz_check(error_is_set(&err));
		return;
	}
	check_target(&info);
	first = target_info_encode(&info, &len);
	fuzz_check(first && target_info_decode(first, len, &again, &err) == 0);
	second = target_info_encode(&again, &len2);
	fuzz_check(second && len == len2 && memcmp(first, second, len) == 0);
	target_info_fini(&info);
	target_info_fini(&again);
	free(first);
	free(second);
}

static void decode_failure(const uint8_t *data, size_t size)
{
	struct error e = { 0 }, again = { 0 };
	uint8_t *first;
	size_t len;

	if (failure_decode(data, size, &e) < 0)
		return;
	fuzz_check(e.text[0] && strlen(e.text) < sizeof(e.text) && strlen(e.hint) < sizeof(e.hint));
	fuzz_check(!strchr(e.text, '\033') && !strchr(e.hint, '\r'));
	first = failure_encode(&e, &len);
	fuzz_check(first && failure_decode(first, len, &again) == 0);
	fuzz_check(strcmp(e.text, again.text) == 0 && strcmp(e.hint, again.hint) == 0 && e.status == again.status);
	free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	decode_target(data, size);
	decode_failure(data, size);
	return 0;
}
