// SPDX-License-Identifier: MIT
/* The cluster that the settings name. */
#pragma once

#include "kube/client.h"
#include "kube/settings.h"

/* Reads the kubeconfig. The working directory is / afterwards, when the settings have another. NULL with @err. */
struct kube *kube_open(const struct kube_settings *s, struct error *err);

/* A credential plugin that may ask the user something is run now, where there is a terminal: processes of ours that come later have none. What it
 * printed goes into @s, for kube_open(). Returns 0, also when there is nothing to do, or -1 with @err. */
int kube_let_ask(struct kube_settings *s, struct error *err);
