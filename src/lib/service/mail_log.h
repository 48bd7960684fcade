/* SPDX-License-Identifier: Apache-2.0 */
/* The file that maillog_file names (postconf(5)), for the log role and for commands. */
#pragma once

#include "config/config.h"

/* Opens it for lines at its end; one that is not there is made with maillog_file_permissions. -1
 * with `error`, also where it is outside of maillog_file_prefixes. */
must_check int mail_log_open(const struct config *config, struct error *error);
