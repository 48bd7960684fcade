/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postfix logrotate`: the file that maillog_file names is renamed, the mail system opens a new
 * one, and the old one is compressed (postconf(5): maillog_file_rotate_suffix,
 * maillog_file_compressor).
 */
#pragma once

#include "config/config.h"

#include <sys/types.h>

/* `master`: whom to tell; 0 where the mail system does not run. On failure no line is lost: the
 * error says under which name they are. */
must_check bool log_rotate(const struct config *config, pid_t master, struct error *error);
