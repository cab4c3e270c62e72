// SPDX-License-Identifier: MIT
/* The ends of the program's sockets: the kernel tells when the last descriptor of one is closed, in whichever process. */
#pragma once

#include <stdbool.h>

/* A descriptor that hears of them, and doesn't block; -1 with errno when the user has too many of its kind. */
int endings_open(void);
/* It hears of @fd's end, once; @fd itself may be closed before. Where the kernel can't, it doesn't. */
void endings_await(int endings, int fd);
/* Takes what was heard: true when a socket has ended, or is about to within the closing process's close(2). */
bool endings_read(int endings);
