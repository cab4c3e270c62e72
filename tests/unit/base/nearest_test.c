// SPDX-License-Identifier: MIT
#include "base/nearest.h"

#include "tap.h"

static const char *const words[] = { "pid", "netns", "docker", "podman", "pod", "deployment", NULL };

static const struct {
	const char *name, *typed, *want;
} rows[] = {
	{ "the word itself", "docker", "docker" },
	{ "a letter left out", "dcker", "docker" },
	{ "a letter added", "netnss", "netns" },
	{ "a letter replaced", "podmen", "podman" },
	{ "neighbours swapped", "pdi", "pid" },
	{ "a swap is nearer than two others", "pdo", "pod" },
	{ "capitals", "Docker", "docker" },
	{ "the first of equals", "po", "pod" },
	{ "too far", "xyz", NULL },
	{ "short and too far", "a", NULL },
	{ "three letters of which two are others", "pun", NULL },
	{ "nothing", "", NULL },
	{ "longer than any word", "deploymentdeploymentdeploymentdeployment", NULL },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = nearest_word(rows[i].typed, words);

		tap_str(got ? got : "(none)", rows[i].want ? rows[i].want : "(none)", "%s", rows[i].name);
	}
	return tap_done();
}
