/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "service/confinement.h"

/* It talks to name servers, from a thread that libunbound starts with the first question. */
bool resolver_confine(struct service *service, struct error *error)
{
    static const struct confinement confinement = {
        .rights = CONFINEMENT_INET | CONFINEMENT_THREADS,
    };

    return confinement_apply(service, &confinement, error);
}
