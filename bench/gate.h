// SPDX-License-Identifier: MIT
/* The driver says where it is and waits, so that the bench can place and measure processes between two steps. */
#pragma once

/* Prints "{"stage": …, FIELDS}" on standard output and waits for a line on standard input; exits at its end. @fields may be NULL,
 * else a format of "key": value pairs. */
void gate(const char *stage, const char *fields, ...) __attribute__((format(printf, 2, 3)));
