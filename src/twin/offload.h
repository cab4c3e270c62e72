// SPDX-License-Identifier: MIT
/* Offload features of a link (ethtool). */
#pragma once

#include "base/error.h"

/* Makes the stack cut UDP GSO packets before they leave by @link, so that the session sees each datagram. */
int link_segmentation_off(const char *link, struct error *err);
