/* SPDX-License-Identifier: Apache-2.0 */
/* How the master starts a role: `waypost role NAME`, with the descriptors that service.h names. */
#include "base/str.h"
#include "commands.h"
#include "service/service.h"

#include <stdio.h>
#include <sysexits.h>

extern const struct role log_role, pickup_role, queue_role, resolver_role, smtp_role, smtpd_role;
#pragma weak log_role
#pragma weak pickup_role
#pragma weak queue_role
#pragma weak resolver_role
#pragma weak smtp_role
#pragma weak smtpd_role

static const struct role *const roles[] = {
    &log_role, &pickup_role, &queue_role, &resolver_role, &smtp_role, &smtpd_role,
};

int role_main(int argc, char **argv)
{
    struct str name = str_from(argc == 2 ? argv[1] : "");

    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (roles[i] != NULL && str_equal(name, str_from(roles[i]->name)))
            return service_main(roles[i]);
    fputs("waypost: fatal: roles are started by the master; run 'postfix start'\n", stderr);
    return EX_USAGE;
}
