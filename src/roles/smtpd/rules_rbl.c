/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of addresses and domains in the DNS, that say whom to refuse or to let in. */
#include "mail/address.h"
#include "rbl.h"
#include "refusal.h"
#include "reply_template.h"
#include "restrictions_inside.h"
#include "rules.h"
#include "servers.h"

enum list_answer { LISTED, NOT_LISTED, LIST_IS_SILENT };

/* One question to one list. */
struct listed {
    const struct rule *rule;
    struct dns_list list;
    struct str what;   /* for the reply: an address, a name, a mail address */
    const char *class; /* "Client host" */
    struct str query;  /* "9.2.0.192.dnsbl.example" */
};

/* Whether the list did not answer; warns of it. */
static bool is_silent(const struct check *check, const struct listed *listed,
                      const struct dns_answer *answer)
{
    const struct log_context *log = &check->conversation->policy->log;

    if (answer->outcome != DNS_TRY_AGAIN && answer->outcome != DNS_FILTERED)
        return false;
    if (answer->outcome == DNS_FILTERED)
        log_warning(log, "%.*s: RBL lookup error: Error looking up name=%.*s type=A: %.*s",
                    STR_ARGS(listed->query), STR_ARGS(listed->query), STR_ARGS(answer->reason));
    else
        log_warning(log,
                    "%.*s: RBL lookup error: Host or domain name not found. Name service error for "
                    "name=%.*s type=A: %.*s",
                    STR_ARGS(listed->query), STR_ARGS(listed->query), STR_ARGS(answer->reason));
    return true;
}

static enum list_answer ask(struct check *check, const struct listed *listed)
{
    struct dns_answer answer;

    check_ask_dns(check, DNS_A, listed->query, &answer);
    if (is_silent(check, listed, &answer))
        return LIST_IS_SILENT;
    for (size_t i = 0; answer.outcome == DNS_FOUND && i < answer.record_count; i++) {
        if (str_is_empty(listed->list.pattern) ||
            (answer.records[i].data.len == 4 &&
             dns_list_pattern_matches(listed->list.pattern,
                                      (const uint8_t *)answer.records[i].data.ptr)))
            return LISTED;
    }
    return NOT_LISTED;
}

static struct str find_reason(struct check *check, const struct listed *listed)
{
    struct dns_answer answer;

    check_ask_dns(check, DNS_TXT, listed->query, &answer);
    if (answer.outcome == DNS_TRY_AGAIN || answer.outcome == DNS_FILTERED)
        log_warning(&check->conversation->policy->log, "%.*s: TXT lookup error: %.*s",
                    STR_ARGS(listed->query), STR_ARGS(answer.reason));
    return answer.outcome == DNS_FOUND && answer.record_count > 0 ? answer.records[0].data
                                                                  : STR("");
}

/* ---- the reply ---- */

static struct str or_null(struct str address)
{
    return str_is_empty(address) ? STR("<>") : address;
}

static struct str local_of(struct str address)
{
    return or_null(address_has_domain(address) ? address_local(address) : address);
}

static bool expand_reply(struct check *check, const struct listed *listed, struct str template,
                         struct str *text, struct error *error)
{
    const struct session *session = &check->conversation->session;
    struct str sender = check_has_sender(check) ? check_sender(check) : STR("");
    struct str code = str_from(
        arena_printf(check->scratch, "%lld", (long long)check_config(check)->maps_rbl_reject_code));
    const struct template_name names[] = {
        { "client", check_client(check) },
        { "client_address", session->client_address },
        { "client_name", session->client_name },
        { "reverse_client_name", session->reverse_name },
        { "helo_name", session->helo_name },
        { "rbl_class", str_from(listed->class) },
        { "rbl_code", code },
        { "rbl_domain", listed->list.domain },
        { "rbl_reason", find_reason(check, listed) },
        { "rbl_what", listed->what },
        { "recipient", or_null(check->recipient_as_sent) },
        { "recipient_domain", address_domain(check->recipient_as_sent) },
        { "recipient_name", local_of(check->recipient_as_sent) },
        { "sender", or_null(sender) },
        { "sender_domain", address_domain(sender) },
        { "sender_name", local_of(sender) },
    };

    return reply_template_expand(check->scratch, template,
                                 check_config(check)->smtpd_expansion_filter, names,
                                 sizeof names / sizeof names[0], text, error);
}

/* rbl_reply_maps, by the list with or without its pattern; else default_rbl_reply. */
static bool find_template(struct check *check, const struct listed *listed, struct str *template)
{
    struct error error;
    enum lookup_outcome outcome =
        table_list_find(check->restrictions->rbl_reply_maps, listed->list.domain, KEY_WHOLE,
                        check->scratch, template, &error);

    if (outcome == LOOKUP_ABSENT)
        *template = check_config(check)->default_rbl_reply;
    return outcome != LOOKUP_FAILED;
}

static enum rule_outcome refuse_listed(struct check *check, const struct listed *listed)
{
    struct str template, text;
    struct error error;
    uint64_t code = 0;

    if (!find_template(check, listed, &template))
        return refuse_for_lookup(check, listed->what);
    if (!expand_reply(check, listed, template, &text, &error)) {
        log_warning(&check->conversation->policy->log,
                    "%.*s: bad rbl reply template for domain %.*s: %s", STR_ARGS(template),
                    STR_ARGS(listed->list.domain), error.message);
        template = STR("$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using "
                       "$rbl_domain${rbl_reason?; $rbl_reason}");
        if (!expand_reply(check, listed, template, &text, &error))
            return refuse_for_configuration(check);
    }
    struct str rest = text;
    struct str word = str_cut(&rest, " \t");
    if (!str_to_u64(word, &code) || code < 400 || code > 599) {
        log_warning(&check->conversation->policy->log, "response code configuration error: %.*s",
                    STR_ARGS(text));
        return refuse(check, 450, "4.7.1", "Service unavailable");
    }
    rest = str_trim(rest);
    const char *enhanced = reply_fit_enhanced(
        check->scratch, reply_take_enhanced(check->scratch, &rest, "4.7.1"), listed->class);
    return refuse(check, (unsigned)code, enhanced, arena_text(check->scratch, rest));
}

static enum rule_outcome refuse_if_listed(struct check *check, const struct listed *listed)
{
    return ask(check, listed) == LISTED ? refuse_listed(check, listed) : RULE_PASSED_ON;
}

/* A list of the good ones that does not answer may have kept us from letting this one in. */
static enum rule_outcome permit_if_listed(struct check *check, const struct listed *listed)
{
    struct verdict verdict = { .code = 450, .enhanced = "4.7.1" };

    switch (ask(check, listed)) {
    case LISTED:
        return permit(check, listed->rule->kind->name);
    case NOT_LISTED:
        return RULE_PASSED_ON;
    case LIST_IS_SILENT:
        break;
    }
    verdict.text = refusal_text(check, listed->what, listed->class, "Service unavailable");
    return defer_if_rejected(check, &verdict);
}

/* ---- what is asked for ---- */

/* "1.2.0.192.dnsbl.example". */
static bool about_address(struct check *check, const struct rule *rule, struct listed *listed)
{
    const struct session *session = &check->conversation->session;
    autofree_buf struct buf query = { 0 };

    *listed = (struct listed){ .rule = rule,
                               .list = dns_list_parse(rule->argument),
                               .what = session->client_address,
                               .class = "Client host" };
    if (!dns_reverse_name(&check->conversation->peer, &query))
        return false;
    struct str name = buf_str(&query);
    name = str_ends_with(name, STR(".in-addr.arpa")) ? str_take(name, name.len - 13)
                                                     : str_take(name, name.len - 9);
    listed->query = str_from(
        arena_printf(check->scratch, "%.*s.%.*s", STR_ARGS(name), STR_ARGS(listed->list.domain)));
    return true;
}

/* Names without a dot and literals are in no list. */
static bool about_domain(struct check *check, const struct rule *rule, struct str what,
                         const char *class, struct listed *listed)
{
    struct str domain = address_has_domain(what) ? address_domain(what) : what;

    *listed = (struct listed){ .rule = rule,
                               .list = dns_list_parse(rule->argument),
                               .what = what,
                               .class = class };
    if (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
        domain = str_take(domain, domain.len - 1);
    if (!dns_name_is_valid(domain) || str_equal(domain, STR("unknown")))
        return false;
    listed->query = str_from(
        arena_printf(check->scratch, "%.*s.%.*s", STR_ARGS(domain), STR_ARGS(listed->list.domain)));
    return true;
}

RULE(rule_reject_rbl_client)
{
    struct listed listed;

    return about_address(check, rule, &listed) ? refuse_if_listed(check, &listed) : RULE_PASSED_ON;
}

RULE(rule_permit_dnswl_client)
{
    struct listed listed;

    return about_address(check, rule, &listed) ? permit_if_listed(check, &listed) : RULE_PASSED_ON;
}

RULE(rule_reject_rhsbl_client)
{
    struct str name = check->conversation->session.client_name;
    struct listed listed;

    return about_domain(check, rule, name, "Client host", &listed)
               ? refuse_if_listed(check, &listed)
               : RULE_PASSED_ON;
}

RULE(rule_permit_rhswl_client)
{
    struct str name = check->conversation->session.client_name;
    struct listed listed;

    return about_domain(check, rule, name, "Client host", &listed)
               ? permit_if_listed(check, &listed)
               : RULE_PASSED_ON;
}

RULE(rule_reject_rhsbl_reverse_client)
{
    struct str name = check->conversation->session.reverse_name;
    struct listed listed;

    return about_domain(check, rule, name, "Unverified Client host", &listed)
               ? refuse_if_listed(check, &listed)
               : RULE_PASSED_ON;
}

RULE(rule_reject_rhsbl_helo)
{
    struct str name = check->conversation->session.helo_name;
    struct listed listed;

    return about_domain(check, rule, name, "Helo command", &listed)
               ? refuse_if_listed(check, &listed)
               : RULE_PASSED_ON;
}

RULE(rule_reject_rhsbl_sender)
{
    struct listed listed;

    return check_has_sender(check) &&
                   about_domain(check, rule, check_sender(check), "Sender address", &listed)
               ? refuse_if_listed(check, &listed)
               : RULE_PASSED_ON;
}

RULE(rule_reject_rhsbl_recipient)
{
    struct listed listed;

    return check->has_recipient &&
                   about_domain(check, rule, check->recipient_as_sent, "Recipient address", &listed)
               ? refuse_if_listed(check, &listed)
               : RULE_PASSED_ON;
}
