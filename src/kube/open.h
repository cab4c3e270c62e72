// SPDX-License-Identifier: MIT
/* The cluster that the settings name. */
#pragma once

#include "kube/client.h"
#include "kube/settings.h"

/* Reads the kubeconfig. The working directory is / afterwards, when the settings have another. NULL with @err. */
struct kube *kube_open(const struct kube_settings *s, struct error *err);
