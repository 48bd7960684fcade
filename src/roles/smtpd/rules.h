/* SPDX-License-Identifier: Apache-2.0 */
/* The rules by subject; the table in rule_table.c says what each is called. */
#pragma once

#include "rule.h"

#define RULE(name) enum rule_outcome name(struct check *check, const struct rule *rule)

/* rules_generic.c */
RULE(rule_permit);
RULE(rule_reject);
RULE(rule_defer);
RULE(rule_defer_if_permit);
RULE(rule_defer_if_reject);
RULE(rule_warn_if_reject);
RULE(rule_sleep);
RULE(rule_reject_unauth_pipelining);
RULE(rule_reject_multi_recipient_bounce);
RULE(rule_reject_plaintext_session);
RULE(rule_check_policy_service);
RULE(rule_run_class);
RULE(rule_check_bare_table);
RULE(rule_refuse_unknown);

/* rules_client.c */
RULE(rule_permit_mynetworks);
RULE(rule_permit_inet_interfaces);
RULE(rule_permit_sasl_authenticated);
RULE(rule_reject_unknown_client_hostname);
RULE(rule_reject_unknown_reverse_client_hostname);
RULE(rule_reject_invalid_helo_hostname);
RULE(rule_reject_non_fqdn_helo_hostname);
RULE(rule_reject_unknown_helo_hostname);

/* rules_address.c: of senders and recipients */
RULE(rule_reject_non_fqdn_sender);
RULE(rule_reject_non_fqdn_recipient);
RULE(rule_reject_unknown_sender_domain);
RULE(rule_reject_unknown_recipient_domain);
RULE(rule_reject_unlisted_sender);
RULE(rule_reject_unlisted_recipient);
RULE(rule_reject_sender_login_mismatch);
RULE(rule_reject_authenticated_sender_login_mismatch);
RULE(rule_reject_unauthenticated_sender_login_mismatch);
RULE(rule_reject_known_sender_login_mismatch);
RULE(rule_permit_auth_destination);
RULE(rule_reject_unauth_destination);
RULE(rule_defer_unauth_destination);
RULE(rule_permit_mx_backup);

/* rules_verify.c */
RULE(rule_reject_unverified_sender);
RULE(rule_reject_unverified_recipient);

/* rules_access.c */
RULE(rule_check_client_access);
RULE(rule_check_reverse_client_hostname_access);
RULE(rule_check_helo_access);
RULE(rule_check_sender_access);
RULE(rule_check_recipient_access);
RULE(rule_check_sasl_access);
RULE(rule_check_etrn_access);
RULE(rule_check_client_servers);
RULE(rule_check_reverse_client_servers);
RULE(rule_check_helo_servers);
RULE(rule_check_sender_servers);
RULE(rule_check_recipient_servers);

/* rules_rbl.c */
RULE(rule_reject_rbl_client);
RULE(rule_permit_dnswl_client);
RULE(rule_reject_rhsbl_client);
RULE(rule_permit_rhswl_client);
RULE(rule_reject_rhsbl_reverse_client);
RULE(rule_reject_rhsbl_helo);
RULE(rule_reject_rhsbl_sender);
RULE(rule_reject_rhsbl_recipient);
