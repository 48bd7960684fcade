/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxywrite role's caches of refused logins, one for each that a client's service names, and
 * the workers of smtp that ask. One loop, one thread.
 */
#pragma once

#include "base/list.h"
#include "service/service.h"
#include "wire/answerer.h"

struct caches {
    struct service *service;
    struct list caches;
    struct answerer clients; /* workers of smtp */
};

/* Opens what the services name, while files can be opened. */
must_check bool caches_open(struct caches *caches, struct service *service, struct error *error);
/* Removes what is older than the services that share a cache want it to be. */
void caches_sweep(struct caches *caches);
/* Takes over the ages. A cache that is new in the configuration is there after the next start. */
void caches_configure(struct caches *caches, const struct config_source *source);
void caches_close(struct caches *caches);
