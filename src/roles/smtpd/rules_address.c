/* SPDX-License-Identifier: Apache-2.0 */
/* Rules about the sender's and the recipient's address. */
#include "base/ensure.h"
#include "mail/address.h"
#include "recipient_maps.h"
#include "refusal.h"
#include "restrictions_inside.h"
#include "rules.h"
#include "servers.h"

#define CLASS_SENDER    "Sender address"
#define CLASS_RECIPIENT "Recipient address"

/* One of the two: as it was sent and as it is looked up. */
struct party {
    struct str as_sent, address;
    const char *class;
    bool is_sender;
};

/* False: there is none yet, or it is the null sender. */
static bool sender_of(const struct check *check, struct party *party)
{
    *party =
        (struct party){ .as_sent = check_sender(check), .class = CLASS_SENDER, .is_sender = true };
    if (!check_has_sender(check) || str_is_empty(party->as_sent))
        return false;
    party->address = check->conversation->session.transaction.envelope.sender;
    return true;
}

static bool recipient_of(const struct check *check, struct party *party)
{
    *party = (struct party){ .as_sent = check->recipient_as_sent,
                             .address = check->recipient,
                             .class = CLASS_RECIPIENT };
    return check->has_recipient;
}

static enum rule_outcome refuse_party(struct check *check, const struct party *party, unsigned code,
                                      const char *enhanced, const char *why)
{
    return refuse(check, code, enhanced, refusal_text(check, party->as_sent, party->class, why));
}

/* ---- the domain ---- */

static enum rule_outcome check_fqdn(struct check *check, const struct party *party)
{
    struct str domain = address_domain(party->as_sent);

    if (domain_is_literal(domain) ||
        (domain_is_valid(domain, false) && str_find_byte(domain, '.') >= 0))
        return RULE_PASSED_ON;
    return refuse_party(check, party, (unsigned)check_config(check)->non_fqdn_reject_code, "4.5.2",
                        "need fully-qualified address");
}

RULE(rule_reject_non_fqdn_sender)
{
    struct party party;

    (void)rule;
    return sender_of(check, &party) ? check_fqdn(check, &party) : RULE_PASSED_ON;
}

RULE(rule_reject_non_fqdn_recipient)
{
    struct party party;

    (void)rule;
    return recipient_of(check, &party) ? check_fqdn(check, &party) : RULE_PASSED_ON;
}

static enum rule_outcome refuse_null_mx(struct check *check, const struct party *party,
                                        struct str domain)
{
    return refuse_party(check, party, party->is_sender ? 550 : 556,
                        party->is_sender ? "5.7.27" : "5.1.10",
                        arena_printf(check->scratch, "Domain %.*s does not accept mail (nullMX)",
                                     STR_ARGS(domain)));
}

/* What the operator does not want to see proves nothing. */
static enum rule_outcome pass_filtered(struct check *check, struct str domain)
{
    log_warning(&check->conversation->policy->log,
                "%.*s: MX or address lookup error: DNS reply filter drops all results",
                STR_ARGS(domain));
    return RULE_PASSED_ON;
}

/* Whether mail could be sent to it: MX, else an address. */
static enum rule_outcome check_mail_domain(struct check *check, const struct party *party)
{
    const struct config *config = check_config(check);
    const char *enhanced = party->is_sender ? "4.1.8" : "4.1.2";
    struct str domain = address_domain(party->address);
    struct dns_answer mx, ipv4, ipv6;

    check_ask_dns(check, DNS_MX, domain, &mx);
    if (dns_answer_is_null_mx(&mx))
        return refuse_null_mx(check, party, domain);
    enum dns_outcome outcome = mx.outcome;
    if (outcome == DNS_NO_NAME || outcome == DNS_NO_DATA || outcome == DNS_BAD_NAME)
        outcome = check_ask_address(check, domain, &ipv4, &ipv6);
    if (outcome == DNS_FOUND)
        return RULE_PASSED_ON;
    if (outcome == DNS_FILTERED)
        return pass_filtered(check, domain);
    if (outcome != DNS_TRY_AGAIN)
        return refuse_party(check, party, (unsigned)config->unknown_address_reject_code, enhanced,
                            "Domain not found");
    struct verdict verdict = { .code = 450,
                               .enhanced = enhanced,
                               .text = refusal_text(check, party->as_sent, party->class,
                                                    "Domain not found") };
    return defer_if_permitted(
        check, str_equal_fold(config->unknown_address_tempfail_action, STR("defer")), &verdict);
}

static enum rule_outcome check_known_domain(struct check *check, const struct party *party)
{
    struct error error;
    enum address_kind kind;

    if (!destinations_find_kind(check->restrictions->options.destinations, party->address, &kind,
                                &error))
        return refuse_for_lookup(check, party->as_sent);
    /* What is delivered here needs no DNS. */
    if (kind == ADDRESS_LOCAL || kind == ADDRESS_VIRTUAL_ALIAS || kind == ADDRESS_VIRTUAL_MAILBOX ||
        domain_is_literal(address_domain(party->address)))
        return RULE_PASSED_ON;
    return check_mail_domain(check, party);
}

RULE(rule_reject_unknown_sender_domain)
{
    struct party party;

    (void)rule;
    return sender_of(check, &party) ? check_known_domain(check, &party) : RULE_PASSED_ON;
}

RULE(rule_reject_unknown_recipient_domain)
{
    struct party party;

    (void)rule;
    return recipient_of(check, &party) ? check_known_domain(check, &party) : RULE_PASSED_ON;
}

/* ---- whether the address exists ---- */

static enum rule_outcome check_listed(struct check *check, const struct party *party)
{
    struct listed_address listed;

    switch (recipient_maps_find(check->restrictions->options.recipient_maps, check->scratch,
                                party->address, &listed)) {
    case LISTING_KNOWN:
        return RULE_PASSED_ON;
    case LISTING_FAILED:
        return refuse_for_lookup(check, party->as_sent);
    case LISTING_MOVED:
        return refuse_party(
            check, party, 550, party->is_sender ? "5.1.7" : "5.1.6",
            arena_printf(check->scratch, "User has moved to %.*s", STR_ARGS(listed.moved_to)));
    case LISTING_UNKNOWN:
        return refuse_party(
            check, party, listed.code, party->is_sender ? "5.1.0" : "5.1.1",
            arena_printf(check->scratch, "User unknown%.*s", STR_ARGS(listed.table)));
    }
    unreachable();
}

RULE(rule_reject_unlisted_sender)
{
    struct party party;

    (void)rule;
    if (check->is_sender_known || !sender_of(check, &party))
        return RULE_PASSED_ON;
    check->is_sender_known = check->warn_depth == 0;
    return check_listed(check, &party);
}

RULE(rule_reject_unlisted_recipient)
{
    struct party party;

    (void)rule;
    if (check->is_recipient_known || !recipient_of(check, &party))
        return RULE_PASSED_ON;
    check->is_recipient_known = check->warn_depth == 0;
    return check_listed(check, &party);
}

/* ---- whose sender address it is ---- */

static bool names_user(struct str owners, struct str user)
{
    struct str word;

    while (str_next_word(&owners, ", \t\r\n", &word)) {
        if (str_equal_fold(word, user))
            return true;
    }
    return false;
}

static enum rule_outcome check_owner(struct check *check, bool may_be_unowned)
{
    struct str user = check->conversation->session.sasl_username;
    struct str owners = STR("");
    struct party party;

    if (!sender_of(check, &party) || str_is_empty(user))
        return RULE_PASSED_ON;
    switch (recipient_maps_find_owners(check->restrictions->options.recipient_maps, check->scratch,
                                       party.address, &owners)) {
    case LOOKUP_FAILED:
        return refuse_for_lookup(check, party.as_sent);
    case LOOKUP_ABSENT:
        if (may_be_unowned)
            return RULE_PASSED_ON;
        break;
    case LOOKUP_FOUND:
        break;
    }
    if (names_user(owners, user))
        return RULE_PASSED_ON;
    return refuse_party(check, &party, 553, "5.7.1",
                        arena_printf(check->scratch, "not owned by user %.*s", STR_ARGS(user)));
}

static enum rule_outcome check_nobodys(struct check *check)
{
    struct str owners;
    struct party party;

    /* Without AUTH nobody could log in: Postfix leaves the rule out then. */
    if (!check_config(check)->smtpd_sasl_auth_enable || !sender_of(check, &party) ||
        session_is_authenticated(&check->conversation->session))
        return RULE_PASSED_ON;
    switch (recipient_maps_find_owners(check->restrictions->options.recipient_maps, check->scratch,
                                       party.address, &owners)) {
    case LOOKUP_FAILED:
        return refuse_for_lookup(check, party.as_sent);
    case LOOKUP_ABSENT:
        return RULE_PASSED_ON;
    case LOOKUP_FOUND:
        break;
    }
    return refuse_party(check, &party, 553, "5.7.1", "not logged in");
}

RULE(rule_reject_sender_login_mismatch)
{
    (void)rule;
    return session_is_authenticated(&check->conversation->session) ? check_owner(check, false)
                                                                   : check_nobodys(check);
}

RULE(rule_reject_authenticated_sender_login_mismatch)
{
    (void)rule;
    return check_owner(check, false);
}

RULE(rule_reject_known_sender_login_mismatch)
{
    (void)rule;
    return check_owner(check, true);
}

RULE(rule_reject_unauthenticated_sender_login_mismatch)
{
    (void)rule;
    return check_nobodys(check);
}

/* ---- relaying ---- */

static enum rule_outcome refuse_relaying(struct check *check, unsigned code)
{
    struct error error;

    if (!check->has_recipient)
        return RULE_PASSED_ON;
    switch (
        destinations_find(check->restrictions->options.destinations, check->recipient, &error)) {
    case DESTINATION_AUTHORISED:
        return RULE_PASSED_ON;
    case DESTINATION_UNKNOWN:
        return refuse_for_lookup(check, check->recipient_as_sent);
    case DESTINATION_FOREIGN:
        break;
    }
    return refuse(check, code, "5.7.1",
                  arena_printf(check->scratch, "<%.*s>: Relay access denied",
                               STR_ARGS(check->recipient_as_sent)));
}

RULE(rule_reject_unauth_destination)
{
    (void)rule;
    return refuse_relaying(check, (unsigned)check_config(check)->relay_domains_reject_code);
}

RULE(rule_defer_unauth_destination)
{
    (void)rule;
    return refuse_relaying(check,
                           (unsigned)check_config(check)->relay_domains_reject_code % 100 + 400);
}

RULE(rule_permit_auth_destination)
{
    struct error error;

    if (!check->has_recipient)
        return RULE_PASSED_ON;
    switch (
        destinations_find(check->restrictions->options.destinations, check->recipient, &error)) {
    case DESTINATION_AUTHORISED:
        return permit(check, rule->kind->name);
    case DESTINATION_UNKNOWN:
        return refuse_for_lookup(check, check->recipient_as_sent);
    case DESTINATION_FOREIGN:
        break;
    }
    return RULE_PASSED_ON;
}

/* ---- permit_mx_backup ---- */

/* Whether an exchanger is this machine. */
static bool is_own_host(struct check *check, struct str host)
{
    struct dns_answer answers[2];

    if (str_equal_fold(host, check->conversation->policy->myhostname))
        return true;
    if (check_ask_host(check, host, &answers[0], &answers[1]) != DNS_FOUND)
        return false;
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; answers[i].outcome == DNS_FOUND && j < answers[i].record_count; j++) {
            struct net_address address;
            if (dns_record_address(&answers[i].records[j], 0, &address) &&
                own_addresses_contain(check->restrictions->options.own, &address))
                return true;
        }
    }
    return false;
}

/* permit_mx_backup_networks: all primary exchangers must be in there. */
static bool are_primaries_listed(struct check *check, const struct dns_answer *mx)
{
    struct match_list *networks = check->restrictions->mx_backup_networks;
    uint16_t best = UINT16_MAX;
    struct error error;

    if (match_list_is_empty(networks))
        return true;
    for (size_t i = 0; i < mx->record_count; i++)
        best = mx->records[i].preference < best ? mx->records[i].preference : best;
    for (size_t i = 0; i < mx->record_count; i++) {
        struct dns_answer answers[2];
        if (mx->records[i].preference != best)
            continue;
        if (check_ask_host(check, mx->records[i].name, &answers[0], &answers[1]) != DNS_FOUND)
            return false;
        for (size_t a = 0; a < 2; a++) {
            for (size_t j = 0; answers[a].outcome == DNS_FOUND && j < answers[a].record_count;
                 j++) {
                struct net_address address;
                autofree_buf struct buf text = { 0 };
                if (!dns_record_address(&answers[a].records[j], 0, &address))
                    return false;
                net_address_format(&address, &text);
                if (match_list_find_client(networks, STR("unknown"), buf_str(&text), &error) !=
                    MATCH_FOUND)
                    return false;
            }
        }
    }
    return true;
}

RULE(rule_permit_mx_backup)
{
    struct dns_answer mx;
    struct error error;

    if (!check->has_recipient)
        return RULE_PASSED_ON;
    switch (
        destinations_find(check->restrictions->options.destinations, check->recipient, &error)) {
    case DESTINATION_AUTHORISED:
        return permit(check, rule->kind->name);
    case DESTINATION_UNKNOWN:
        return refuse_for_lookup(check, check->recipient_as_sent);
    case DESTINATION_FOREIGN:
        break;
    }
    if (address_is_routed(check->recipient) || domain_is_literal(address_domain(check->recipient)))
        return RULE_PASSED_ON;
    check_ask_dns(check, DNS_MX, address_domain(check->recipient), &mx);
    if (mx.outcome == DNS_TRY_AGAIN) {
        struct verdict verdict = {
            .code = 450,
            .enhanced = "4.4.4",
            .text = refusal_text(check, check->recipient_as_sent, CLASS_RECIPIENT,
                                 "Unable to look up mail exchanger information"),
        };
        return defer_if_rejected(check, &verdict);
    }
    if (mx.outcome != DNS_FOUND || !are_primaries_listed(check, &mx))
        return RULE_PASSED_ON;
    for (size_t i = 0; i < mx.record_count; i++) {
        if (is_own_host(check, mx.records[i].name))
            return permit(check, rule->kind->name);
    }
    return RULE_PASSED_ON;
}
