/* SPDX-License-Identifier: Apache-2.0 */
#include "target.h"

#include "base/ensure.h"
#include "mail/dns_filter.h"

#include <stdlib.h>
#include <sys/random.h>

enum { TARGETS_MAX = 100, SMTP_PORT = 25 };

static bool fail(const struct failure **slot, const struct failure *failure)
{
    *slot = failure;
    return false;
}

static const struct failure *lookup_failure(const struct target_search *search, struct str name,
                                            enum dns_type type, const struct dns_answer *answer)
{
    const char *dsn = answer->outcome == DNS_TRY_AGAIN ? "4.4.3" : "5.4.4";

    if (answer->outcome == DNS_FILTERED)
        return failure_new(search->arena, "4.7.0", "Error looking up name=%.*s type=%s: %.*s",
                           STR_ARGS(name), dns_type_name(type), STR_ARGS(answer->reason));
    return failure_new(search->arena, dsn,
                       "Host or domain name not found. Name service error for name=%.*s type=%s: "
                       "%.*s",
                       STR_ARGS(name), dns_type_name(type), STR_ARGS(answer->reason));
}

static void add_target(struct target_list *targets, const struct target *target)
{
    if (targets->count < TARGETS_MAX)
        targets->items[targets->count++] = *target;
}

/* The question to the resolver, and what smtp_dns_reply_filter leaves of its answer. */
static void ask_once(const struct target_search *search, enum dns_type type, struct str name,
                     struct dns_answer *answer)
{
    int64_t deadline_ms = loop_now_ms(search->loop) + TARGET_LOOKUP_MS;

    (search->transport->wants_dnssec ? dns_query_validated : dns_query)(
        search->dns, search->arena, type, name, deadline_ms, answer);
    dns_filter_answer(search->transport->tables.dns_filter, &search->transport->log, search->arena,
                      type, name, answer);
}

/* The same with the domains that smtp_dns_resolver_options wants names completed with. None found:
 * what is said of the name itself counts, but a failure to find out outweighs every "no". */
static void ask(const struct target_search *search, enum dns_type type, struct str name,
                struct dns_answer *answer)
{
    struct search_names names;
    struct dns_answer kept = { .outcome = DNS_NO_NAME };

    name_search_list(search->arena, search->domains, search->transport->name_search, name, &names);
    for (size_t i = 0; i < names.count; i++) {
        ask_once(search, type, names.items[i], answer);
        if (answer->outcome == DNS_FOUND)
            return;
        if (answer->outcome == DNS_TRY_AGAIN || (i == names.as_is && kept.outcome != DNS_TRY_AGAIN))
            kept = *answer;
    }
    *answer = kept;
}

struct host_question {
    struct str host;
    uint16_t port;
    uint16_t preference;
    const struct exchanger_source *source;
};

/* What a signed zone has no address for may stand in /etc/hosts: smtp_host_lookup = dns, native. */
static void ask_host(const struct target_search *search, enum dns_type type, struct str host,
                     struct dns_answer *answer)
{
    ask(search, type, host, answer);
    if (search->transport->wants_dnssec && search->transport->uses_native_hosts &&
        (answer->outcome == DNS_NO_NAME || answer->outcome == DNS_NO_DATA))
        dns_query(search->dns, search->arena, type, host,
                  loop_now_ms(search->loop) + TARGET_LOOKUP_MS, answer);
}

/* One address family of one host. A failure to find out outweighs a definite "no". */
static void add_family(const struct target_search *search, const struct host_question *question,
                       enum dns_type type, struct target_list *targets,
                       const struct failure **failure)
{
    struct dns_answer answer;
    struct target target = { .preference = question->preference,
                             .asked = question->host,
                             .source = question->source };

    ask_host(search, type, question->host, &answer);
    if (answer.outcome != DNS_FOUND) {
        if (*failure == NULL || !failure_is_soft(*failure))
            *failure = lookup_failure(search, question->host, type, &answer);
        return;
    }
    bool is_renamed =
        search->transport->config->smtp_cname_overrides_servername && answer.canonical_name.len > 0;
    target.host = is_renamed ? answer.canonical_name : question->host;
    target.is_secure = answer.is_secure;
    if (!str_equal_fold(answer.canonical_name, question->host))
        target.alias = answer.canonical_name;
    for (size_t i = 0; i < answer.record_count; i++) {
        if (dns_record_address(&answer.records[i], question->port, &target.address))
            add_target(targets, &target);
    }
}

/* The addresses of one host. `*failure` is set where a look-up failed, also when another found. */
static void add_host(const struct target_search *search, const struct host_question *question,
                     struct target_list *targets, const struct failure **failure)
{
    struct target literal = { .host = question->host,
                              .preference = question->preference,
                              .source = question->source };

    if (net_address_parse(question->host, question->port, &literal.address)) {
        add_target(targets, &literal);
        return;
    }
    if (search->transport->uses_ipv4)
        add_family(search, question, DNS_A, targets, failure);
    if (search->transport->uses_ipv6)
        add_family(search, question, DNS_AAAA, targets, failure);
}

static uint32_t random_number(void)
{
    uint32_t number = 0;

    (void)!getrandom(&number, sizeof number, 0);
    return number;
}

static void swap(struct target *a, struct target *b)
{
    struct target kept = *a;

    *a = *b;
    *b = kept;
}

static int family_rank(const struct transport *transport, const struct target *target)
{
    int family = target->address.any.sa_family;

    if ((transport->prefers_ipv4 && family == AF_INET6) ||
        (transport->prefers_ipv6 && family == AF_INET))
        return 1;
    return 0;
}

static bool comes_before(const struct transport *transport, const struct target *a,
                         const struct target *b)
{
    if (a->preference != b->preference)
        return a->preference < b->preference;
    return family_rank(transport, a) < family_rank(transport, b);
}

/* Shuffles (Fisher and Yates), then sorts stably, so equal ones stay shuffled. */
static void order_targets(const struct transport *transport, struct target_list *targets)
{
    if (transport->config->smtp_randomize_addresses) {
        for (size_t i = targets->count; i > 1; i--)
            swap(&targets->items[i - 1], &targets->items[random_number() % i]);
    }
    for (size_t i = 1; i < targets->count; i++) {
        for (size_t j = i; j > 0; j--) {
            if (!comes_before(transport, &targets->items[j], &targets->items[j - 1]))
                break;
            swap(&targets->items[j], &targets->items[j - 1]);
        }
    }
}

/* With more addresses than will be tried, one family (often an unreachable IPv6) must not use up
 * all attempts: the first of the other one takes the last place among those that are tried. */
static void balance_families(const struct transport *transport, struct target_list *targets)
{
    size_t limit = (size_t)transport->config->smtp_mx_address_limit;

    if (!transport->config->smtp_balance_inet_protocols || limit < 2 || targets->count <= limit)
        return;
    for (size_t i = 1; i < limit; i++) {
        if (targets->items[i].address.any.sa_family != targets->items[0].address.any.sa_family)
            return;
    }
    for (size_t i = limit; i < targets->count; i++) {
        if (targets->items[i].address.any.sa_family == targets->items[0].address.any.sa_family)
            continue;
        struct target other = targets->items[i];
        memmove(&targets->items[limit], &targets->items[limit - 1], (i - limit + 1) * sizeof other);
        targets->items[limit - 1] = other;
        return;
    }
}

static bool is_own(const struct target_search *search, const struct target *target)
{
    return own_host_has_address(search->own, &target->address) ||
           own_host_has_name(search->own, target->host);
}

/* Drops this relay and everything that is not preferred to it. Only on the port where this relay
 * itself takes mail: another program may well listen on another one. */
static void drop_own(const struct target_search *search, uint16_t port, struct target_list *targets)
{
    if (port != SMTP_PORT)
        return;
    for (size_t i = 0; i < targets->count; i++) {
        if (!is_own(search, &targets->items[i]))
            continue;
        uint16_t preference = targets->items[i].preference;
        while (targets->count > 0 && targets->items[targets->count - 1].preference >= preference)
            targets->count--;
        return;
    }
}

static bool find_host(const struct target_search *search, const struct nexthop *nexthop,
                      struct target_list *targets, const struct failure **failure)
{
    struct host_question question = { .host = nexthop->host, .port = nexthop->port };

    if (nexthop->is_address) {
        struct target literal = { .host = nexthop->host, .address = nexthop->address };
        add_target(targets, &literal);
    } else {
        const struct failure *lookup = NULL;
        add_host(search, &question, targets, &lookup);
        if (targets->count == 0)
            return fail(failure, lookup != NULL
                                     ? lookup
                                     : failure_new(search->arena, "4.3.5",
                                                   "inet_protocols allows no address family"));
    }
    order_targets(search->transport, targets);
    drop_own(search, nexthop->port, targets);
    if (targets->count == 0)
        return fail(failure,
                    failure_new(search->arena, "5.4.6", "mail for %.*s loops back to myself",
                                STR_ARGS(nexthop->host)));
    balance_families(search->transport, targets);
    return true;
}

static bool is_null_mx(const struct dns_answer *answer)
{
    return answer->record_count == 1 && answer->records[0].name.len == 0;
}

static uint16_t best_preference(const struct dns_answer *answer)
{
    uint16_t best = UINT16_MAX;

    for (size_t i = 0; i < answer->record_count; i++) {
        if (answer->records[i].preference < best)
            best = answer->records[i].preference;
    }
    return best;
}

static int compare_preference(const void *a, const void *b)
{
    const struct dns_record *first = a, *second = b;

    return (int)first->preference - (int)second->preference;
}

/* Asks for hosts from the best preference on until there are enough addresses: a list of hundreds
 * of hosts costs no more than a handful. Ties at the cut are still all asked, so that the choice
 * among equals stays fair, up to TARGET_HOSTS_MAX. */
static void add_mx_hosts(const struct target_search *search, const struct nexthop *nexthop,
                         struct dns_answer *answer, struct target_list *targets,
                         const struct failure **failure)
{
    size_t limit = (size_t)search->transport->config->smtp_mx_address_limit;
    size_t hosts = 0;
    struct exchanger_source *source = arena_new(search->arena, sizeof *source);

    source->domain = nexthop->host;
    source->is_secure = answer->is_secure;
    if (!str_equal_fold(answer->canonical_name, nexthop->host))
        source->alias = answer->canonical_name;
    qsort(answer->records, answer->record_count, sizeof answer->records[0], compare_preference);
    for (size_t i = 0; i < answer->record_count && hosts < TARGET_HOSTS_MAX; i++) {
        const struct dns_record *record = &answer->records[i];
        struct host_question question = { record->name, nexthop->port, record->preference, source };
        bool is_enough = limit > 0 && targets->count >= limit &&
                         targets->items[targets->count - 1].preference < record->preference;
        if (is_enough)
            return;
        if (record->name.len == 0)
            continue;
        add_host(search, &question, targets, failure);
        hosts++;
    }
}

static bool find_exchangers(const struct target_search *search, const struct nexthop *nexthop,
                            struct dns_answer *answer, struct target_list *targets,
                            const struct failure **failure)
{
    const struct failure *lookup = NULL;
    uint16_t best = best_preference(answer);

    if (is_null_mx(answer))
        return fail(failure,
                    failure_new(search->arena, "5.1.0", "Domain %.*s does not accept mail (nullMX)",
                                STR_ARGS(nexthop->host)));
    add_mx_hosts(search, nexthop, answer, targets, &lookup);
    if (targets->count == 0) {
        log_warning(&search->transport->log, "no MX host for %.*s has a valid address record",
                    STR_ARGS(nexthop->host));
        if (lookup == NULL)
            lookup = failure_new(search->arena, "4.4.4", "unable to find primary relay for %.*s",
                                 STR_ARGS(nexthop->host));
        if (search->transport->config->smtp_defer_if_no_mx_address_found &&
            !failure_is_soft(lookup))
            lookup = failure_new(search->arena, "4.4.4", "%.*s", STR_ARGS(lookup->text));
        return fail(failure, lookup);
    }
    order_targets(search->transport, targets);
    uint16_t best_found = targets->items[0].preference;
    drop_own(search, nexthop->port, targets);
    if (targets->count == 0)
        return fail(failure,
                    best == best_found
                        ? failure_new(search->arena, "5.4.6", "mail for %.*s loops back to myself",
                                      STR_ARGS(nexthop->host))
                        : failure_new(search->arena, "4.4.4",
                                      "unable to find primary relay for %.*s",
                                      STR_ARGS(nexthop->host)));
    balance_families(search->transport, targets);
    return true;
}

bool target_find(const struct target_search *search, const struct nexthop *nexthop,
                 struct target_list *targets, const struct failure **failure)
{
    const struct config *config = search->transport->config;
    struct dns_answer answer;

    targets->items = arena_new_array(search->arena, TARGETS_MAX, sizeof(struct target));
    targets->count = 0;
    if (nexthop->path.len > 0) {
        targets->items[targets->count++] =
            (struct target){ .host = config->myhostname, .path = nexthop->path };
        return true;
    }
    if (nexthop->is_bracketed || nexthop->is_address || !search->transport->uses_dns)
        return find_host(search, nexthop, targets, failure);
    ask(search, DNS_MX, nexthop->host, &answer);
    switch (answer.outcome) {
    case DNS_FOUND:
        return find_exchangers(search, nexthop, &answer, targets, failure);
    case DNS_NO_NAME:
    case DNS_NO_DATA:
        return find_host(search, nexthop, targets, failure);
    case DNS_TRY_AGAIN:
    case DNS_BAD_NAME:
    case DNS_FILTERED:
        if (config->ignore_mx_lookup_error)
            return find_host(search, nexthop, targets, failure);
        return fail(failure, lookup_failure(search, nexthop->host, DNS_MX, &answer));
    }
    unreachable();
}
