/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dns_filter.h"

static void put_data(enum dns_type type, const struct dns_record *record, struct buf *out)
{
    struct net_address address;

    switch (type) {
    case DNS_MX:
        buf_printf(out, "%u %.*s.", (unsigned)record->preference, STR_ARGS(record->name));
        break;
    case DNS_NS:
    case DNS_CNAME:
    case DNS_PTR:
        buf_printf(out, "%.*s.", STR_ARGS(record->name));
        break;
    case DNS_TXT:
        buf_append(out, record->data);
        break;
    case DNS_A:
    case DNS_AAAA:
        if (dns_record_address(record, 0, &address))
            net_address_format(&address, out);
        break;
    case DNS_SRV:
    case DNS_TLSA:
        break; /* nobody filters what nobody asks for by way of a filter */
    }
}

enum filtering { RECORD_KEPT, RECORD_DROPPED, RECORD_UNCLEAR };

static enum filtering judge(struct table_list *tables, const struct log_context *log,
                            struct arena *arena, struct str record)
{
    struct str action;

    switch (table_list_find_or_warn(tables, record, arena, &action, log)) {
    case LOOKUP_ABSENT:
        return RECORD_KEPT;
    case LOOKUP_FAILED:
        return RECORD_UNCLEAR;
    case LOOKUP_FOUND:
        break;
    }
    if (str_equal_fold(action, STR("IGNORE"))) {
        log_info(log, "ignoring DNS RR: %.*s", STR_ARGS(record));
        return RECORD_DROPPED;
    }
    log_warning(log, "%.*s: unknown DNS filter action: \"%.*s\"", STR_ARGS(table_list_name(tables)),
                STR_ARGS(action));
    return RECORD_UNCLEAR;
}

static void fail(struct dns_answer *answer, enum dns_outcome outcome, struct str reason)
{
    answer->outcome = outcome;
    answer->reason = reason;
    answer->record_count = 0;
}

void dns_filter_answer(struct table_list *tables, const struct log_context *log,
                       struct arena *arena, enum dns_type type, struct str name,
                       struct dns_answer *answer)
{
    struct str owner = answer->canonical_name.len > 0 ? answer->canonical_name : name;
    autofree_buf struct buf text = { 0 };
    size_t kept = 0;

    if (tables == NULL || table_list_is_empty(tables) || answer->outcome != DNS_FOUND)
        return;
    for (size_t i = 0; i < answer->record_count; i++) {
        buf_clear(&text);
        buf_printf(&text, "%.*s. %u IN %s ", STR_ARGS(owner), (unsigned)answer->ttl_s,
                   dns_type_name(type));
        put_data(type, &answer->records[i], &text);
        switch (judge(tables, log, arena, buf_str(&text))) {
        case RECORD_KEPT:
            answer->records[kept++] = answer->records[i];
            break;
        case RECORD_DROPPED:
            break;
        case RECORD_UNCLEAR:
            fail(answer, DNS_TRY_AGAIN, STR("Invalid DNS reply filter syntax"));
            return;
        }
    }
    answer->record_count = kept;
    if (kept == 0)
        fail(answer, DNS_FILTERED, STR("DNS reply filter drops all results"));
}
