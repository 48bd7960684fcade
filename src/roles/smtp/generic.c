/* SPDX-License-Identifier: Apache-2.0 */
#include "generic.h"

#include "base/memory.h"
#include "delivery.h"
#include "mail/address_map.h"
#include "mail/header.h"
#include "mail/local_domain.h"

struct generic {
    struct table_list *tables;
    struct local_domains *local;
    struct address_map_rules rules;
    bool propagates_extension;
};

static enum match_outcome is_local(const void *argument, struct str domain, struct error *error)
{
    return local_domains_find_origin(argument, domain, error);
}

static void warn(void *argument, const char *text)
{
    log_warning((const struct log_context *)argument, "%s", text);
}

struct generic *generic_new(const struct config *config, const struct log_context *log,
                            struct error *error)
{
    union {
        const void *constant;
        void *argument;
    } owner = { .constant = log };
    struct table_options options = { .warning = warn, .argument = owner.argument };
    struct match_list_options hearer = { .warning = warn, .argument = owner.argument };

    if (str_trim(config->smtp_generic_maps).len == 0)
        return NULL;
    struct generic *generic = memory_new(sizeof *generic);
    generic->tables =
        table_list_new(STR("smtp_generic_maps"), config->smtp_generic_maps, &options, NULL);
    generic->local = local_domains_new(config, NULL, &hearer, error);
    if (generic->local == NULL) {
        generic_free(&generic);
        return NULL;
    }
    generic->rules = (struct address_map_rules){
        .rewrite = rewrite_rules_from(config),
        .extensions = { config->recipient_delimiter, !config->owner_request_special },
        .is_local = is_local,
        .argument = generic->local,
    };
    generic->propagates_extension =
        str_list_has(config->propagate_unmatched_extensions, STR("generic"));
    return generic;
}

void generic_free(struct generic **generic)
{
    if (*generic == NULL)
        return;
    local_domains_free(&(*generic)->local);
    table_list_free(&(*generic)->tables);
    memory_free(*generic);
    *generic = NULL;
}

struct mapping {
    const struct generic *generic;
    struct arena *arena;
    struct error *error;
};

/* The first address of what the table has; one that it does not have stays. */
static bool map_address(void *argument, bool is_sender, struct str *address)
{
    const struct mapping *mapping = argument;
    const struct generic *generic = mapping->generic;
    struct address_results results;

    (void)is_sender;
    if (address->len == 0)
        return true;
    switch (address_map_apply(&generic->rules, generic->tables, *address,
                              generic->propagates_extension, mapping->arena, &results,
                              mapping->error)) {
    case LOOKUP_FOUND:
        *address = results.addresses[0];
        return true;
    case LOOKUP_ABSENT:
        return true;
    case LOOKUP_FAILED:
        return false;
    }
    return false;
}

static bool map_envelope(struct mapping *mapping, struct delivery *delivery)
{
    if (!map_address(mapping, true, &delivery->sent_sender))
        return false;
    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        if (!map_address(mapping, false, &delivery->attempts[i].sent_address))
            return false;
    }
    return true;
}

static bool map_headers(struct mapping *mapping, struct delivery *delivery, struct buf *out)
{
    static const struct rewrite_rules none; /* completes nothing */
    struct header_rewriter rewriter = { .rules = &none, .map = map_address, .argument = mapping };
    bool is_changed = delivery->sent_headers.len > 0; /* by smtp_header_checks */
    struct str rest = is_changed ? delivery->sent_headers : delivery->sent_content, before = rest;
    struct header header;
    bool is_sender;

    while (header_next(&rest, &header)) {
        struct str whole = str_take(before, before.len - rest.len);
        struct str value = header_raw_value(&header);
        before = rest;
        if (!header_has_addresses(&header, &is_sender)) {
            buf_append(out, whole);
            continue;
        }
        buf_append(out, str_of(header.whole.ptr, (size_t)(value.ptr - header.whole.ptr)));
        if (!header_rewrite_addresses(&rewriter, is_sender, &header, out))
            return false;
        buf_append_text(out, "\r\n");
    }
    if (!is_changed)
        delivery->sent_content = before;
    return true;
}

bool generic_map(const struct generic *generic, struct delivery *delivery, struct error *error)
{
    struct mapping mapping = { .generic = generic, .arena = &delivery->job.arena, .error = error };
    autofree_buf struct buf headers = { 0 };

    if (!map_envelope(&mapping, delivery) || !map_headers(&mapping, delivery, &headers))
        return false;
    delivery->sent_headers = arena_copy(&delivery->job.arena, buf_str(&headers));
    return true;
}
