/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "service/confinement.h"

/* It connects to servers, and that is all: no files, no other programs, no Unix sockets. */
bool smtp_confine(struct service *service, struct error *error)
{
    static const struct confinement confinement = { .rights = CONFINEMENT_INET };

    return confinement_apply(service, &confinement, error);
}
