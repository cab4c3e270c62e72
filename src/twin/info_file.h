// SPDX-License-Identifier: MIT
/* A target's description handed between processes in a memfd, since it may be larger than a message. */
#pragma once

#include "base/error.h"
#include "tunnel/info.h"

/* A memfd with the encoded description; -1 with @err. */
int target_info_memfd(const struct target_info *info, struct error *err);
/* Reads it, from the start. Returns 0, or -1 with @err. */
int target_info_from_fd(int fd, struct target_info *ret, struct error *err);
