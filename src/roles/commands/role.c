/* SPDX-License-Identifier: Apache-2.0 */
/* How `postfix start` starts the master, and the master each role, with the descriptors that
 * service.h names: `waypost role NAME`. */
#include "base/str.h"
#include "commands.h"
#include "roles.h"

#include <stdio.h>
#include <sysexits.h>

static const struct role *const roles[] = {
    &anvil_role, &keys_role,     &local_role, &log_role,  &pickup_role, &proxywrite_role,
    &queue_role, &resolver_role, &sasl_role,  &smtp_role, &smtpd_role,  &verify_role,
};

int role_main(int argc, char **argv)
{
    struct str name = str_from(argc >= 2 ? argv[1] : "");

    if (str_equal(name, STR("master")))
        return master_main(argc - 1, argv + 1);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (argc == 2 && str_equal(name, str_from(roles[i]->name)))
            return service_main(roles[i]);
    fputs("waypost: fatal: roles are started by the master; run 'postfix start'\n", stderr);
    return EX_USAGE;
}
