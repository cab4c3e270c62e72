// SPDX-License-Identifier: MIT
/* The grammar of a cluster's targets. Internal to the target library. */
#pragma once

#include "target/target.h"

/* Reads what stands behind the kind in @ret: "shop", "shop/container/app"; "k=v,k2=v2" of label/; NULL of targetless. Returns 0, or -1
 * with @err. Whether there is such a thing, only the cluster can tell. */
int cluster_parse(const char *name, struct target *ret, struct error *err);
