/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses exist, as far as the tables say: local_recipient_maps and its kin, by the class
 * of an address's domain. Opened before the role is confined; immutable.
 */
#pragma once

#include "config/config.h"
#include "destinations.h"
#include "table/table_list.h"

struct recipient_maps;

struct recipient_maps *recipient_maps_new(const struct config *config,
                                          const struct destinations *destinations,
                                          void (*warning)(void *argument, const char *text),
                                          void *argument);
void recipient_maps_free(struct recipient_maps **maps);

enum listing {
    LISTING_KNOWN,   /* or not to be known: its class has no table */
    LISTING_UNKNOWN, /* "User unknown in local recipient table" */
    LISTING_MOVED,   /* relocated_maps: where to */
    LISTING_FAILED,  /* a table cannot answer */
};
struct listed_address {
    unsigned code;    /* LISTING_UNKNOWN: the reject code of its class */
    struct str table; /* " in local recipient table"; empty: not to be told */
    struct str moved_to;
};
/* `address` rewritten. Strings live in the arena or as long as the process. */
enum listing recipient_maps_find(const struct recipient_maps *maps, struct arena *arena,
                                 struct str address, struct listed_address *listed);

/* smtpd_sender_login_maps: who owns a sender address, names separated by commas and blanks. */
enum lookup_outcome recipient_maps_find_owners(const struct recipient_maps *maps,
                                               struct arena *arena, struct str sender,
                                               struct str *owners);
