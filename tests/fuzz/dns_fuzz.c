/* SPDX-License-Identifier: Apache-2.0 */
/* Records from hostile name servers, and encoded records from a resolver that was taken over. The
 * first byte chooses. What is read must survive its own encoding. */
#include "net/dns.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct dns_record *records, size_t count)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf bytes = { 0 };
    struct dns_answer answer;

    dns_records_encode(records, count, &bytes);
    ensure(dns_records_decode(&arena, buf_str(&bytes), &answer));
    ensure(answer.record_count == count);
    for (size_t i = 0; i < count; i++) {
        ensure(str_equal(answer.records[i].name, records[i].name));
        ensure(str_equal(answer.records[i].data, records[i].data));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = { DNS_A,    DNS_PTR, DNS_NS, DNS_MX,  DNS_TXT,
                                           DNS_AAAA, DNS_SRV, DNS_TLSA };
    autoclear_arena struct arena arena = { 0 };
    struct dns_answer answer;
    struct dns_record record;

    if (size == 0)
        return 0;
    struct str bytes = str_of((const char *)data + 1, size - 1);
    if (data[0] % 8 == 7) {
        if (dns_records_decode(&arena, bytes, &answer))
            check_round_trip(answer.records, answer.record_count);
        return 0;
    }
    if (!dns_rdata_parse(&arena, types[data[0] % 8], bytes, &record))
        return 0;
    ensure(record.name.len == 0 || dns_name_is_valid(record.name));
    check_round_trip(&record, 1);
    return 0;
}
