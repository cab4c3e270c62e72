// SPDX-License-Identifier: MIT
/* One accepted connection of bench-server's. */
#pragma once

#include <stdint.h>

#include "remote.h"

struct conn;

/* Takes @fd over and watches it in @epoll_fd with itself as the event's pointer. NULL without memory. */
struct conn *conn_new(int epoll_fd, int fd, enum service service);
/* Handles its events; frees it when the connection is over. */
void conn_ready(struct conn *c, uint32_t events);
