/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which recipients this machine takes mail for from anybody: mydestination, its own address
 * literals, virtual domains and relay_domains. Everything else is relaying. Made from the
 * configuration before the role is confined; immutable.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "config/config.h"
#include "mail/rewrite.h"
#include "net/own_addresses.h"

struct destinations;

/* parent_domain_matches_subdomains: whether the plain domains of a list match their subdomains
 * too. */
bool destinations_match_parents(const struct config *config, struct str name);

enum destination {
    DESTINATION_AUTHORISED, /* ours, or a domain that we relay for */
    DESTINATION_FOREIGN,    /* relaying, or a route through us (user%elsewhere@ours) */
    DESTINATION_UNKNOWN,    /* a table cannot answer: 451 */
};

/* Borrows `own` and the configuration's strings. */
struct destinations *destinations_new(const struct config *config, const struct own_addresses *own,
                                      void (*warning)(void *argument, const char *text),
                                      void *argument, struct error *error);
void destinations_free(struct destinations **destinations);

/* `recipient` in internal form, already rewritten (mail/rewrite.h). DESTINATION_UNKNOWN fills
 * `error`. */
enum destination destinations_find(const struct destinations *destinations, struct str recipient,
                                   struct error *error);

/* The class of an address, by the first list that has its domain. */
enum address_kind {
    ADDRESS_LOCAL, /* mydestination, our own address literals, no domain at all */
    ADDRESS_VIRTUAL_ALIAS,
    ADDRESS_VIRTUAL_MAILBOX,
    ADDRESS_RELAY,
    ADDRESS_ELSEWHERE,
};
must_check bool destinations_find_kind(const struct destinations *destinations, struct str address,
                                       enum address_kind *kind, struct error *error);
