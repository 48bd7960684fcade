/* SPDX-License-Identifier: Apache-2.0 */
/* Address extensions: "user+folder" where recipient_delimiter is a set with '+'. Pure. */
#pragma once

#include "base/str.h"

/* Splits a local part at the first byte of `delimiters`. False where it has no extension: system
 * names (postmaster, mailer-daemon, double-bounce), "owner-list" and "list-request" where '-' is
 * the delimiter, and where the user part or the extension would be empty. */
bool extension_split(struct str local, struct str delimiters, struct str *user,
                     struct str *extension);
