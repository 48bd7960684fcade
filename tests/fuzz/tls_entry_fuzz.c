/* SPDX-License-Identifier: Apache-2.0 */
/* A value of smtp_tls_policy_maps: what comes of it lies within the text and within its bounds. */
#include "base/ensure.h"
#include "tls_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct str part, struct str text)
{
    ensure(part.len == 0 || (part.ptr >= text.ptr && part.ptr + part.len <= text.ptr + text.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct tls_entry entry;
    struct error error;

    if (!tls_entry_parse(text, &entry, &error))
        return 0;
    ensure(entry.level <= TLS_LEVEL_SECURE);
    ensure(entry.matches.count <= TLS_MATCHES_MAX && entry.mx_patterns.count <= TLS_MATCHES_MAX);
    /* What must be matched is not said at a level that matches nothing. */
    ensure(entry.matches.count == 0 || entry.level == TLS_LEVEL_FINGERPRINT ||
           entry.level >= TLS_LEVEL_VERIFY);
    for (size_t i = 0; i < entry.matches.count; i++)
        check_within(entry.matches.items[i], text);
    check_within(entry.protocols, text);
    check_within(entry.ciphers, text);
    check_within(entry.exclusions, text);
    check_within(entry.servername, text);
    return 0;
}
