/* SPDX-License-Identifier: Apache-2.0 */
/* Address extensions: "user+folder" where recipient_delimiter is a set with '+'. Pure. */
#pragma once

#include "base/str.h"

struct extension_rules {
    struct str delimiters;   /* recipient_delimiter: each of its bytes is one */
    bool splits_owner_names; /* owner_request_special = no */
};

/* Splits a local part at the first delimiter, which stays with the extension. False where it has no
 * extension: system names (postmaster, mailer-daemon, double-bounce), "owner-list" and
 * "list-request" where '-' is a delimiter, and where the user part would be empty. */
bool extension_split(struct str local, const struct extension_rules *rules, struct str *user,
                     struct str *extension);
