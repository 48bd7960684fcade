/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "service/confinement.h"

/* It has its listeners and its channels, and gets connections from them: no files, no sockets of
 * its own, no threads. */
static const struct confinement smtpd_confinement = { .rights = 0 };

bool smtpd_confine(struct service *service, struct error *error)
{
    return confinement_apply(service, &smtpd_confinement, error);
}
