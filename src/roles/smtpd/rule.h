/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One restriction of a list ("reject_rbl_client dnsbl.example"), and one judgement: a list that is
 * run over what a client wants. The rules stand by subject in rules_*.c; the table of their names
 * is rule_table.c. Rules are parsed before the role is confined, or from an access table's result
 * while it runs; they are immutable.
 */
#pragma once

#include "conversation.h"
#include "lookup_map.h"
#include "restrictions.h"

enum rule_outcome {
    RULE_PASSED_ON, /* says nothing: the next one is asked */
    RULE_PERMITTED,
    RULE_REFUSED, /* the check's verdict says how */
};

struct check;
struct rule;

/* What of a client's certificate is looked up. */
enum certificate_key { CERTIFICATE_KEY_NONE, CERTIFICATE_FINGERPRINT, PUBLIC_KEY_FINGERPRINT };
enum { CERTIFICATE_KEYS_MAX = 2 };

enum rule_argument {
    ARGUMENT_NONE,
    ARGUMENT_TABLE,   /* "type:table" */
    ARGUMENT_SERVICE, /* "inet:host:port", "unix:path", "{ … }" */
    ARGUMENT_DOMAIN,  /* of a DNS list: "dnsbl.example=127.0.0.[2..8]" */
    ARGUMENT_SECONDS,
    ARGUMENT_CERTIFICATES, /* "type:table", or "{ type:table, { search_order = … } }" */
};

struct rule_kind {
    const char *name;
    enum rule_argument argument;
    bool is_final; /* nothing behind it is ever reached */
    bool is_guard; /* stops relaying for strangers */
    enum rule_outcome (*check)(struct check *check, const struct rule *rule);
};

struct rule_list {
    struct rule *rules;
    size_t count;
    bool has_guard; /* a reachable one */
};

struct rule {
    const struct rule_kind *kind;
    struct str argument; /* as it was written */
    struct lookup_map *map;
    struct policy_service *service;
    const struct rule_list *list; /* of a restriction class */
    unsigned seconds;
    enum certificate_key certificate_keys[CERTIFICATE_KEYS_MAX]; /* in the order of the search */
};

/* NULL: no such name. */
const struct rule_kind *rule_kind_find(struct str name);
/* What a bare "type:table" means in a list; NULL: nothing. */
const struct rule_kind *rule_kind_of_table(enum restriction_list list);
/* What the name of a restriction class stands for. */
extern const struct rule_kind rule_kind_class;
extern const struct rule_kind rule_kind_table;
/* The name does not exist, in the result of a table: 451. */
extern const struct rule_kind rule_kind_unknown;

/* ---- a judgement ---- */

struct check {
    struct conversation *conversation;
    const struct restrictions *restrictions;
    struct arena *scratch;
    enum restriction_list list;
    const char *where; /* "RCPT" */
    /* What the generic rules say of whom: "<name>: class rejected: …". */
    struct str reply_name;
    const char *reply_class;
    struct str etrn_domain; /* ETRN alone */
    bool has_recipient;
    struct str recipient; /* rewritten */
    struct str recipient_as_sent;
    unsigned depth;                           /* of lists within lists */
    unsigned warn_depth;                      /* where warn_if_reject stood; 0: nowhere */
    bool is_sender_known, is_recipient_known; /* reject_unlisted_* has looked */
    struct deferral if_permit, if_reject;
    struct verdict verdict;
};

/* Runs a list; what it decides ends there. The end of the list passes on. */
enum rule_outcome rules_run(struct check *check, const struct rule_list *list);

/* Whether MAIL was heard, whose sender is the null one or a real one. */
static inline bool check_has_sender(const struct check *check)
{
    return session_in_transaction(&check->conversation->session);
}
static inline struct str check_sender(const struct check *check)
{
    return check->conversation->session.transaction.sender_as_sent;
}
static inline const struct config *check_config(const struct check *check)
{
    return check->conversation->policy->config;
}
/* "name[address]" */
struct str check_client(const struct check *check);
