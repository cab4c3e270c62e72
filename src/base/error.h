// SPDX-License-Identifier: MIT
/* One error on its way up from a set-up step to the CLI, which alone prints it. */
#pragma once

#include <stdbool.h>

/* @text reads "what on what: why"; @hint, when not empty, says what to do about it.
 * @status is the exit status that the CLI ends with. Zero-initialise before use. */
struct error {
	char text[1024];
	char hint[1024];
	int status;
};

/* Sets the text, with strerror(@err) behind it unless @err is 0. Returns -1. */
int error_set(struct error *e, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Puts "what: " before the text that is there. Returns -1. */
int error_wrap(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sets the advice; a hint that is there already stays, since the deeper one knows more. Returns -1. */
int error_hint(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool error_is_set(const struct error *e);
