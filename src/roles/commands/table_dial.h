/* SPDX-License-Identifier: Apache-2.0 */
/* Lets a command ask tables that are on servers (tcp, socketmap): it dials them itself. */
#pragma once

#include "config/config.h"

/* Runs `work(argument)` where tables may wait for servers, and with the configuration's
 * proxy_read_maps where `config` is not NULL. */
must_check bool table_dial_run(const struct config *config, void (*work)(void *argument),
                               void *argument, struct error *error);
