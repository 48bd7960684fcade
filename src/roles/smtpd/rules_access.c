/* SPDX-License-Identifier: Apache-2.0 */
/* check_*_access: whose name or address is looked up, and under which heading. */
#include "access.h"
#include "mail/address.h"
#include "refusal.h"
#include "restrictions_inside.h"
#include "rules.h"
#include "servers.h"

#define CLASS_CLIENT         "Client host"
#define CLASS_REVERSE_CLIENT "Unverified Client host"
#define CLASS_HELO           "Helo command"
#define CLASS_SENDER         "Sender address"
#define CLASS_RECIPIENT      "Recipient address"

static struct access about(const struct rule *rule, struct str reply_name, const char *reply_class)
{
    return (struct access){ .map = rule->map,
                            .table = rule->argument,
                            .reply_name = reply_name,
                            .reply_class = reply_class };
}

/* An attacker chooses the names of his servers, and what his PTR record says: they may be refused,
 * never let in. */
static enum rule_outcome forbid_permission(struct check *check, const struct rule *rule,
                                           struct str target, enum rule_outcome outcome)
{
    const struct log_context *log = &check->conversation->policy->log;

    if (outcome != RULE_PERMITTED)
        return outcome;
    log_warning(log, "restriction %s returns OK for %.*s", rule->kind->name, STR_ARGS(target));
    log_warning(log, "this is not allowed for security reasons");
    log_warning(log, "use DUNNO instead of OK if you want to make an exception");
    return refuse_for_configuration(check);
}

/* ---- names and addresses ---- */

RULE(rule_check_client_access)
{
    const struct session *session = &check->conversation->session;
    struct access access = about(rule, check_client(check), CLASS_CLIENT);

    if (access_find_domain(check, &access, session->client_name) ||
        access_find_address(check, &access, session->client_address))
        return access.outcome;
    return RULE_PASSED_ON;
}

RULE(rule_check_reverse_client_hostname_access)
{
    const struct session *session = &check->conversation->session;
    struct access access = about(rule, session->reverse_name, CLASS_REVERSE_CLIENT);

    if (access_find_domain(check, &access, session->reverse_name) ||
        access_find_address(check, &access, session->client_address))
        return forbid_permission(check, rule, session->reverse_name, access.outcome);
    return RULE_PASSED_ON;
}

RULE(rule_check_helo_access)
{
    struct str helo = check->conversation->session.helo_name;
    struct access access = about(rule, helo, CLASS_HELO);

    if (!str_is_empty(helo) && access_find_domain(check, &access, helo))
        return access.outcome;
    return RULE_PASSED_ON;
}

RULE(rule_check_sender_access)
{
    struct access access = about(rule, check_sender(check), CLASS_SENDER);

    if (!check_has_sender(check))
        return RULE_PASSED_ON;
    if (str_is_empty(check_sender(check)))
        return access_find_key(check, &access, check_config(check)->smtpd_null_access_lookup_key)
                   ? access.outcome
                   : RULE_PASSED_ON;
    return access_find_mail(check, &access,
                            check->conversation->session.transaction.envelope.sender)
               ? access.outcome
               : RULE_PASSED_ON;
}

RULE(rule_check_recipient_access)
{
    struct access access = about(rule, check->recipient_as_sent, CLASS_RECIPIENT);

    if (check->has_recipient && access_find_mail(check, &access, check->recipient))
        return access.outcome;
    return RULE_PASSED_ON;
}

RULE(rule_check_sasl_access)
{
    struct str username = check->conversation->session.sasl_username;
    struct access access = about(rule, username, "SASL login name");

    if (!str_is_empty(username) && access_find_key(check, &access, username))
        return access.outcome;
    return RULE_PASSED_ON;
}

RULE(rule_check_etrn_access)
{
    struct access access = about(rule, check->reply_name, "Etrn command");

    if (check->list == LIST_ETRN && access_find_domain(check, &access, check->reply_name))
        return access.outcome;
    return RULE_PASSED_ON;
}

/* ---- the servers behind a name ---- */

static enum rule_outcome check_servers(struct check *check, const struct rule *rule,
                                       struct str name, struct access access)
{
    struct str kind = str_from(rule->kind->name);
    enum server_kind wanted = str_find(kind, STR("_mx_")) >= 0   ? SERVERS_MX
                              : str_find(kind, STR("_ns_")) >= 0 ? SERVERS_NS
                                                                 : SERVERS_A;

    return forbid_permission(check, rule, name, servers_check(check, &access, wanted, name));
}

RULE(rule_check_client_servers)
{
    struct str name = check->conversation->session.client_name;

    if (str_equal(name, STR("unknown")))
        return RULE_PASSED_ON;
    return check_servers(check, rule, name, about(rule, check_client(check), CLASS_CLIENT));
}

RULE(rule_check_reverse_client_servers)
{
    struct str name = check->conversation->session.reverse_name;

    if (str_equal(name, STR("unknown")))
        return RULE_PASSED_ON;
    return check_servers(check, rule, name, about(rule, name, CLASS_REVERSE_CLIENT));
}

RULE(rule_check_helo_servers)
{
    struct str name = check->conversation->session.helo_name;

    if (str_is_empty(name))
        return RULE_PASSED_ON;
    return check_servers(check, rule, name, about(rule, name, CLASS_HELO));
}

RULE(rule_check_sender_servers)
{
    struct str sender = check_sender(check);

    if (!check_has_sender(check) || str_is_empty(sender))
        return RULE_PASSED_ON;
    return check_servers(check, rule, sender, about(rule, sender, CLASS_SENDER));
}

RULE(rule_check_recipient_servers)
{
    struct str recipient = check->recipient_as_sent;

    if (!check->has_recipient)
        return RULE_PASSED_ON;
    return check_servers(check, rule, recipient, about(rule, recipient, CLASS_RECIPIENT));
}
