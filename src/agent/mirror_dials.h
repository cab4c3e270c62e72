// SPDX-License-Identifier: MIT
/* Connections to programs that the mirroring process has asked for, until they are made. */
#pragma once

#include <stdint.h>

#include "base/list.h"
#include "net/addr.h"
#include "relay/egress.h"

/* @key: whose subscription, @copy: what for. @error is 0 and the descriptor the callee's, or it is an errno. */
typedef void (*mirror_dialed_fn)(void *arg, uint32_t key, uint32_t copy, int error, int fd);

/* Embedded. */
struct mirror_dials {
	struct list all;
	mirror_dialed_fn on_done;
	void *arg;
};

void mirror_dials_init(struct mirror_dials *ds, mirror_dialed_fn on_done, void *arg);
/* @on_done is called for each once, also from inside, unless it is dropped before. */
void mirror_dials_add(struct mirror_dials *ds, struct egress *program, const struct endpoint *local, const struct endpoint *remote, uint32_t key,
		      uint32_t copy);
void mirror_dials_drop(struct mirror_dials *ds, uint32_t copy);
void mirror_dials_drop_key(struct mirror_dials *ds, uint32_t key);
void mirror_dials_drop_all(struct mirror_dials *ds);
