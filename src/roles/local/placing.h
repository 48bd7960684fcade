/* SPDX-License-Identifier: Apache-2.0 */
/* Puts a message into a mailbox, by a child that has become its owner. */
#pragma once

#include "delivery.h"
#include "mailbox.h"
#include "outcome.h"

struct placing {
    struct mailbox mailbox;
    struct rights rights;
    bool is_maildir;
    /* The folder is root's alone: root makes the file where it is missing, and gives it to the
     * user before anything is written. A lock file cannot be had there. */
    bool is_made_by_root;
};

/* From the agent's parameters and the recipient: all but path, size limit and rights. */
void placing_init(struct placing *placing, const struct delivery *delivery, size_t recipient);
/* Only in a fiber. False: the fiber was cancelled, and nothing is known. */
bool placing_run(struct delivery *delivery, struct placing *placing, struct outcome *outcome);
