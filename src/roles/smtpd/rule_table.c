/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

/* clang-format off */
static const struct rule_kind kinds[] = {
    /* name                                    argument          final  guard  function */
    /* ---- any list ---- */
    { "permit",                                ARGUMENT_NONE,    true,  false, rule_permit },
    { "reject",                                ARGUMENT_NONE,    true,  true,  rule_reject },
    { "defer",                                 ARGUMENT_NONE,    true,  true,  rule_defer },
    { "defer_if_permit",                       ARGUMENT_NONE,    false, true,  rule_defer_if_permit },
    { "defer_if_reject",                       ARGUMENT_NONE,    false, false, rule_defer_if_reject },
    { "warn_if_reject",                        ARGUMENT_NONE,    false, false, rule_warn_if_reject },
    { "sleep",                                 ARGUMENT_SECONDS, false, false, rule_sleep },
    { "reject_unauth_pipelining",              ARGUMENT_NONE,    false, false, rule_reject_unauth_pipelining },
    { "reject_multi_recipient_bounce",         ARGUMENT_NONE,    false, false, rule_reject_multi_recipient_bounce },
    { "reject_plaintext_session",              ARGUMENT_NONE,    false, false, rule_reject_plaintext_session },
    { "check_policy_service",                  ARGUMENT_SERVICE, false, false, rule_check_policy_service },

    /* ---- the client ---- */
    { "permit_mynetworks",                     ARGUMENT_NONE,    false, false, rule_permit_mynetworks },
    { "permit_inet_interfaces",                ARGUMENT_NONE,    false, false, rule_permit_inet_interfaces },
    { "permit_sasl_authenticated",             ARGUMENT_NONE,    false, false, rule_permit_sasl_authenticated },
    { "reject_unknown_client_hostname",        ARGUMENT_NONE,    false, false, rule_reject_unknown_client_hostname },
    { "reject_unknown_client",                 ARGUMENT_NONE,    false, false, rule_reject_unknown_client_hostname },
    { "reject_unknown_forward_client_hostname", ARGUMENT_NONE,   false, false, rule_reject_unknown_client_hostname },
    { "reject_unknown_reverse_client_hostname", ARGUMENT_NONE,   false, false, rule_reject_unknown_reverse_client_hostname },
    { "check_client_access",                   ARGUMENT_TABLE,   false, false, rule_check_client_access },
    { "check_client_a_access",                 ARGUMENT_TABLE,   false, false, rule_check_client_servers },
    { "check_client_mx_access",                ARGUMENT_TABLE,   false, false, rule_check_client_servers },
    { "check_client_ns_access",                ARGUMENT_TABLE,   false, false, rule_check_client_servers },
    { "check_reverse_client_hostname_access",  ARGUMENT_TABLE,   false, false, rule_check_reverse_client_hostname_access },
    { "check_reverse_client_hostname_a_access", ARGUMENT_TABLE,  false, false, rule_check_reverse_client_servers },
    { "check_reverse_client_hostname_mx_access", ARGUMENT_TABLE, false, false, rule_check_reverse_client_servers },
    { "check_reverse_client_hostname_ns_access", ARGUMENT_TABLE, false, false, rule_check_reverse_client_servers },
    { "check_sasl_access",                     ARGUMENT_TABLE,   false, false, rule_check_sasl_access },
    { "reject_rbl_client",                     ARGUMENT_DOMAIN,  false, false, rule_reject_rbl_client },
    { "reject_rbl",                            ARGUMENT_DOMAIN,  false, false, rule_reject_rbl_client },
    { "permit_dnswl_client",                   ARGUMENT_DOMAIN,  false, false, rule_permit_dnswl_client },
    { "reject_rhsbl_client",                   ARGUMENT_DOMAIN,  false, false, rule_reject_rhsbl_client },
    { "permit_rhswl_client",                   ARGUMENT_DOMAIN,  false, false, rule_permit_rhswl_client },
    { "reject_rhsbl_reverse_client",           ARGUMENT_DOMAIN,  false, false, rule_reject_rhsbl_reverse_client },

    /* ---- HELO ---- */
    { "check_helo_access",                     ARGUMENT_TABLE,   false, false, rule_check_helo_access },
    { "check_helo_a_access",                   ARGUMENT_TABLE,   false, false, rule_check_helo_servers },
    { "check_helo_mx_access",                  ARGUMENT_TABLE,   false, false, rule_check_helo_servers },
    { "check_helo_ns_access",                  ARGUMENT_TABLE,   false, false, rule_check_helo_servers },
    { "reject_invalid_helo_hostname",          ARGUMENT_NONE,    false, false, rule_reject_invalid_helo_hostname },
    { "reject_invalid_hostname",               ARGUMENT_NONE,    false, false, rule_reject_invalid_helo_hostname },
    { "reject_non_fqdn_helo_hostname",         ARGUMENT_NONE,    false, false, rule_reject_non_fqdn_helo_hostname },
    { "reject_non_fqdn_hostname",              ARGUMENT_NONE,    false, false, rule_reject_non_fqdn_helo_hostname },
    { "reject_unknown_helo_hostname",          ARGUMENT_NONE,    false, false, rule_reject_unknown_helo_hostname },
    { "reject_unknown_hostname",               ARGUMENT_NONE,    false, false, rule_reject_unknown_helo_hostname },
    { "reject_rhsbl_helo",                     ARGUMENT_DOMAIN,  false, false, rule_reject_rhsbl_helo },

    /* ---- the sender ---- */
    { "check_sender_access",                   ARGUMENT_TABLE,   false, false, rule_check_sender_access },
    { "check_sender_a_access",                 ARGUMENT_TABLE,   false, false, rule_check_sender_servers },
    { "check_sender_mx_access",                ARGUMENT_TABLE,   false, false, rule_check_sender_servers },
    { "check_sender_ns_access",                ARGUMENT_TABLE,   false, false, rule_check_sender_servers },
    { "reject_non_fqdn_sender",                ARGUMENT_NONE,    false, false, rule_reject_non_fqdn_sender },
    { "reject_unknown_sender_domain",          ARGUMENT_NONE,    false, false, rule_reject_unknown_sender_domain },
    { "reject_unknown_address",                ARGUMENT_NONE,    false, false, rule_reject_unknown_sender_domain },
    { "reject_unlisted_sender",                ARGUMENT_NONE,    false, false, rule_reject_unlisted_sender },
    { "reject_unverified_sender",              ARGUMENT_NONE,    false, false, rule_reject_unverified_sender },
    { "reject_rhsbl_sender",                   ARGUMENT_DOMAIN,  false, false, rule_reject_rhsbl_sender },
    { "reject_sender_login_mismatch",          ARGUMENT_NONE,    false, false, rule_reject_sender_login_mismatch },
    { "reject_authenticated_sender_login_mismatch", ARGUMENT_NONE, false, false, rule_reject_authenticated_sender_login_mismatch },
    { "reject_unauthenticated_sender_login_mismatch", ARGUMENT_NONE, false, false, rule_reject_unauthenticated_sender_login_mismatch },
    { "reject_known_sender_login_mismatch",    ARGUMENT_NONE,    false, false, rule_reject_known_sender_login_mismatch },

    /* ---- the recipient ---- */
    { "check_recipient_access",                ARGUMENT_TABLE,   false, false, rule_check_recipient_access },
    { "check_recipient_a_access",              ARGUMENT_TABLE,   false, false, rule_check_recipient_servers },
    { "check_recipient_mx_access",             ARGUMENT_TABLE,   false, false, rule_check_recipient_servers },
    { "check_recipient_ns_access",             ARGUMENT_TABLE,   false, false, rule_check_recipient_servers },
    { "permit_auth_destination",               ARGUMENT_NONE,    false, false, rule_permit_auth_destination },
    { "reject_unauth_destination",             ARGUMENT_NONE,    false, true,  rule_reject_unauth_destination },
    { "defer_unauth_destination",              ARGUMENT_NONE,    false, true,  rule_defer_unauth_destination },
    { "permit_mx_backup",                      ARGUMENT_NONE,    false, false, rule_permit_mx_backup },
    { "reject_non_fqdn_recipient",             ARGUMENT_NONE,    false, false, rule_reject_non_fqdn_recipient },
    { "reject_unknown_recipient_domain",       ARGUMENT_NONE,    false, false, rule_reject_unknown_recipient_domain },
    { "reject_unlisted_recipient",             ARGUMENT_NONE,    false, false, rule_reject_unlisted_recipient },
    { "reject_unverified_recipient",           ARGUMENT_NONE,    false, false, rule_reject_unverified_recipient },
    { "check_recipient_maps",                  ARGUMENT_NONE,    false, false, rule_reject_unlisted_recipient },
    { "reject_rhsbl_recipient",                ARGUMENT_DOMAIN,  false, false, rule_reject_rhsbl_recipient },

    /* ---- ETRN ---- */
    { "check_etrn_access",                     ARGUMENT_TABLE,   false, false, rule_check_etrn_access },
};
/* clang-format on */

const struct rule_kind rule_kind_class = { .name = "class", .check = rule_run_class };
const struct rule_kind rule_kind_table = { .name = "table",
                                           .argument = ARGUMENT_TABLE,
                                           .check = rule_check_bare_table };
const struct rule_kind rule_kind_unknown = { .name = "unknown", .check = rule_refuse_unknown };

const struct rule_kind *rule_kind_find(struct str name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (str_equal_fold(name, str_from(kinds[i].name)))
            return &kinds[i];
    }
    return NULL;
}

const struct rule_kind *rule_kind_of_table(enum restriction_list list)
{
    static const char *const names[LIST_COUNT] = {
        [LIST_CLIENT] = "check_client_access",       [LIST_HELO] = "check_helo_access",
        [LIST_SENDER] = "check_sender_access",       [LIST_RELAY] = "check_recipient_access",
        [LIST_RECIPIENT] = "check_recipient_access", [LIST_ETRN] = "check_etrn_access",
    };

    return names[list] != NULL ? rule_kind_find(str_from(names[list])) : NULL;
}
