// SPDX-License-Identifier: MIT
#include "twin/layout.h"

const struct mac relay_mac = { { 0x02, 0x6d, 0x69, 0, 0, 1 } }, twin_mac = { { 0x02, 0x6d, 0x69, 0, 0, 2 } };
