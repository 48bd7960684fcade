/* SPDX-License-Identifier: Apache-2.0 */
#include "restrictions.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "mail/address.h"

enum rule {
    RULE_PERMIT,
    RULE_REJECT,
    RULE_DEFER,
    RULE_PERMIT_MYNETWORKS,
    RULE_PERMIT_INET_INTERFACES,
    RULE_PERMIT_SASL_AUTHENTICATED,
    RULE_PERMIT_AUTH_DESTINATION,
    RULE_REJECT_UNAUTH_DESTINATION,
    RULE_DEFER_UNAUTH_DESTINATION,
};

struct rule_name {
    const char *name;
    enum rule rule;
    bool is_final; /* nothing behind it is ever reached */
    bool is_guard; /* stops relaying for strangers */
};

struct rule_list {
    enum rule *rules;
    size_t count;
    bool has_guard; /* a reachable one */
};

struct restrictions {
    const struct own_addresses *own;
    const struct destinations *destinations;
    struct match_list *mynetworks;
    struct rule_list relay, recipient;
    bool is_relay_first; /* smtpd_relay_before_recipient_restrictions */
    unsigned reject_code, defer_code, relay_code;
    struct arena arena;
};

enum rule_outcome { RULE_PASSED_ON, RULE_PERMITTED, RULE_REFUSED };

/* ---- the rules ---- */

static enum rule_outcome refuse(struct verdict *verdict, unsigned code, const char *enhanced,
                                const char *text)
{
    *verdict = (struct verdict){ .code = code, .enhanced = enhanced, .text = text };
    return RULE_REFUSED;
}

static enum rule_outcome refuse_recipient(struct arena *scratch, const char *what, unsigned code,
                                          const char *enhanced,
                                          const struct restriction_subject *subject,
                                          struct verdict *verdict)
{
    return refuse(verdict, code, enhanced,
                  arena_printf(scratch, "<%.*s>: %s", STR_ARGS(subject->recipient_as_sent), what));
}

/* A table that cannot answer is not "no". */
static enum rule_outcome refuse_for_now(struct arena *scratch,
                                        const struct restriction_subject *subject,
                                        struct verdict *verdict)
{
    return refuse_recipient(scratch, "Temporary lookup failure", 451, "4.3.0", subject, verdict);
}

static enum rule_outcome check_mynetworks(const struct restrictions *restrictions,
                                          struct arena *scratch,
                                          const struct restriction_subject *subject,
                                          struct verdict *verdict)
{
    struct error error;

    switch (match_list_find_client(restrictions->mynetworks, subject->client_name,
                                   subject->client_address, &error)) {
    case MATCH_FOUND:
        return RULE_PERMITTED;
    case MATCH_FAILED:
        return refuse_for_now(scratch, subject, verdict);
    case MATCH_ABSENT:
        break;
    }
    return RULE_PASSED_ON;
}

static enum rule_outcome check_destination(const struct restrictions *restrictions,
                                           struct arena *scratch, unsigned code,
                                           const struct restriction_subject *subject,
                                           struct verdict *verdict)
{
    struct error error;

    switch (destinations_find(restrictions->destinations, subject->recipient, &error)) {
    case DESTINATION_AUTHORISED:
        return RULE_PASSED_ON;
    case DESTINATION_FOREIGN:
        return refuse_recipient(scratch, "Relay access denied", code,
                                code >= 500 ? "5.7.1" : "4.7.1", subject, verdict);
    case DESTINATION_UNKNOWN:
        break;
    }
    return refuse_for_now(scratch, subject, verdict);
}

static enum rule_outcome permit_destination(const struct restrictions *restrictions,
                                            struct arena *scratch,
                                            const struct restriction_subject *subject,
                                            struct verdict *verdict)
{
    struct error error;

    switch (destinations_find(restrictions->destinations, subject->recipient, &error)) {
    case DESTINATION_AUTHORISED:
        return RULE_PERMITTED;
    case DESTINATION_FOREIGN:
        return RULE_PASSED_ON;
    case DESTINATION_UNKNOWN:
        break;
    }
    return refuse_for_now(scratch, subject, verdict);
}

static enum rule_outcome rule_check(const struct restrictions *restrictions, enum rule rule,
                                    struct arena *scratch,
                                    const struct restriction_subject *subject,
                                    struct verdict *verdict)
{
    switch (rule) {
    case RULE_PERMIT:
        return RULE_PERMITTED;
    case RULE_REJECT:
        return refuse_recipient(
            scratch, "Recipient address rejected: Access denied", restrictions->reject_code,
            restrictions->reject_code >= 500 ? "5.7.1" : "4.7.1", subject, verdict);
    case RULE_DEFER:
        return refuse_recipient(
            scratch, "Recipient address rejected: Try again later", restrictions->defer_code,
            restrictions->defer_code >= 500 ? "5.3.2" : "4.3.2", subject, verdict);
    case RULE_PERMIT_MYNETWORKS:
        return check_mynetworks(restrictions, scratch, subject, verdict);
    case RULE_PERMIT_INET_INTERFACES:
        return own_addresses_contain_text(restrictions->own, subject->client_address)
                   ? RULE_PERMITTED
                   : RULE_PASSED_ON;
    case RULE_PERMIT_SASL_AUTHENTICATED:
        return subject->is_authenticated ? RULE_PERMITTED : RULE_PASSED_ON;
    case RULE_PERMIT_AUTH_DESTINATION:
        return permit_destination(restrictions, scratch, subject, verdict);
    case RULE_REJECT_UNAUTH_DESTINATION:
        return check_destination(restrictions, scratch, restrictions->relay_code, subject, verdict);
    case RULE_DEFER_UNAUTH_DESTINATION:
        return check_destination(restrictions, scratch, restrictions->relay_code % 100 + 400,
                                 subject, verdict);
    }
    unreachable();
}

/* The end of a list permits. */
static bool list_permits(const struct restrictions *restrictions, const struct rule_list *list,
                         struct arena *scratch, const struct restriction_subject *subject,
                         struct verdict *verdict)
{
    for (size_t i = 0; i < list->count; i++) {
        switch (rule_check(restrictions, list->rules[i], scratch, subject, verdict)) {
        case RULE_PERMITTED:
            return true;
        case RULE_REFUSED:
            return false;
        case RULE_PASSED_ON:
            break;
        }
    }
    return true;
}

/* ---- making them ---- */

/* clang-format off */
static const struct rule_name rule_names[] = {
    /* name                          rule                            final  guard */
    { "permit",                      RULE_PERMIT,                    true,  false },
    { "reject",                      RULE_REJECT,                    true,  true },
    { "defer",                       RULE_DEFER,                     true,  true },
    { "permit_mynetworks",           RULE_PERMIT_MYNETWORKS,         false, false },
    { "permit_inet_interfaces",      RULE_PERMIT_INET_INTERFACES,    false, false },
    { "permit_sasl_authenticated",   RULE_PERMIT_SASL_AUTHENTICATED, false, false },
    { "permit_auth_destination",     RULE_PERMIT_AUTH_DESTINATION,   false, false },
    { "reject_unauth_destination",   RULE_REJECT_UNAUTH_DESTINATION, false, true },
    { "defer_unauth_destination",    RULE_DEFER_UNAUTH_DESTINATION,  false, true },
};

/* Postfix has these; they come later. */
static const char *const later_names[] = {
    "check_ccert_access", "check_client_a_access", "check_client_access", "check_client_mx_access",
    "check_client_ns_access", "check_etrn_access", "check_helo_a_access", "check_helo_access",
    "check_helo_mx_access", "check_helo_ns_access", "check_policy_service",
    "check_recipient_a_access", "check_recipient_access", "check_recipient_maps",
    "check_recipient_mx_access", "check_recipient_ns_access", "check_relay_domains",
    "check_reverse_client_hostname_a_access", "check_reverse_client_hostname_access",
    "check_reverse_client_hostname_mx_access", "check_reverse_client_hostname_ns_access",
    "check_sasl_access", "check_sender_a_access", "check_sender_access", "check_sender_mx_access",
    "check_sender_ns_access", "defer_if_permit", "defer_if_reject", "permit_dnswl_client",
    "permit_mx_backup", "permit_naked_ip_address", "permit_rhswl_client",
    "permit_tls_all_clientcerts", "permit_tls_clientcerts",
    "reject_authenticated_sender_login_mismatch", "reject_invalid_helo_hostname",
    "reject_invalid_hostname", "reject_known_sender_login_mismatch", "reject_maps_rbl",
    "reject_multi_recipient_bounce", "reject_non_fqdn_helo_hostname", "reject_non_fqdn_hostname",
    "reject_non_fqdn_recipient", "reject_non_fqdn_sender", "reject_plaintext_session",
    "reject_rbl", "reject_rbl_client", "reject_rhsbl_client", "reject_rhsbl_helo",
    "reject_rhsbl_recipient", "reject_rhsbl_reverse_client", "reject_rhsbl_sender",
    "reject_sender_login_mismatch", "reject_unauth_pipelining",
    "reject_unauthenticated_sender_login_mismatch", "reject_unknown_address",
    "reject_unknown_client", "reject_unknown_client_hostname",
    "reject_unknown_forward_client_hostname", "reject_unknown_helo_hostname",
    "reject_unknown_hostname", "reject_unknown_recipient_domain",
    "reject_unknown_reverse_client_hostname", "reject_unknown_sender_domain",
    "reject_unlisted_recipient", "reject_unlisted_sender", "reject_unverified_recipient",
    "reject_unverified_sender", "sleep", "warn_if_reject",
};
/* clang-format on */

static const struct rule_name *rule_find(struct str name)
{
    for (size_t i = 0; i < sizeof(rule_names) / sizeof(rule_names[0]); i++) {
        if (str_equal_fold(name, str_from(rule_names[i].name)))
            return &rule_names[i];
    }
    return NULL;
}

static bool refuse_name(const char *parameter, struct str name, struct error *error)
{
    for (size_t i = 0; i < sizeof(later_names) / sizeof(later_names[0]); i++) {
        if (str_equal_fold(name, str_from(later_names[i])))
            return error_set(error,
                             "parameter %s: \"%.*s\" is not built yet; take it out of the list to "
                             "start without it",
                             parameter, STR_ARGS(name));
    }
    if (str_find_byte(name, ':') > 0)
        return error_set(error,
                         "parameter %s: access tables (\"%.*s\") are not built yet; take it out of "
                         "the list to start without it",
                         parameter, STR_ARGS(name));
    return error_set(error, "parameter %s: unknown smtpd restriction: \"%.*s\"", parameter,
                     STR_ARGS(name));
}

struct list_source {
    const char *parameter;
    struct str text;
};

static bool list_parse(struct restrictions *restrictions, const struct list_source *source,
                       const struct restrictions_options *options, struct rule_list *list,
                       struct error *error)
{
    struct str rest = source->text;
    struct str word;
    const struct rule_name *last = NULL; /* a final one, once there was one */

    /* A rule has at least one byte and a separator. */
    list->rules = arena_new_array(&restrictions->arena, rest.len / 2 + 1, sizeof(*list->rules));
    while (str_next_word(&rest, ", \t\r\n", &word)) {
        const struct rule_name *name = rule_find(word);
        if (name == NULL)
            return refuse_name(source->parameter, word, error);
        if (last != NULL) {
            if (options->warning != NULL)
                options->warning(options->argument,
                                 arena_printf(&restrictions->arena,
                                              "%s: restriction \"%s\" after \"%s\" is ignored",
                                              source->parameter, name->name, last->name));
            continue;
        }
        list->rules[list->count++] = name->rule;
        list->has_guard |= name->is_guard;
        if (name->is_final)
            last = name;
    }
    return true;
}

/* Lists that are not built: to ignore one would let mail in that its author wanted out. */
static bool others_are_empty(const struct config *config, struct error *error)
{
    const struct list_source others[] = {
        { "smtpd_client_restrictions", config->smtpd_client_restrictions },
        { "smtpd_helo_restrictions", config->smtpd_helo_restrictions },
        { "smtpd_sender_restrictions", config->smtpd_sender_restrictions },
        { "smtpd_data_restrictions", config->smtpd_data_restrictions },
        { "smtpd_end_of_data_restrictions", config->smtpd_end_of_data_restrictions },
        { "smtpd_etrn_restrictions", config->smtpd_etrn_restrictions },
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (!str_is_empty(str_trim(others[i].text)))
            return error_set(error,
                             "parameter %s is not built yet; set it empty to start without "
                             "it",
                             others[i].parameter);
    }
    return true;
}

static bool mynetworks_open(struct restrictions *restrictions,
                            const struct restrictions_options *options, struct error *error)
{
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
    return true;
}

static bool set_code(const char *parameter, int value, unsigned *code, struct error *error)
{
    if (value < 400 || value > 599)
        return error_set(error, "parameter %s: %d is no code that refuses; use 400 to 599",
                         parameter, value);
    *code = (unsigned)value;
    return true;
}

static bool set_codes(struct restrictions *restrictions, const struct config *config,
                      struct error *error)
{
    return set_code("reject_code", config->reject_code, &restrictions->reject_code, error) &&
           set_code("defer_code", config->defer_code, &restrictions->defer_code, error) &&
           set_code("relay_domains_reject_code", config->relay_domains_reject_code,
                    &restrictions->relay_code, error);
}

static bool restrictions_fill(struct restrictions *restrictions,
                              const struct restrictions_options *options, struct error *error)
{
    const struct config *config = options->config;
    const struct list_source relay = { "smtpd_relay_restrictions",
                                       config->smtpd_relay_restrictions };
    const struct list_source recipient = { "smtpd_recipient_restrictions",
                                           config->smtpd_recipient_restrictions };

    restrictions->own = options->own;
    restrictions->destinations = options->destinations;
    restrictions->is_relay_first = config->smtpd_relay_before_recipient_restrictions;
    if (!set_codes(restrictions, config, error) || !mynetworks_open(restrictions, options, error) ||
        !others_are_empty(config, error) ||
        !list_parse(restrictions, &relay, options, &restrictions->relay, error) ||
        !list_parse(restrictions, &recipient, options, &restrictions->recipient, error))
        return false;
    if (!restrictions->relay.has_guard && !restrictions->recipient.has_guard)
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
    struct restrictions *restrictions = memory_new(sizeof(*restrictions));

    if (!restrictions_fill(restrictions, options, error))
        restrictions_free(&restrictions);
    return restrictions;
}

void restrictions_free(struct restrictions **restrictions)
{
    if (*restrictions == NULL)
        return;
    match_list_free(&(*restrictions)->mynetworks);
    arena_clear(&(*restrictions)->arena);
    memory_free(*restrictions);
    *restrictions = NULL;
}

/* ---- use ---- */

struct verdict restrictions_check_recipient(const struct restrictions *restrictions,
                                            struct arena *scratch,
                                            const struct restriction_subject *subject)
{
    const struct rule_list *first =
        restrictions->is_relay_first ? &restrictions->relay : &restrictions->recipient;
    const struct rule_list *second =
        restrictions->is_relay_first ? &restrictions->recipient : &restrictions->relay;
    struct verdict verdict = { 0 };

    if (list_permits(restrictions, first, scratch, subject, &verdict) &&
        list_permits(restrictions, second, scratch, subject, &verdict))
        verdict.is_accepted = true;
    return verdict;
}

bool restrictions_client_is_trusted(const struct restrictions *restrictions, struct str name,
                                    struct str address)
{
    struct error error;

    return match_list_find_client(restrictions->mynetworks, name, address, &error) == MATCH_FOUND;
}
