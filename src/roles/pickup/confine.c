/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "service/confinement.h"

/* It reads and removes files in the maildrop, and moves damaged ones. No sockets, no programs. */
bool pickup_confine(struct service *service, struct error *error)
{
    static const char *const spool_folders[] = { "maildrop", "corrupt", NULL };
    static const struct confinement confinement = { .spool_folders = spool_folders };

    return confinement_apply(service, &confinement, error);
}
