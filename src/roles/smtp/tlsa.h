/* SPDX-License-Identifier: Apache-2.0 */
/* TLSA records (RFC 6698): which of them are of use to an SMTP client (RFC 7672). Pure. */
#pragma once

#include "net/tls.h"

enum tlsa_usage { TLSA_TRUST_ANCHOR = 2, TLSA_END_ENTITY = 3 };
enum tlsa_matching { TLSA_FULL = 0, TLSA_SHA256 = 1, TLSA_SHA512 = 2 };

/* tls_dane_digests: matching types, best first. */
struct tlsa_digests {
    uint8_t types[2];
    size_t count;
};

/* "sha512 sha256", "sha512=2". False, and none, where a word makes no sense: Postfix then uses no
 * digest either. */
bool tlsa_digests_parse(struct str text, struct tlsa_digests *digests);

/* False for a record without data behind its three numbers; `record` borrows. */
must_check bool tlsa_parse(struct str rdata, struct tls_tlsa *record);
/* In the order in which they are looked at and spoken of. */
void tlsa_sort(struct tls_tlsa *records, size_t count);
/* RFC 7672 knows only the usages 2 and 3. */
bool tlsa_has_usage(const struct tls_tlsa *record);
/* Selector and digest are known, and the digest has the length that it must have. */
bool tlsa_is_usable(const struct tls_tlsa *record, const struct tlsa_digests *digests);
/* Of several digests of the same thing the best one alone counts (RFC 7671, section 9). Keeps these
 * at the front; all must be usable. Returns how many. */
size_t tlsa_keep_best(struct tls_tlsa *records, size_t count, const struct tlsa_digests *digests);
/* Appends "3 1 1 0A1B…". */
void tlsa_format(const struct tls_tlsa *record, struct buf *out);
