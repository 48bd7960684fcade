/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_policy.h"

#include "base/memory.h"
#include "dane_policy.h"
#include "delivery.h"
#include "mail/header.h"
#include "named_trust.h"
#include "service/keys.h"
#include "table/table_list.h"

struct tls_rules {
    const struct config *config;
    const struct log_context *log;
    const char *prefix; /* "smtp" or "lmtp", for messages */
    enum tls_level level;
    struct table_list *maps, *per_site;
    struct keys_client *keys;    /* the worker's */
    struct tls_context *context; /* NULL: not wanted, or it does not work */
    unsigned log_bits;
    struct dane_rules dane;
    struct trust_files anchors; /* smtp_tls_trust_anchor_file */
    bool has_anchors;           /* they alone count: what cannot be read trusts nobody */
    struct named_trust named;   /* what policies name in their place: tafile= */
    struct arena arena;
};

/* ---- what the configuration says ---- */

static void warn(void *argument, const char *text)
{
    const struct tls_rules *rules = argument;

    log_warning(rules->log, "%s", text);
}

static void unknown_log_word(void *argument, struct str word)
{
    const struct tls_rules *rules = argument;

    log_warning(rules->log, "unknown %s_tls_loglevel value \"%.*s\" in \"%.*s\"", rules->prefix,
                STR_ARGS(word), STR_ARGS(rules->config->smtp_tls_loglevel));
}

static bool set_level(struct tls_rules *rules, struct error *error)
{
    const struct config *config = rules->config;

    if (config->smtp_tls_security_level.len > 0)
        return tls_level_parse(config->smtp_tls_security_level, &rules->level) ||
               error_set(error, "Invalid TLS level \"%.*s\"",
                         STR_ARGS(config->smtp_tls_security_level));
    if (config->smtp_enforce_tls)
        rules->level = config->smtp_tls_enforce_peername ? TLS_LEVEL_VERIFY : TLS_LEVEL_ENCRYPT;
    else
        rules->level = config->smtp_use_tls ? TLS_LEVEL_MAY : TLS_LEVEL_NONE;
    return true;
}

static void read_anchors(struct tls_rules *rules)
{
    struct str files = rules->config->smtp_tls_trust_anchor_file;
    struct error error;

    rules->has_anchors = str_trim(files).len > 0;
    if (trust_files_read(&rules->arena, files, &rules->anchors, &error))
        return;
    log_warning(rules->log, "%s", error.message);
    rules->anchors.count = 0;
}

static struct str service_name(const struct config *config)
{
    return config->service != NULL ? config->service->name : STR("smtp");
}

static void make_context(struct tls_rules *rules)
{
    const struct config *config = rules->config;
    struct tls_context_options options = {
        .files = tls_files_of_client(config),
        .key_owner = service_name(config),
        .holder = keys_client_holder(rules->keys),
        .protocols = { .allowed = (1u << TLS_PROTOCOLS) - 1 },
        .curves = str_from(arena_printf(&rules->arena, "%.*s %.*s",
                                        STR_ARGS(config->tls_eecdh_auto_curves),
                                        STR_ARGS(config->tls_ffdhe_auto_groups))),
        .fingerprint_digest = config->smtp_tls_fingerprint_digest,
        .verify_depth = config->smtp_tls_scert_verifydepth,
        .warning = { .say = warn, .argument = rules },
    };

    rules->context = tls_context_new(&options);
}

struct tls_rules *tls_rules_new(const struct tls_rules_options *own, struct error *error)
{
    const struct config *config = own->config;
    const struct log_context *log = own->log;
    struct tls_rules *rules = memory_new(sizeof *rules);
    struct table_options options = { .warning = warn, .argument = rules };

    rules->config = config;
    rules->log = log;
    rules->keys = own->keys;
    rules->prefix = own->is_lmtp ? "lmtp" : "smtp";
    if (!set_level(rules, error) || !dane_rules_init(config, log, &rules->dane, error)) {
        tls_rules_free(&rules);
        return NULL;
    }
    const char *maps = arena_printf(&rules->arena, "%s_tls_policy_maps", rules->prefix);
    const char *per_site = arena_printf(&rules->arena, "%s_tls_per_site", rules->prefix);
    rules->maps = table_list_new(str_from(maps), config->smtp_tls_policy_maps, &options, NULL);
    rules->per_site = table_list_new(str_from(per_site), config->smtp_tls_per_site, &options, NULL);
    rules->log_bits = tls_log_parse(config->smtp_tls_loglevel, unknown_log_word, rules);
    if (rules->level > TLS_LEVEL_NONE || config->smtp_tls_wrappermode ||
        !table_list_is_empty(rules->maps) || !table_list_is_empty(rules->per_site))
        make_context(rules);
    read_anchors(rules);
    named_trust_init(&rules->named, &rules->arena, rules->log);
    named_trust_read(&rules->named, config->smtp_tls_policy_maps);
    return rules;
}

void tls_rules_free(struct tls_rules **rules)
{
    if (*rules == NULL)
        return;
    table_list_free(&(*rules)->maps);
    table_list_free(&(*rules)->per_site);
    tls_context_free(&(*rules)->context);
    named_trust_clear(&(*rules)->named);
    arena_clear(&(*rules)->arena);
    memory_free(*rules);
    *rules = NULL;
}

bool tls_policy_can_start(const struct tls_rules *rules, const struct tls_policy *policy)
{
    return policy->context != NULL &&
           keys_client_has(rules->keys, service_name(rules->config), policy->context);
}

bool tls_policy_is_waived(const struct tls_rules *rules, struct str content)
{
    struct str headers = header_block(content);

    if (!rules->config->tls_required_enable)
        return false;
    while (headers.len > 0) {
        struct str line = str_cut(&headers, "\n");
        if (str_starts_with_fold(line, STR("TLS-Required:")))
            return str_equal_fold(str_trim(str_skip(line, 13)), STR("no"));
    }
    return false;
}

/* ---- what it says of a destination ---- */

struct search {
    const struct tls_rules *rules;
    struct delivery *delivery;
    struct arena *arena; /* the delivery's */
    const struct tls_site *site;
    struct tls_entry entry;
    const char *problem; /* for the sender, where nothing may be sent */
};

static bool refuse(const struct search *search, const char *what)
{
    log_warning(search->rules->log, "%s_tls_policy_maps, next-hop destination \"%.*s\": %s",
                search->rules->prefix, STR_ARGS(search->site->destination), what);
    return false;
}

static enum lookup_outcome look_up(const struct search *search, struct str key, struct str *value)
{
    struct error error;
    enum lookup_outcome outcome =
        table_list_find(search->rules->maps, key, KEY_WHOLE, search->arena, value, &error);

    if (outcome == LOOKUP_FAILED)
        log_warning(search->rules->log, "%s_tls_policy_maps lookup error for \"%.*s\": %s",
                    search->rules->prefix, STR_ARGS(key), error.message);
    return outcome;
}

static bool is_domain(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && strchr("-_.", text.ptr[i]) == NULL)
            return false;
    return text.len > 0;
}

/* "a.example.com", ".example.com", ".com"; what has brackets or a port is one destination only. */
static enum lookup_outcome find_value(const struct search *search, struct str *value)
{
    struct str key = search->site->destination;
    enum lookup_outcome outcome = look_up(search, key, value);

    if (!is_domain(key))
        return outcome;
    while (outcome == LOOKUP_ABSENT) {
        ptrdiff_t dot = str_find_byte(str_skip(key, 1), '.');
        if (dot < 0)
            break;
        key = str_skip(key, (size_t)dot + 1);
        outcome = look_up(search, key, value);
    }
    return outcome;
}

static bool use_maps(struct search *search)
{
    struct str value;
    struct error error;

    switch (find_value(search, &value)) {
    case LOOKUP_ABSENT:
        return true;
    case LOOKUP_FAILED:
        return refuse(search, "policy table lookup error");
    case LOOKUP_FOUND:
        break;
    }
    if (!tls_entry_parse(value, &search->entry, &error))
        return refuse(search, error.message);
    if (search->entry.ignored.len > 0)
        (void)refuse(search,
                     arena_printf(search->arena, "ignoring attribute \"%.*s\" with TLS disabled",
                                  STR_ARGS(search->entry.ignored)));
    return true;
}

/* smtp_tls_per_site: the stronger of what stands for the destination and for the host, but "NONE"
 * beats "MAY". */
static bool use_per_site(struct search *search)
{
    const struct str keys[] = { search->site->destination, search->site->host };
    bool is_found = false;
    struct error error;
    struct str value;

    for (size_t i = 0; i < 2; i++) {
        enum lookup_outcome outcome = table_list_find(search->rules->per_site, keys[i], KEY_WHOLE,
                                                      search->arena, &value, &error);
        if (outcome == LOOKUP_FAILED)
            return refuse(search, error.message);
        if (outcome == LOOKUP_ABSENT)
            continue;
        enum tls_level *level = &search->entry.level;
        enum tls_level before = is_found ? *level : TLS_LEVEL_NONE;
        value = str_trim(value);
        if (str_equal_fold(value, STR("NONE")))
            *level = before > TLS_LEVEL_MAY ? before : TLS_LEVEL_NONE;
        else if (str_equal_fold(value, STR("MAY")))
            *level = is_found ? before : TLS_LEVEL_MAY;
        else if (str_equal_fold(value, STR("MUST_NOPEERMATCH")))
            *level = before > TLS_LEVEL_ENCRYPT ? before : TLS_LEVEL_ENCRYPT;
        else if (str_equal_fold(value, STR("MUST")))
            *level = TLS_LEVEL_VERIFY;
        else
            return refuse(search, "unknown TLS policy");
        is_found = true;
    }
    return true;
}

/* ---- what follows ---- */

static struct str resolve_name(const struct search *search, struct str word)
{
    const struct tls_site *site = search->site;

    if (str_equal_fold(word, STR("nexthop")))
        return site->domain;
    if (str_equal_fold(word, STR("hostname")))
        return site->host;
    if (str_equal_fold(word, STR("dot-nexthop")))
        return str_from(arena_printf(search->arena, ".%.*s", STR_ARGS(site->domain)));
    return word;
}

/* The policy's own trust anchors. */
static bool use_named_trust(const struct search *search, struct tls_policy *policy)
{
    const struct tls_matches *paths = &search->entry.trust_files;
    const struct trust_files *files[TLS_MATCHES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < paths->count; i++) {
        files[i] = named_trust_find(&search->rules->named, paths->items[i]);
        if (files[i] == NULL) {
            log_warning(search->rules->log, "trust anchor file %.*s was not read at the start",
                        STR_ARGS(paths->items[i]));
            return false;
        }
        count += files[i]->count;
    }
    struct tls_tlsa *anchors = arena_new_array(search->arena, count, sizeof *anchors);
    policy->options.tlsa = anchors;
    policy->options.tlsa_count = count;
    for (size_t i = 0; i < paths->count; i++) {
        memcpy(anchors, files[i]->anchors, files[i]->count * sizeof *anchors);
        anchors += files[i]->count;
    }
    return true;
}

/* Whom the certificate must name, or what it must be. */
static bool set_matches(struct search *search, struct tls_policy *policy)
{
    const struct config *config = search->rules->config;
    struct tls_matches *matches = &search->entry.matches;
    bool by_fingerprint = policy->level == TLS_LEVEL_FINGERPRINT;
    struct str defaults = by_fingerprint ? config->smtp_tls_fingerprint_cert_match
                          : policy->level == TLS_LEVEL_VERIFY ? config->smtp_tls_verify_cert_match
                                                              : config->smtp_tls_secure_cert_match;

    /* What an MTA-STS policy says of hosts is also what their certificates must name. */
    if (search->entry.mx_patterns.count > 0 && !by_fingerprint) {
        matches->items[0] = STR("hostname");
        matches->count = 1;
    }
    if (matches->count == 0 &&
        !tls_matches_add(matches, defaults, by_fingerprint ? ", \t\r\n" : ":, \t\r\n"))
        return refuse(search, "too many names or fingerprints to match");
    if (matches->count == 0) {
        log_warning(
            search->rules->log,
            "nexthop domain %.*s: configured at %s security level, but with no %s to match.",
            STR_ARGS(search->site->destination), tls_level_name(policy->level),
            by_fingerprint ? "fingerprints" : "names");
        return false;
    }
    struct str *items = arena_new_array(search->arena, matches->count, sizeof *items);
    for (size_t i = 0; i < matches->count; i++)
        items[i] = by_fingerprint ? matches->items[i] : resolve_name(search, matches->items[i]);
    policy->options.check = by_fingerprint ? TLS_CHECK_FINGERPRINTS : TLS_CHECK_NAMES;
    policy->options.names = by_fingerprint ? NULL : items;
    policy->options.name_count = by_fingerprint ? 0 : matches->count;
    policy->options.fingerprints = by_fingerprint ? items : NULL;
    policy->options.fingerprint_count = by_fingerprint ? matches->count : 0;
    policy->options.tlsa_base = items[0];
    if (search->entry.trust_files.count > 0)
        return use_named_trust(search, policy);
    if (by_fingerprint || !search->rules->has_anchors)
        return true;
    policy->options.tlsa = search->rules->anchors.anchors;
    policy->options.tlsa_count = search->rules->anchors.count;
    return policy->options.tlsa_count > 0;
}

static void set_agreement(struct search *search, struct tls_policy *policy)
{
    const struct config *config = search->rules->config;
    const struct tls_entry *entry = &search->entry;
    bool is_mandatory = policy->level > TLS_LEVEL_MAY;
    struct str protocols = entry->protocols.len > 0 ? entry->protocols
                           : is_mandatory           ? config->smtp_tls_mandatory_protocols
                                                    : config->smtp_tls_protocols;
    struct str grade = entry->ciphers.len > 0 ? entry->ciphers
                       : is_mandatory         ? config->smtp_tls_mandatory_ciphers
                                              : config->smtp_tls_ciphers;
    const struct str exclusions[] = {
        entry->exclusions,
        config->smtp_tls_exclude_ciphers,
        is_mandatory ? config->smtp_tls_mandatory_exclude_ciphers : STR(""),
        is_mandatory ? STR("eNULL") : STR(""),
        policy->level > TLS_LEVEL_ENCRYPT ? STR("aNULL") : STR(""),
    };
    struct error error;

    if (!tls_protocols_parse(protocols, &policy->options.protocols))
        policy->problem = str_from(arena_printf(search->arena,
                                                "Invalid TLS protocol list \"%.*s\": aborting "
                                                "TLS session",
                                                STR_ARGS(protocols)));
    else if (!tls_ciphers_make(search->arena, config, grade, exclusions,
                               sizeof exclusions / sizeof exclusions[0],
                               &policy->options.cipher_list, &error))
        policy->problem = arena_copy(search->arena, str_from(error.message));
}

static bool matches_pattern(struct str host, struct str pattern)
{
    if (str_starts_with(pattern, STR("*.")))
        pattern = str_skip(pattern, 1);
    if (!str_starts_with(pattern, STR(".")))
        return str_equal_fold(host, pattern);
    ptrdiff_t dot = str_find_byte(host, '.');
    return dot > 0 && str_equal_fold(str_skip(host, (size_t)dot), pattern);
}

static bool is_host_allowed(const struct search *search)
{
    const struct tls_matches *patterns = &search->entry.mx_patterns;

    for (size_t i = 0; i < patterns->count; i++)
        if (matches_pattern(search->site->host, patterns->items[i]))
            return true;
    return patterns->count == 0 || !search->rules->config->smtp_tls_enforce_sts_mx_patterns;
}

static bool fill(struct search *search, struct tls_policy *policy)
{
    const struct config *config = search->rules->config;
    const struct tls_entry *entry = &search->entry;
    struct str servername =
        entry->servername.len > 0 ? entry->servername : config->smtp_tls_servername;

    policy->level = entry->level;
    policy->options.servername = resolve_name(search, servername);
    policy->says_untrusted =
        policy->level >= TLS_LEVEL_VERIFY || policy->level == TLS_LEVEL_FINGERPRINT;
    if ((policy->level == TLS_LEVEL_DANE || policy->level == TLS_LEVEL_DANE_ONLY) &&
        !dane_policy_apply(&search->rules->dane, search->delivery, search->site, policy,
                           &search->problem))
        return false;
    if (search->site->is_local && policy->level == TLS_LEVEL_MAY)
        policy->level = TLS_LEVEL_NONE;
    policy->is_wrapped = config->smtp_tls_wrappermode;
    if (policy->is_wrapped && policy->level < TLS_LEVEL_ENCRYPT)
        policy->level = TLS_LEVEL_ENCRYPT; /* never in clear to such a port */
    if (policy->level >= TLS_LEVEL_VERIFY || policy->level == TLS_LEVEL_FINGERPRINT) {
        if (!set_matches(search, policy))
            return false;
    }
    if (!policy->says_untrusted)
        policy->log_bits &= ~(unsigned)TLS_LOG_UNTRUSTED;
    set_agreement(search, policy);
    policy->may_reuse = entry->has_reuse ? entry->may_reuse : config->smtp_tls_connection_reuse;
    return true;
}

bool tls_policy_find(const struct tls_rules *rules, struct delivery *delivery,
                     const struct tls_site *site, struct tls_policy *policy,
                     const struct failure **failure)
{
    const struct config *config = rules->config;
    struct search search = { .rules = rules,
                             .delivery = delivery,
                             .arena = &delivery->job.arena,
                             .site = site,
                             .entry = { .level = rules->level },
                             .problem = "client TLS configuration problem" };
    bool is_fine = true;

    *policy = (struct tls_policy){
        .notes_offer = config->smtp_tls_note_starttls_offer,
        .log_bits = rules->log_bits,
        .context = rules->context,
        .keeps_sessions = config->smtp_tls_session_cache_database.len > 0,
        .session_lifetime_s = config->smtp_tls_session_cache_timeout,
    };
    policy->is_exception = tls_policy_is_waived(rules, delivery->job.content);
    if (policy->is_exception)
        search.entry.level = rules->level > TLS_LEVEL_MAY ? TLS_LEVEL_MAY : rules->level;
    else if (!table_list_is_empty(rules->maps))
        is_fine = use_maps(&search);
    else if (!table_list_is_empty(rules->per_site))
        is_fine = use_per_site(&search);
    if (is_fine && fill(&search, policy) && is_host_allowed(&search))
        return true;
    log_warning(rules->log, "TLS policy lookup for %.*s/%.*s: %s", STR_ARGS(site->destination),
                STR_ARGS(site->host), search.problem);
    *failure = failure_new(&delivery->job.arena, "4.7.5", "%s", search.problem);
    return false;
}
