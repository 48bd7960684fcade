/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postfix's match lists: mynetworks, mydestination, relay_domains, debug_peer_list. Entries are
 * separated by blanks or commas: host names, domains, addresses, networks (192.0.2.0/24,
 * [2001:db8::]/32), "/file" (its lines are entries), "type:table", each with "!" for "not". The
 * first entry that matches decides. Immutable after parsing; owned by the role.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct match_list;

enum match_outcome {
    MATCH_FOUND,
    MATCH_ABSENT,
    MATCH_FAILED, /* a table or file cannot answer, and nothing before it decided: not "no" */
};

struct match_list_options {
    struct str name;             /* "mynetworks", for messages */
    bool matches_parent_domains; /* "example.com" matches a.example.com too
                                    (parent_domain_matches_subdomains); else ".example.com" does */
    bool has_plain_words;        /* of commands and the like: no parents, no networks */
    void (*warning)(void *argument, const char *text);
    void *argument;
};

/* NULL with `error` for an entry that cannot be: it is named (host bits set, /33, a missing file).
 * A table that does not open makes look-ups that reach it MATCH_FAILED. */
struct match_list *match_list_new(struct str text, const struct match_list_options *options,
                                  struct error *error);
void match_list_free(struct match_list **list);

/* A domain or host name, without regard to case. */
enum match_outcome match_list_find_name(struct match_list *list, struct str name,
                                        struct error *error);
/* A client: its name (may be "unknown": then only the address counts) and bare address. */
enum match_outcome match_list_find_client(struct match_list *list, struct str name,
                                          struct str address, struct error *error);
/* The first network entry wider than /8 (IPv4) or /19 (IPv6), not negated; empty if none. For the
 * open-relay check of mynetworks. */
struct str match_list_too_broad(const struct match_list *list);
bool match_list_is_empty(const struct match_list *list);
