/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one smtpd line of master.cf says: its configuration with the line's overrides, and all
 * that is made of it once: lists, restrictions, the banner. Made before the role is confined,
 * immutable, shared by the conversations of its listener.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "mail/cleanup.h"
#include "mail/route.h"
#include "net/own_addresses.h"
#include "recipient_maps.h"
#include "restrictions.h"
#include "service/service.h"
#include "table/table_list.h"

enum bare_newline_policy { BARE_NEWLINE_IS_NORMALISED, BARE_NEWLINE_IS_REJECTED };

struct authentication;
struct encryption;

struct policy {
    struct config *config;
    struct log_context log;         /* "postfix/smtpd" */
    struct log_context cleanup_log; /* "postfix/cleanup" */
    struct own_addresses *own;
    struct destinations *destinations;
    struct lookup_maps *maps;
    struct recipient_maps *recipient_maps;
    struct restrictions *restrictions;
    struct router *router;              /* RCPT resolves its address, as the queue will again */
    struct match_list *rewrite_clients; /* the tables of local_header_rewrite_clients */
    struct cleanup *cleanup;            /* what is done to a message before it is queued */
    unsigned cleanup_parts;             /* of it, with receive_override_options */
    struct match_list *logged_permits;  /* smtpd_log_access_permit_actions */
    struct match_list *bare_newline_exclusions;
    struct match_list *xclient_hosts, *xforward_hosts, *verp_clients;
    struct match_list *forbidden_commands, *noop_commands;
    struct match_list *flush_domains;      /* fast_flush_domains */
    struct authentication *authentication; /* NULL: smtpd_sasl_auth_enable = no */
    struct encryption *encryption;
    enum bare_newline_policy bare_newline;
    struct rewrite_rules rewrite;
    struct table_list *discard_maps; /* smtpd_discard_ehlo_keyword_address_maps */
    struct table_list *footer_maps;  /* smtpd_reject_footer_maps */
    struct table_list *command_filter, *dns_filter;
    struct match_list *debug_peers;      /* debug_peer_list */
    struct match_list *limit_exceptions; /* smtpd_client_event_limit_exceptions */
    struct str service_name;             /* its line's first word */
    struct str myhostname;
    struct str banner; /* the whole reply with its line end */
    bool is_borrower;  /* all but the configuration is another policy's */
    struct arena arena;
};

struct policy_options {
    struct service *service;  /* needed only where the configuration names servers */
    struct keys_client *keys; /* needed only where it has keys for TLS; lent */
    struct config *config;    /* taken over, also on failure */
    /* Where `config` borrows from this one's (config/stress.h), so does the policy, and must be
     * freed first. May be NULL. */
    const struct policy *calm;
    struct str service_name;
    struct log_context log;
    struct log_context cleanup_log;
};

/* Warnings go to the log. NULL with `error`: the operator must mend the configuration. */
struct policy *policy_new(const struct policy_options *options, struct error *error);
void policy_free(struct policy **policy);

/* Whether `verb` is one that only other protocols speak (smtpd_forbidden_commands), or looks like
 * a message header ("Subject:"): the connection ends at once. */
bool policy_forbids_command(const struct policy *policy, struct str verb);
/* Whether a list of words, such as smtpd_discard_ehlo_keywords, has this one. */
bool policy_list_has_word(struct str list, struct str word);
/* smtpd_noop_commands. */
bool policy_ignores_command(const struct policy *policy, struct str verb);
