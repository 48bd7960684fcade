/* SPDX-License-Identifier: Apache-2.0 */
#include "dane_policy.h"

#include "dane.h"
#include "session.h"

bool dane_rules_init(const struct config *config, const struct log_context *log,
                     struct dane_rules *rules, struct error *error)
{
    struct str policy = config->smtp_tls_dane_insecure_mx_policy;

    if (!tlsa_digests_parse(config->tls_dane_digests, &rules->digests))
        log_warning(log, "invalid tls_dane_digests \"%.*s\": no digest is used",
                    STR_ARGS(config->tls_dane_digests));
    if (tls_level_parse(policy, &rules->insecure_mx_level) &&
        (rules->insecure_mx_level == TLS_LEVEL_MAY ||
         rules->insecure_mx_level == TLS_LEVEL_ENCRYPT ||
         rules->insecure_mx_level == TLS_LEVEL_DANE))
        return true;
    return error_set(error, "invalid smtp_tls_dane_insecure_mx_policy: \"%.*s\"", STR_ARGS(policy));
}

struct search {
    const struct dane_rules *rules;
    struct delivery *delivery;
    const struct log_context *log;
    const struct tls_site *site;
    bool is_secure; /* the MX record, where there is one */
    struct tls_policy *policy;
    const char **problem;
};

/* DANE does not apply: what that means at its two levels. */
static bool do_without(const struct search *search, enum tls_level instead, const char *why)
{
    if (search->policy->level == TLS_LEVEL_DANE_ONLY) {
        *search->problem = why;
        return false;
    }
    search->policy->level = instead;
    return true;
}

/* What makes look-ups worthless for DANE, with the level's name in it; NULL: nothing. */
static const char *obstacle(const struct search *search)
{
    const struct transport *transport = search->delivery->transport;
    struct arena *arena = &search->delivery->job.arena;
    const char *level = tls_level_name(search->policy->level);

    if (!transport->wants_dnssec || !transport->uses_dns_hosts)
        return arena_printf(arena, "%s configured with dnssec lookups disabled", level);
    if (transport->config->ignore_mx_lookup_error)
        return arena_printf(arena, "%s configured with MX lookup errors ignored", level);
    if (transport->config->smtp_dns_resolver_options.len > 0)
        return arena_printf(arena, "dns resolver options incompatible with %s TLS", level);
    return NULL;
}

/* Says what is wrong with the records that are of no use, and keeps the others. */
static void keep_usable(const struct search *search, struct dane_records *records)
{
    bool is_only = search->policy->level == TLS_LEVEL_DANE_ONLY;
    autofree_buf struct buf peer = { 0 };
    size_t count = 0;

    target_format(search->site->target, &peer);
    for (size_t i = 0; i < records->count; i++) {
        autofree_buf struct buf text = { 0 };
        if (tlsa_is_usable(&records->items[i], &search->rules->digests)) {
            records->items[count++] = records->items[i];
            continue;
        }
        tlsa_format(&records->items[i], &text);
        log_warning(search->log, "%s: unusable TLSA RR: %s", buf_text(&peer), buf_text(&text));
    }
    records->count = tlsa_keep_best(records->items, count, &search->rules->digests);
    if (records->count == 0)
        log_warning(search->log, "%s: all TLSA records unusable%s", buf_text(&peer),
                    is_only ? "" : ", fallback to unauthenticated TLS");
}

/* Whom a trust anchor's certificate must name: RFC 7672, section 3.2.2. */
static void set_names(const struct search *search, const struct dane_records *records)
{
    const struct exchanger_source *source = search->site->target->source;
    struct tls_client_options *options = &search->policy->options;
    struct str *names = arena_new_array(&search->delivery->job.arena, 3, sizeof *names);

    options->name_count = 0;
    options->names = names;
    names[options->name_count++] = records->base;
    if (source != NULL)
        names[options->name_count++] = source->domain;
    if (source != NULL && source->alias.len > 0)
        names[options->name_count++] = source->alias;
}

static bool use_records(const struct search *search, struct dane_records *records)
{
    struct tls_policy *policy = search->policy;

    if (!search->is_secure && search->rules->insecure_mx_level == TLS_LEVEL_ENCRYPT)
        return do_without(search, TLS_LEVEL_ENCRYPT, "non DNSSEC destination");
    keep_usable(search, records);
    policy->options.servername = policy->options.tlsa_base = records->base;
    policy->says_untrusted = true;
    if (records->count == 0)
        return do_without(search, TLS_LEVEL_ENCRYPT, "TLSA records unusable");
    policy->is_half_dane = !search->is_secure;
    policy->options.check = TLS_CHECK_DANE;
    policy->options.tlsa = records->items;
    policy->options.tlsa_count = records->count;
    set_names(search, records);
    return true;
}

static bool apply(const struct search *search)
{
    const struct tls_site *site = search->site;
    struct dane_records records;

    if (!search->is_secure && (search->policy->level == TLS_LEVEL_DANE_ONLY ||
                               search->rules->insecure_mx_level == TLS_LEVEL_MAY))
        return do_without(search, TLS_LEVEL_MAY, "non DNSSEC destination");
    switch (dane_find(search->delivery, site->target, &records)) {
    case DANE_FOUND:
        return use_records(search, &records);
    case DANE_ABSENT:
        return do_without(search, TLS_LEVEL_MAY, "no TLSA records found");
    case DANE_UNUSABLE:
        return do_without(search, TLS_LEVEL_ENCRYPT, "TLSA records unusable");
    case DANE_FAILED:
        break;
    }
    *search->problem =
        arena_printf(&search->delivery->job.arena, "TLSA lookup error for %.*s:%u",
                     STR_ARGS(site->host), (unsigned)net_address_port(&site->target->address));
    return false;
}

bool dane_policy_apply(const struct dane_rules *rules, struct delivery *delivery,
                       const struct tls_site *site, struct tls_policy *policy, const char **problem)
{
    const struct exchanger_source *source = site->target->source;
    struct search search = { .rules = rules,
                             .delivery = delivery,
                             .log = &delivery->transport->log,
                             .site = site,
                             .is_secure = source == NULL || source->is_secure,
                             .policy = policy,
                             .problem = problem };
    const char *why_not = obstacle(&search);

    if (site->is_local) {
        log_warning(search.log,
                    "%.*s: the \"%s\" security level is invalid for delivery via unix-domain "
                    "sockets",
                    STR_ARGS(site->destination), tls_level_name(policy->level));
        return false;
    }
    if (why_not == NULL)
        return apply(&search);
    log_warning(search.log, "%.*s: %s", STR_ARGS(site->destination), why_not);
    return do_without(&search, TLS_LEVEL_MAY, *problem);
}
