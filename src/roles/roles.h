/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every role's declaration, for the one table that starts them (commands/main.c). Roles never use
 * one another through this.
 */
#pragma once

#include "service/service.h"

/* waypost role master [-c folder] [-r ready_fd]: returns the exit status. */
int master_main(int argc, char **argv);

extern const struct role local_role;
extern const struct role anvil_role;
extern const struct role keys_role;
extern const struct role log_role;
extern const struct role pickup_role;
extern const struct role proxywrite_role;
extern const struct role queue_role;
extern const struct role resolver_role;
extern const struct role sasl_role;
extern const struct role smtp_role;
extern const struct role smtpd_role;
extern const struct role verify_role;
