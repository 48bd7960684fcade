/* SPDX-License-Identifier: Apache-2.0 */
/* Rules about the client: its address, its names, what it says in HELO. */
#include "mail/address.h"
#include "refusal.h"
#include "restrictions_inside.h"
#include "rules.h"
#include "servers.h"

#define CLASS_HELO "Helo command"

/* ---- who it is ---- */

RULE(rule_permit_mynetworks)
{
    const struct session *session = &check->conversation->session;
    struct error error;

    switch (match_list_find_client(check->restrictions->mynetworks, session->client_name,
                                   session->client_address, &error)) {
    case MATCH_FOUND:
        return permit(check, rule->kind->name);
    case MATCH_ABSENT:
        return RULE_PASSED_ON;
    case MATCH_FAILED:
        break;
    }
    return refuse_for_lookup(check, check_client(check));
}

RULE(rule_permit_inet_interfaces)
{
    return own_addresses_contain_text(check->restrictions->options.own,
                                      check->conversation->session.client_address)
               ? permit(check, rule->kind->name)
               : RULE_PASSED_ON;
}

RULE(rule_permit_sasl_authenticated)
{
    return session_is_authenticated(&check->conversation->session) ? permit(check, rule->kind->name)
                                                                   : RULE_PASSED_ON;
}

static enum rule_outcome refuse_name(struct check *check, enum peer_name status,
                                     const char *enhanced, const char *what)
{
    const struct session *session = &check->conversation->session;

    if (status == PEER_NAME_OK)
        return RULE_PASSED_ON;
    return refuse(check,
                  status == PEER_NAME_TRY_AGAIN
                      ? 450
                      : (unsigned)check_config(check)->unknown_client_reject_code,
                  enhanced,
                  arena_printf(check->scratch, "Client host rejected: cannot find your %s, [%.*s]",
                               what, STR_ARGS(session->client_address)));
}

RULE(rule_reject_unknown_client_hostname)
{
    (void)rule;
    return refuse_name(check, check->conversation->session.client_name_status, "4.7.25",
                       "hostname");
}

RULE(rule_reject_unknown_reverse_client_hostname)
{
    (void)rule;
    return refuse_name(check, check->conversation->session.reverse_name_status, "4.7.1",
                       "reverse hostname");
}

/* ---- HELO ---- */

static enum rule_outcome refuse_helo(struct check *check, unsigned code, const char *enhanced,
                                     const char *why)
{
    return refuse(check, code, enhanced,
                  refusal_text(check, check->conversation->session.helo_name, CLASS_HELO, why));
}

static enum rule_outcome check_literal(struct check *check, struct str helo)
{
    struct net_address address;
    bool is_closed = helo.len > 2 && helo.ptr[helo.len - 1] == ']';
    struct str inside = is_closed ? str_take(str_skip(helo, 1), helo.len - 2) : STR("");

    if (is_closed && net_address_parse(inside, 0, &address))
        return RULE_PASSED_ON;
    return refuse_helo(check, (unsigned)check_config(check)->invalid_hostname_reject_code, "5.5.2",
                       "invalid ip address");
}

/* Without the dot that may end it. */
static struct str without_dot(struct str name)
{
    return name.len > 1 && name.ptr[name.len - 1] == '.' ? str_take(name, name.len - 1) : name;
}

RULE(rule_reject_invalid_helo_hostname)
{
    struct str helo = check->conversation->session.helo_name;
    struct net_address address;

    (void)rule;
    if (str_is_empty(helo))
        return RULE_PASSED_ON;
    if (helo.ptr[0] == '[')
        return check_literal(check, helo);
    if (domain_is_valid(without_dot(helo), false) ||
        net_address_parse(without_dot(helo), 0, &address))
        return RULE_PASSED_ON;
    return refuse_helo(check, (unsigned)check_config(check)->invalid_hostname_reject_code, "5.5.2",
                       "Invalid name");
}

RULE(rule_reject_non_fqdn_helo_hostname)
{
    struct str helo = check->conversation->session.helo_name;

    (void)rule;
    if (str_is_empty(helo))
        return RULE_PASSED_ON;
    if (helo.ptr[0] == '[')
        return check_literal(check, helo);
    if (domain_is_valid(without_dot(helo), false) && str_find_byte(without_dot(helo), '.') >= 0)
        return RULE_PASSED_ON;
    return refuse_helo(check, (unsigned)check_config(check)->non_fqdn_reject_code, "5.5.2",
                       "need fully-qualified hostname");
}

RULE(rule_reject_unknown_helo_hostname)
{
    const struct config *config = check_config(check);
    struct str helo = check->conversation->session.helo_name;
    struct dns_answer ipv4, ipv6, mx;

    (void)rule;
    if (str_is_empty(helo))
        return RULE_PASSED_ON;
    if (helo.ptr[0] == '[')
        return check_literal(check, helo);
    enum dns_outcome outcome = check_ask_address(check, helo, &ipv4, &ipv6);
    if (outcome == DNS_NO_NAME || outcome == DNS_NO_DATA || outcome == DNS_BAD_NAME) {
        check_ask_dns(check, DNS_MX, helo, &mx);
        outcome = mx.outcome;
    }
    if (outcome == DNS_FOUND)
        return RULE_PASSED_ON;
    if (outcome != DNS_TRY_AGAIN)
        return refuse_helo(check, (unsigned)config->unknown_hostname_reject_code, "4.7.1",
                           "Host not found");
    struct verdict verdict = { .code = 450,
                               .enhanced = "4.7.1",
                               .text = refusal_text(check, helo, CLASS_HELO, "Host not found") };
    return defer_if_permitted(
        check, str_equal_fold(config->unknown_helo_hostname_tempfail_action, STR("defer")),
        &verdict);
}
