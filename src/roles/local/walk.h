/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk through one recipient of local delivery: what is left to look at, what was seen, what
 * is to be forwarded, and what it came to so far. Private to local delivery (local.c, entry.c,
 * owner files). Everything lives in the delivery's arena.
 */
#pragma once

#include "base/map.h"
#include "delivery.h"
#include "forward.h"
#include "outcome.h"
#include "user.h"

enum {
    LEVELS_MAX = 99,     /* aliases of aliases */
    INCLUDES_MAX = 10,   /* :include: in :include: */
    ENTRIES_MAX = 10000, /* of one recipient in all */
};

/* Where the walk stands: passed on by value, so that each entry has its own. */
struct step {
    struct str address;                        /* what the recipient came to */
    struct str local, user, extension, domain; /* of that, folded to lower case */
    struct str unmatched;                      /* the extension, where nothing used it up */
    struct str sender;
    struct str owner;     /* where problems go; empty: nowhere yet */
    struct str delivered; /* the Delivered-To header's */
    struct str expanded_from;
    enum origin origin; /* 0: the recipient itself */
    bool is_of_root;    /* an entry of root's .forward: no commands, no files */
    bool has_account;   /* `account` is whose rights commands and files get */
    struct user account;
    int level, include_level;
};

enum item_kind { ITEM_RECIPIENT, ITEM_ENTRY, ITEM_FORWARD_DONE };

struct item {
    enum item_kind kind;
    struct str text; /* of an entry; the file's path of ITEM_FORWARD_DONE */
    struct step step;
};

struct walk {
    struct delivery *delivery;
    size_t recipient;
    const struct agent *agent;
    struct arena *arena;
    struct map *seen;         /* what was dealt with: texts like "mailbox joe" */
    struct map *delivered_to; /* addresses of the message's Delivered-To headers, folded */
    struct forwards forwards;
    struct item *items; /* a stack */
    size_t item_count, item_capacity, items_total;
    bool has_outcome;
    struct outcome outcome; /* the worst so far */
    bool is_expanded;       /* an alias was found for it */
    struct str passed_to;   /* another transport takes the recipient; empty: none */
    bool is_cancelled;
};

void walk_init(struct walk *walk, struct delivery *delivery, size_t recipient);
void walk_clear(struct walk *walk);
/* Puts entries on the stack so that the first comes off first. False: there are too many. */
must_check bool walk_push_entries(struct walk *walk, const struct str *entries, size_t count,
                                  const struct step *step);
void walk_push(struct walk *walk, enum item_kind kind, struct str text, const struct step *step);
bool walk_pop(struct walk *walk, struct item *item);
/* Whether that was seen before; from now on it was. */
bool walk_see(struct walk *walk, const char *what, struct str name);
bool walk_has_seen(const struct walk *walk, const char *what, struct str name);
/* A log line for the step, and its part in the whole: deferred is worse than bounced is worse
 * than sent. */
void walk_tell(struct walk *walk, const struct step *step, const struct outcome *outcome);
__attribute__((format(printf, 4, 5))) void walk_fail(struct walk *walk, const struct step *step,
                                                     const char *dsn, const char *format, ...);
