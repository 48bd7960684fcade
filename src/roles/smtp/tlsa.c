/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsa.h"

#include <stdlib.h>

enum { HEADER_BYTES = 3 };

static const struct {
    const char *name;
    uint8_t type;
    size_t bytes;
} known_digests[] = { { "sha256", TLSA_SHA256, 32 }, { "sha512", TLSA_SHA512, 64 } };

static bool add_digest(struct tlsa_digests *digests, struct str word)
{
    struct str number = word;
    struct str name = str_cut(&number, "=");
    uint64_t type;

    for (size_t i = 0; i < sizeof known_digests / sizeof known_digests[0]; i++) {
        if (!str_equal_fold(name, str_from(known_digests[i].name)))
            continue;
        if (number.len > 0 && (!str_to_u64(number, &type) || type != known_digests[i].type))
            return false;
        for (size_t j = 0; j < digests->count; j++) {
            if (digests->types[j] == known_digests[i].type)
                return true;
        }
        digests->types[digests->count++] = known_digests[i].type;
        return true;
    }
    return false;
}

bool tlsa_digests_parse(struct str text, struct tlsa_digests *digests)
{
    struct str word;

    *digests = (struct tlsa_digests){ 0 };
    while (str_next_word(&text, ", \t\r\n", &word)) {
        if (add_digest(digests, word))
            continue;
        digests->count = 0;
        return false;
    }
    return true;
}

bool tlsa_parse(struct str rdata, struct tls_tlsa *record)
{
    if (rdata.len <= HEADER_BYTES)
        return false;
    *record = (struct tls_tlsa){ .usage = (uint8_t)rdata.ptr[0],
                                 .selector = (uint8_t)rdata.ptr[1],
                                 .matching_type = (uint8_t)rdata.ptr[2],
                                 .data = str_skip(rdata, HEADER_BYTES) };
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct tls_tlsa *first = a, *second = b;
    size_t shorter = first->data.len < second->data.len ? first->data.len : second->data.len;

    if (first->usage != second->usage)
        return first->usage - second->usage;
    if (first->selector != second->selector)
        return first->selector - second->selector;
    if (first->matching_type != second->matching_type)
        return first->matching_type - second->matching_type;
    int order = memcmp(first->data.ptr, second->data.ptr, shorter);
    return order != 0 ? order : (first->data.len > shorter) - (second->data.len > shorter);
}

void tlsa_sort(struct tls_tlsa *records, size_t count)
{
    qsort(records, count, sizeof records[0], compare);
}

bool tlsa_has_usage(const struct tls_tlsa *record)
{
    return record->usage == TLSA_TRUST_ANCHOR || record->usage == TLSA_END_ENTITY;
}

/* The less, the better; `digests->count` where it is none of them. */
static size_t digest_rank(const struct tls_tlsa *record, const struct tlsa_digests *digests)
{
    size_t rank = 0;

    while (rank < digests->count && digests->types[rank] != record->matching_type)
        rank++;
    return rank;
}

bool tlsa_is_usable(const struct tls_tlsa *record, const struct tlsa_digests *digests)
{
    if (!tlsa_has_usage(record) || record->selector > 1)
        return false;
    if (record->matching_type == TLSA_FULL)
        return true;
    for (size_t i = 0; i < sizeof known_digests / sizeof known_digests[0]; i++) {
        if (known_digests[i].type == record->matching_type)
            return record->data.len == known_digests[i].bytes &&
                   digest_rank(record, digests) < digests->count;
    }
    return false;
}

static bool is_outdone(const struct tls_tlsa *records, size_t count, size_t at,
                       const struct tlsa_digests *digests)
{
    size_t rank = digest_rank(&records[at], digests);

    if (records[at].matching_type == TLSA_FULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (records[i].usage == records[at].usage && records[i].selector == records[at].selector &&
            digest_rank(&records[i], digests) < rank)
            return true;
    }
    return false;
}

size_t tlsa_keep_best(struct tls_tlsa *records, size_t count, const struct tlsa_digests *digests)
{
    size_t kept = 0;

    /* Who is outdone is outdone by one of the best, and these stay. */
    for (size_t i = 0; i < count; i++) {
        if (is_outdone(records, kept, i, digests) || is_outdone(records + i, count - i, 0, digests))
            continue;
        records[kept++] = records[i];
    }
    return kept;
}

void tlsa_format(const struct tls_tlsa *record, struct buf *out)
{
    buf_printf(out, "%u %u %u ", record->usage, record->selector, record->matching_type);
    for (size_t i = 0; i < record->data.len; i++)
        buf_printf(out, "%02X", (unsigned)(unsigned char)record->data.ptr[i]);
}
