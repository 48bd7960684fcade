/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtpd_relay_restrictions and smtpd_recipient_restrictions: lists of rules of which the first
 * decisive one ends its list. Parsed before the role is confined; immutable.
 *
 * A name that is not built yet is an error at start, never a rule that silently permits.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "destinations.h"
#include "replies.h"
#include "table/match_list.h"

struct restrictions;

struct restrictions_options {
    struct config *config;
    const struct own_addresses *own;
    const struct destinations *destinations;
    void (*warning)(void *argument, const char *text);
    void *argument;
};

/* Parses both lists and mynetworks. NULL with `error` for a rule that cannot be, for other
 * restriction lists that are set, for networks so broad that everybody would be a friend, and
 * where neither list has a reachable rule that stops relaying for strangers. Borrows all it is
 * given. */
struct restrictions *restrictions_new(const struct restrictions_options *options,
                                      struct error *error);
void restrictions_free(struct restrictions **restrictions);

/* What is judged. Strings are borrowed. */
struct restriction_subject {
    struct str client_name; /* "unknown" where it did not verify */
    struct str client_address;
    bool is_authenticated;
    struct str recipient;         /* rewritten, internal form */
    struct str recipient_as_sent; /* as it is shown in replies */
};

/* Text of the verdict lives in `scratch`. */
struct verdict restrictions_check_recipient(const struct restrictions *restrictions,
                                            struct arena *scratch,
                                            const struct restriction_subject *subject);
/* Whether mynetworks names the client; a table that cannot answer counts as no. */
bool restrictions_client_is_trusted(const struct restrictions *restrictions, struct str name,
                                    struct str address);
