/* SPDX-License-Identifier: Apache-2.0 */
/* TLSA records of a hostile zone, each behind a byte of its length; tls_dane_digests behind the
 * first line end. Those that are kept are usable, and no two digests stand for the same thing. */
#include "base/ensure.h"
#include "tlsa.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS_MAX = 32 };

static size_t read_records(struct str rest, struct tls_tlsa *records)
{
    size_t count = 0;

    while (rest.len > 0 && count < RECORDS_MAX) {
        struct str rdata = str_take(str_skip(rest, 1), (unsigned char)rest.ptr[0]);
        rest = str_skip(rest, 1 + rdata.len);
        count += tlsa_parse(rdata, &records[count]);
    }
    return count;
}

static bool is_same_thing(const struct tls_tlsa *a, const struct tls_tlsa *b)
{
    return a->usage == b->usage && a->selector == b->selector;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_of((const char *)data, size), words = str_cut(&rest, "\n");
    struct tls_tlsa records[RECORDS_MAX], usable[RECORDS_MAX];
    autofree_buf struct buf text = { 0 };
    struct tlsa_digests digests;
    size_t usable_count = 0;

    if (!tlsa_digests_parse(words, &digests))
        ensure(digests.count == 0);
    size_t count = read_records(rest, records);
    tlsa_sort(records, count);
    for (size_t i = 0; i < count; i++) {
        buf_clear(&text);
        tlsa_format(&records[i], &text);
        ensure(text.len > 6 && text.len < 400);
        if (tlsa_has_usage(&records[i]) && tlsa_is_usable(&records[i], &digests))
            usable[usable_count++] = records[i];
    }
    size_t kept = tlsa_keep_best(usable, usable_count, &digests);
    ensure(kept <= usable_count && (kept > 0) == (usable_count > 0));
    for (size_t i = 0; i < kept; i++)
        for (size_t j = 0; j < i; j++)
            ensure(!is_same_thing(&usable[i], &usable[j]) || usable[i].matching_type == TLSA_FULL ||
                   usable[j].matching_type == TLSA_FULL ||
                   usable[i].matching_type == usable[j].matching_type);
    return 0;
}
