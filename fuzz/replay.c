// SPDX-License-Identifier: MIT
/* Runs a fuzz target on files, and on the files of directories: what the fuzzers found once must not come back, in any
 * build. Each input ends at a page that can't be read. One line of TAP per file; a crash ends the program before its
 * plan. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "guard.h"
#include "tap.h"

static void replay_file(const char *path)
{
	static uint8_t data[GUARD_ROOM];
	FILE *file = fopen(path, "re");
	size_t len;

	if (!file) {
		tap_ok(false, "%s: %s", path, strerror(errno));
		return;
	}
	len = fread(data, 1, sizeof(data), file);
	fclose(file);
	if (len == sizeof(data)) {
		tap_ok(false, "%s: larger than %d bytes", path, GUARD_ROOM - 1);
		return;
	}
	fprintf(stderr, "%s\n", path); /* the last one named is the one that crashed */
	tap_ok(LLVMFuzzerTestOneInput(guard_copy(data, len), len) == 0, "%s", path);
}

static void replay_directory(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);
	char file[4096];

	if (n < 0)
		tap_ok(false, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.') {
			snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
			replay_file(file);
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

int main(int argc, char **argv)
{
	struct stat st;

	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			replay_directory(argv[i]);
		else
			replay_file(argv[i]);
	}
	if (tap_count == 0)
		tap_ok(false, "nothing to replay");
	return tap_done();
}
