/* SPDX-License-Identifier: Apache-2.0 */
/* What a command of local delivery finds in its environment. */
#pragma once

#include "delivery.h"

struct command_names {
    struct str user, local, extension, domain, recipient, sender;
    const char *home, *shell; /* NULL: there is no user */
};

/* What export_environment lets through of our own environment; false: nothing of that name. A
 * command that calls sendmail finds this instance by MAIL_CONFIG. */
bool command_exported(const struct config *config, struct arena *arena, struct str word,
                      const char **assignment);
/* "NAME=value", ended by NULL, in the arena. Values are filtered by command_expansion_filter. */
const char *const *command_environment(struct delivery *delivery, size_t recipient,
                                       const struct command_names *names);
