/* SPDX-License-Identifier: Apache-2.0 */
#include "dane.h"

#include "tlsa.h"
#include "worker.h"

static void ask(struct delivery *delivery, enum dns_type type, struct str name,
                struct dns_answer *answer)
{
    int64_t deadline_ms = loop_now_ms(delivery->worker->loop) + TARGET_LOOKUP_MS;

    dns_query_validated(delivery->worker->dns, &delivery->job.arena, type, name, deadline_ms,
                        answer);
    if (answer->outcome == DNS_TRY_AGAIN)
        log_warning(&delivery->transport->log,
                    "DANE TLSA lookup problem: Host or domain name not found. Name service error "
                    "for name=%.*s type=%s: %.*s",
                    STR_ARGS(name), dns_type_name(type), STR_ARGS(answer->reason));
}

static bool is_for_mail(const struct delivery *delivery, const char *owner,
                        const struct tls_tlsa *record)
{
    autofree_buf struct buf text = { 0 };

    if (tlsa_has_usage(record))
        return true;
    tlsa_format(record, &text);
    log_warning(&delivery->transport->log, "%s unsupported TLSA certificate usage: %s", owner,
                buf_text(&text));
    return false;
}

static enum dane_outcome take(struct delivery *delivery, const char *owner,
                              const struct dns_answer *answer, struct dane_records *records)
{
    struct tls_tlsa *items =
        arena_new_array(&delivery->job.arena, answer->record_count + 1, sizeof *items);
    size_t count = 0;

    for (size_t i = 0; i < answer->record_count; i++) {
        if (tlsa_parse(answer->records[i].data, &items[count]))
            count++;
        else
            log_warning(&delivery->transport->log, "%s: truncated TLSA RR length == %zu", owner,
                        answer->records[i].data.len);
    }
    tlsa_sort(items, count);
    records->items = items;
    records->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_for_mail(delivery, owner, &items[i]))
            items[records->count++] = items[i];
    }
    return records->count > 0 ? DANE_FOUND : DANE_UNUSABLE;
}

static enum dane_outcome look_up(struct delivery *delivery, uint16_t port, struct str host,
                                 struct dane_records *records)
{
    const char *owner =
        arena_printf(&delivery->job.arena, "_%u._tcp.%.*s", (unsigned)port, STR_ARGS(host));
    struct dns_answer answer;

    ask(delivery, DNS_TLSA, str_from(owner), &answer);
    records->base = host;
    switch (answer.outcome) {
    case DNS_FOUND:
        return answer.is_secure ? take(delivery, owner, &answer, records) : DANE_ABSENT;
    case DNS_NO_NAME:
    case DNS_NO_DATA:
    case DNS_BAD_NAME: /* too long for records to stand there */
        return DANE_ABSENT;
    case DNS_TRY_AGAIN:
    case DNS_FILTERED:
        break;
    }
    return DANE_FAILED;
}

/* RFC 7672, section 2.2.2: where the way to the address leaves the signed zones, the server's own
 * name may still be one of a signed zone. */
static enum dane_outcome look_up_alias(struct delivery *delivery, const struct target *target,
                                       struct dane_records *records)
{
    struct dns_answer answer;

    ask(delivery, DNS_CNAME, target->asked, &answer);
    if (answer.outcome == DNS_TRY_AGAIN)
        return DANE_FAILED;
    if (answer.outcome != DNS_FOUND || !answer.is_secure)
        return DANE_ABSENT;
    return look_up(delivery, net_address_port(&target->address), target->asked, records);
}

enum dane_outcome dane_find(struct delivery *delivery, const struct target *target,
                            struct dane_records *records)
{
    const struct config *config = delivery->transport->config;
    uint16_t port = net_address_port(&target->address);

    if (target->asked.len == 0)
        return DANE_ABSENT; /* an address, which is in no zone */
    if (!target->is_secure && target->alias.len > 0)
        return look_up_alias(delivery, target, records);
    if (!target->is_secure && !config->smtp_tls_force_insecure_host_tlsa_lookup)
        return DANE_ABSENT;
    if (target->alias.len > 0) {
        enum dane_outcome outcome = look_up(delivery, port, target->alias, records);
        if (outcome != DANE_ABSENT)
            return outcome;
    }
    return look_up(delivery, port, target->asked, records);
}
