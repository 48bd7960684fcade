/* SPDX-License-Identifier: Apache-2.0 */
#include "restrictions.h"

#include "base/clock.h"
#include "base/memory.h"
#include "conversation.h"
#include "mail/verify_sender.h"
#include "policy_service.h"
#include "recipient_maps.h"
#include "refusal.h"
#include "restrictions_inside.h"
#include "rules.h"

/* ---- making them ---- */

static const char *const parameters[LIST_COUNT] = {
    [LIST_CLIENT] = "smtpd_client_restrictions",
    [LIST_HELO] = "smtpd_helo_restrictions",
    [LIST_SENDER] = "smtpd_sender_restrictions",
    [LIST_RELAY] = "smtpd_relay_restrictions",
    [LIST_RECIPIENT] = "smtpd_recipient_restrictions",
    [LIST_DATA] = "smtpd_data_restrictions",
    [LIST_END_OF_DATA] = "smtpd_end_of_data_restrictions",
    [LIST_ETRN] = "smtpd_etrn_restrictions",
};

static bool lists_parse(struct restrictions *restrictions, struct error *error)
{
    const struct config *config = restrictions->options.config;
    const struct str texts[LIST_COUNT] = {
        [LIST_CLIENT] = config->smtpd_client_restrictions,
        [LIST_HELO] = config->smtpd_helo_restrictions,
        [LIST_SENDER] = config->smtpd_sender_restrictions,
        [LIST_RELAY] = config->smtpd_relay_restrictions,
        [LIST_RECIPIENT] = config->smtpd_recipient_restrictions,
        [LIST_DATA] = config->smtpd_data_restrictions,
        [LIST_END_OF_DATA] = config->smtpd_end_of_data_restrictions,
        [LIST_ETRN] = config->smtpd_etrn_restrictions,
    };

    for (int i = 0; i < LIST_COUNT; i++) {
        struct parse_request request = { parameters[i], texts[i], (enum restriction_list)i };
        if (!rules_parse(restrictions, &request, &restrictions->lists[i], error))
            return false;
    }
    return true;
}

/* The names first, so that classes may name each other; then what they stand for. */
static bool classes_parse(struct restrictions *restrictions, struct error *error)
{
    const struct config *config = restrictions->options.config;
    struct str rest = config->smtpd_restriction_classes;
    struct str word;

    restrictions->classes =
        arena_new_array(&restrictions->arena, rest.len / 2 + 1, sizeof *restrictions->classes);
    while (str_next_word(&rest, ", \t\r\n", &word))
        restrictions->classes[restrictions->class_count++].name =
            arena_copy(&restrictions->arena, word);
    for (size_t i = 0; i < restrictions->class_count; i++) {
        struct restriction_class *class = &restrictions->classes[i];
        const char *name = arena_text(&restrictions->arena, class->name);
        struct str text;
        if (!config_find(config, class->name, &text) || str_is_empty(str_trim(text)))
            return error_set(error, "restriction class `%s' needs a definition", name);
        struct parse_request request = { name, text, LIST_RECIPIENT };
        if (!rules_parse(restrictions, &request, &class->list, error))
            return false;
    }
    return true;
}

static bool names_parameter(struct str list, struct str name)
{
    struct str word;

    while (str_next_word(&list, ", \t\r\n", &word)) {
        if (str_equal_fold(word, name))
            return true;
    }
    return false;
}

static bool networks_open(struct restrictions *restrictions, struct error *error)
{
    const struct restrictions_options *options = &restrictions->options;
    struct match_list_options list = {
        .name = STR("mynetworks"),
        .matches_parent_domains = true,
        .warning = options->warning,
        .argument = options->argument,
    };

    restrictions->mynetworks = match_list_new(options->config->mynetworks, &list, error);
    if (restrictions->mynetworks == NULL)
        return false;
    struct str broad = match_list_too_broad(restrictions->mynetworks);
    if (!str_is_empty(broad))
        return error_set(error,
                         "parameter mynetworks: \"%.*s\" would let a large part of the Internet "
                         "relay through this machine; name the networks that are yours",
                         STR_ARGS(broad));
    list.name = STR("permit_mx_backup_networks");
    restrictions->mx_backup_networks =
        match_list_new(options->config->permit_mx_backup_networks, &list, error);
    return restrictions->mx_backup_networks != NULL;
}

static bool codes_are_sound(const struct config *config, struct error *error)
{
    const struct {
        const char *name;
        int64_t code;
    } codes[] = {
        { "access_map_defer_code", config->access_map_defer_code },
        { "access_map_reject_code", config->access_map_reject_code },
        { "defer_code", config->defer_code },
        { "invalid_hostname_reject_code", config->invalid_hostname_reject_code },
        { "maps_rbl_reject_code", config->maps_rbl_reject_code },
        { "multi_recipient_bounce_reject_code", config->multi_recipient_bounce_reject_code },
        { "non_fqdn_reject_code", config->non_fqdn_reject_code },
        { "plaintext_reject_code", config->plaintext_reject_code },
        { "reject_code", config->reject_code },
        { "relay_domains_reject_code", config->relay_domains_reject_code },
        { "unknown_address_reject_code", config->unknown_address_reject_code },
        { "unknown_client_reject_code", config->unknown_client_reject_code },
        { "unknown_hostname_reject_code", config->unknown_hostname_reject_code },
        { "unknown_local_recipient_reject_code", config->unknown_local_recipient_reject_code },
        { "unknown_relay_recipient_reject_code", config->unknown_relay_recipient_reject_code },
        { "unknown_virtual_alias_reject_code", config->unknown_virtual_alias_reject_code },
        { "unknown_virtual_mailbox_reject_code", config->unknown_virtual_mailbox_reject_code },
    };

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].code < 400 || codes[i].code > 599)
            return error_set(error, "parameter %s: %lld is no code that refuses; use 400 to 599",
                             codes[i].name, (long long)codes[i].code);
    }
    return true;
}

static struct table_list *open_tables(const struct restrictions *restrictions, struct str name,
                                      struct str text)
{
    struct table_options options = { .warning = restrictions->options.warning,
                                     .argument = restrictions->options.argument,
                                     .warns_of_failures = true };

    return table_list_new(name, text, &options, NULL);
}

static bool restrictions_fill(struct restrictions *restrictions, struct error *error)
{
    const struct config *config = restrictions->options.config;

    restrictions->access_has_parents =
        names_parameter(config->parent_domain_matches_subdomains, STR("smtpd_access_maps"));
    restrictions->services = policy_services_new(restrictions->options.service, config);
    restrictions->rbl_reply_maps =
        open_tables(restrictions, STR("rbl_reply_maps"), config->rbl_reply_maps);
    restrictions->relay_clientcerts =
        open_tables(restrictions, STR("relay_clientcerts"), config->relay_clientcerts);
    if (!codes_are_sound(config, error) || !networks_open(restrictions, error) ||
        !classes_parse(restrictions, error) || !lists_parse(restrictions, error))
        return false;
    if (!restrictions->lists[LIST_RELAY].has_guard &&
        !restrictions->lists[LIST_RECIPIENT].has_guard)
        return error_set(error,
                         "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, "
                         "specify at least one working instance of: reject_unauth_destination, "
                         "defer_unauth_destination, reject, defer, defer_if_permit or "
                         "check_relay_domains");
    return true;
}

struct restrictions *restrictions_new(const struct restrictions_options *options,
                                      struct error *error)
{
    struct restrictions *restrictions = memory_new(sizeof *restrictions);

    restrictions->options = *options;
    if (!restrictions_fill(restrictions, error))
        restrictions_free(&restrictions);
    return restrictions;
}

void restrictions_free(struct restrictions **restrictions)
{
    if (*restrictions == NULL)
        return;
    policy_services_free(&(*restrictions)->services);
    table_list_free(&(*restrictions)->rbl_reply_maps);
    table_list_free(&(*restrictions)->relay_clientcerts);
    match_list_free(&(*restrictions)->mynetworks);
    match_list_free(&(*restrictions)->mx_backup_networks);
    arena_clear(&(*restrictions)->arena);
    memory_free(*restrictions);
    *restrictions = NULL;
}

/* ---- judging ---- */

/* What a list is asked about. */
struct subject {
    enum restriction_list list;
    const char *where;
    struct str name;
    const char *class;
};

static struct check check_begin(struct conversation *conversation, const char *where)
{
    return (struct check){
        .conversation = conversation,
        .restrictions = conversation->policy->restrictions,
        .scratch = &conversation->scratch,
        .where = where,
    };
}

static enum rule_outcome run(struct check *check, const struct subject *subject)
{
    check->list = subject->list;
    check->reply_name = subject->name;
    check->reply_class = subject->class;
    check->depth = check->warn_depth = 0;
    return rules_run(check, &check->restrictions->lists[subject->list]);
}

static struct verdict verdict_of(const struct check *check, enum rule_outcome outcome)
{
    if (outcome == RULE_REFUSED)
        return check->verdict;
    return (struct verdict){ .is_accepted = true };
}

static enum rule_outcome run_client(struct check *check)
{
    struct subject subject = { LIST_CLIENT, NULL, check_client(check), "Client host" };

    check->if_reject = (struct deferral){ 0 };
    return run(check, &subject);
}

static enum rule_outcome run_helo(struct check *check)
{
    struct str name = check->conversation->session.helo_name;
    struct subject subject = { LIST_HELO, NULL, name, "Helo command" };

    check->if_reject = (struct deferral){ 0 };
    return str_is_empty(name) ? RULE_PASSED_ON : run(check, &subject);
}

static enum rule_outcome run_sender(struct check *check)
{
    struct subject subject = { LIST_SENDER, NULL, check_sender(check), "Sender address" };

    check->if_reject = (struct deferral){ 0 };
    check->is_sender_known = false;
    enum rule_outcome outcome = run(check, &subject);
    if (outcome == RULE_REFUSED || !check_config(check)->smtpd_reject_unlisted_sender ||
        check->conversation->session.transaction.actions.is_discarded)
        return outcome;
    check->warn_depth = 0;
    return rule_reject_unlisted_sender(check, NULL);
}

/* What was carried over from earlier lists, kept where smtpd_delay_reject = no has them run at
 * their own commands. */
static struct deferral keep(struct arena *arena, const struct deferral *deferral)
{
    struct deferral kept = *deferral;

    if (kept.is_active) {
        kept.verdict.enhanced = arena_text(arena, str_from(kept.verdict.enhanced));
        kept.verdict.text = arena_text(arena, str_from(kept.verdict.text));
    }
    return kept;
}

struct verdict restrictions_check_client(struct conversation *conversation)
{
    struct check check = check_begin(conversation, "CONNECT");

    if (check_config(&check)->smtpd_delay_reject)
        return (struct verdict){ .is_accepted = true };
    enum rule_outcome outcome = run_client(&check);
    conversation->session.deferred_client = keep(&conversation->session.arena, &check.if_permit);
    return verdict_of(&check, outcome);
}

struct verdict restrictions_check_helo(struct conversation *conversation, struct str name)
{
    struct session *session = &conversation->session;
    struct check check = check_begin(conversation, NULL);
    struct str before = session->helo_name;

    if (check_config(&check)->smtpd_delay_reject)
        return (struct verdict){ .is_accepted = true };
    check.where = arena_text(check.scratch, session->where);
    check.if_permit = session->deferred_client;
    session->helo_name = name;
    enum rule_outcome outcome = run_helo(&check);
    session->helo_name = before;
    session->deferred_helo = keep(&session->arena, &check.if_permit);
    return verdict_of(&check, outcome);
}

struct verdict restrictions_check_sender(struct conversation *conversation)
{
    struct session *session = &conversation->session;
    struct check check = check_begin(conversation, "MAIL");

    if (check_config(&check)->smtpd_delay_reject)
        return (struct verdict){ .is_accepted = true };
    check.if_permit = session->deferred_helo;
    enum rule_outcome outcome = run_sender(&check);
    session->transaction.deferred_sender = keep(&session->transaction.arena, &check.if_permit);
    return verdict_of(&check, outcome);
}

/* The lists that smtpd_delay_reject has put off until now. */
static enum rule_outcome run_delayed(struct check *check)
{
    if (run_client(check) == RULE_REFUSED || run_helo(check) == RULE_REFUSED)
        return RULE_REFUSED;
    return check_has_sender(check) && run_sender(check) == RULE_REFUSED ? RULE_REFUSED
                                                                        : RULE_PASSED_ON;
}

static enum rule_outcome refuse_deferred(struct check *check)
{
    struct verdict verdict = check->if_permit.verdict;

    check->warn_depth = 0;
    check->if_reject = (struct deferral){ 0 };
    return refuse(check, verdict.code, verdict.enhanced, verdict.text);
}

static enum rule_outcome run_recipient_lists(struct check *check)
{
    bool is_relay_first = check_config(check)->smtpd_relay_before_recipient_restrictions;
    const enum restriction_list order[] = {
        is_relay_first ? LIST_RELAY : LIST_RECIPIENT,
        is_relay_first ? LIST_RECIPIENT : LIST_RELAY,
    };

    check->if_reject = (struct deferral){ 0 };
    for (size_t i = 0; i < 2; i++) {
        struct subject subject = { order[i], NULL, check->recipient_as_sent, "Recipient address" };
        if (run(check, &subject) == RULE_REFUSED)
            return RULE_REFUSED;
    }
    return RULE_PASSED_ON;
}

struct verdict restrictions_check_recipient(struct conversation *conversation,
                                            const struct recipient_question *question)
{
    const struct session *session = &conversation->session;
    struct check check = check_begin(conversation, question->where);
    const struct config *config = check_config(&check);
    enum rule_outcome outcome = RULE_PASSED_ON;

    /* RFC 5321 4.5.1: "postmaster" without a domain is always heard. */
    if (str_equal_fold(question->as_sent, STR("postmaster")))
        return (struct verdict){ .is_accepted = true };
    /* Other systems verify the sender of our probes: no probe may lead to another one. */
    if (verify_sender_is(config, clock_wall_ms() / 1000, question->as_sent))
        return (struct verdict){ .is_accepted = true };
    check.has_recipient = true;
    check.recipient = question->rewritten;
    check.recipient_as_sent = question->as_sent;
    check.if_permit = session_in_transaction(session) ? session->transaction.deferred_sender
                                                      : session->deferred_helo;
    if (config->smtpd_delay_reject) {
        check.if_permit = (struct deferral){ 0 };
        outcome = run_delayed(&check);
    }
    if (outcome != RULE_REFUSED)
        outcome = run_recipient_lists(&check);
    if (outcome != RULE_REFUSED && check.if_permit.is_active)
        outcome = refuse_deferred(&check);
    check.warn_depth = 0;
    if (outcome != RULE_REFUSED && config->smtpd_reject_unlisted_recipient &&
        !session->transaction.actions.is_discarded)
        outcome = rule_reject_unlisted_recipient(&check, NULL);
    return verdict_of(&check, outcome);
}

/* DATA and its end, about the message as a whole. */
static struct verdict check_message(struct conversation *conversation,
                                    const struct subject *subject)
{
    const struct envelope *envelope = &conversation->session.transaction.envelope;
    struct check check = check_begin(conversation, subject->where);

    if (envelope->recipient_count == 1) {
        const struct recipient *only = &envelope->recipients[0];
        check.has_recipient = true;
        check.recipient = only->address;
        check.recipient_as_sent =
            str_is_empty(only->original_recipient) ? only->address : only->original_recipient;
    }
    enum rule_outcome outcome = run(&check, subject);
    if (outcome != RULE_REFUSED && check.if_permit.is_active)
        outcome = refuse_deferred(&check);
    return verdict_of(&check, outcome);
}

struct verdict restrictions_check_data(struct conversation *conversation)
{
    struct subject subject = { LIST_DATA, "DATA", STR("DATA"), "Data command" };

    return check_message(conversation, &subject);
}

struct verdict restrictions_check_end_of_data(struct conversation *conversation)
{
    struct subject subject = { LIST_END_OF_DATA, "END-OF-MESSAGE", STR("END-OF-MESSAGE"),
                               "End-of-data" };

    return check_message(conversation, &subject);
}

struct verdict restrictions_check_etrn(struct conversation *conversation, struct str domain)
{
    struct subject subject = { LIST_ETRN, NULL, domain, "Etrn command" };
    struct check check = check_begin(conversation, "ETRN");
    enum rule_outcome outcome = RULE_PASSED_ON;

    check.etrn_domain = domain;
    check.if_permit = conversation->session.deferred_helo;
    if (check_config(&check)->smtpd_delay_reject) {
        check.if_permit = (struct deferral){ 0 };
        if (run_client(&check) == RULE_REFUSED || run_helo(&check) == RULE_REFUSED)
            outcome = RULE_REFUSED;
    }
    check.if_reject = (struct deferral){ 0 };
    if (outcome != RULE_REFUSED)
        outcome = run(&check, &subject);
    if (outcome != RULE_REFUSED && check.if_permit.is_active)
        outcome = refuse_deferred(&check);
    return verdict_of(&check, outcome);
}

bool restrictions_client_is_trusted(const struct restrictions *restrictions, struct str name,
                                    struct str address)
{
    struct error error;

    return match_list_find_client(restrictions->mynetworks, name, address, &error) == MATCH_FOUND;
}
