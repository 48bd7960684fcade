/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postfix's restriction lists: smtpd_client_restrictions and its kin, lists of rules of which the
 * first decisive one ends its list. Parsed before the role is confined; immutable. Judging may
 * suspend the fiber: for DNS, a policy service.
 *
 * An unknown name is an error at start, never a rule that silently permits. A table or server that
 * cannot answer is 451.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "destinations.h"
#include "lookup_map.h"
#include "replies.h"
#include "service/service.h"
#include "table/match_list.h"

struct restrictions;
struct conversation;

enum restriction_list {
    LIST_CLIENT,
    LIST_HELO,
    LIST_SENDER,
    LIST_RELAY,
    LIST_RECIPIENT,
    LIST_DATA,
    LIST_END_OF_DATA,
    LIST_ETRN,
    LIST_COUNT,
};

struct restrictions_options {
    struct service *service; /* needed only where the configuration names policy services */
    const struct config *config;
    const struct own_addresses *own;
    const struct destinations *destinations;
    struct lookup_maps *maps;
    const struct recipient_maps *recipient_maps;
    void (*warning)(void *argument, const char *text);
    void *argument;
};

/* Parses all lists and mynetworks. NULL with `error` for a rule that cannot be, for networks so
 * broad that everybody would be a friend, and where neither list has a reachable rule that stops
 * relaying for strangers. Borrows all it is given. */
struct restrictions *restrictions_new(const struct restrictions_options *options,
                                      struct error *error);
void restrictions_free(struct restrictions **restrictions);

/* ---- judging: refusals are logged, their texts live in the conversation's scratch ---- */

/* With smtpd_delay_reject these three accept at once; what they would have said is asked at RCPT,
 * VRFY and ETRN. */
struct verdict restrictions_check_client(struct conversation *conversation);
struct verdict restrictions_check_helo(struct conversation *conversation, struct str name);
struct verdict restrictions_check_sender(struct conversation *conversation);

struct recipient_question {
    const char *where; /* "RCPT", "VRFY" */
    struct str as_sent;
    struct str rewritten;
};
struct verdict restrictions_check_recipient(struct conversation *conversation,
                                            const struct recipient_question *question);
struct verdict restrictions_check_data(struct conversation *conversation);
struct verdict restrictions_check_end_of_data(struct conversation *conversation);
struct verdict restrictions_check_etrn(struct conversation *conversation, struct str domain);

/* Whether mynetworks names the client; a table that cannot answer counts as no. */
bool restrictions_client_is_trusted(const struct restrictions *restrictions, struct str name,
                                    struct str address);
