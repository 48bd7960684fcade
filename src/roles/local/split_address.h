/* SPDX-License-Identifier: Apache-2.0 */
/* user+extension. Pure. */
#pragma once

#include "config/config.h"

struct split_address {
    struct str user, extension; /* the extension may be empty */
    bool has_extension;
};

/* Splits a local part at the first of recipient_delimiter's bytes. Names that must not be split
 * (mailer-daemon and its like, owner-x and x-request) are not. */
struct split_address split_address(struct str local, const struct config *config);
