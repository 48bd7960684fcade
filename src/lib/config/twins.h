/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery by LMTP has every parameter of delivery by SMTP under a name of its own, with a default
 * of its own. The client is written once, for the names that begin with smtp_; for an lmtp service
 * those fields get what the lmtp_ names say.
 */
#pragma once

#include "config/config.h"

/* The lmtp_ name whose value stands for an smtp_ parameter: the same behind the prefix, but for
 * the few that have "lhlo" in place of "helo" or "ehlo". False where there is no such twin. */
bool config_twin_find(struct str lmtp_name, struct str *smtp_name);
/* Gives every smtp_ field the value of its lmtp_ twin. */
void config_use_lmtp(struct config *config);
