/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "service/confinement.h"

static const char *const spool_folders[] = { "store", NULL };

/* No sockets of its own, no programs; the committer is a thread. */
static const struct confinement queue_confinement = {
    .rights = CONFINEMENT_THREADS,
    .spool_folders = spool_folders,
};

bool queue_confine(struct service *service, struct error *error)
{
    return confinement_apply(service, &queue_confinement, error);
}
