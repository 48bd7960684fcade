/* SPDX-License-Identifier: Apache-2.0 */
/* The words of TLS parameters and policy tables. */
#include "base/ensure.h"
#include "net/tls_settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(void *argument, struct str word)
{
    ensure(word.len > 0);
    *(bool *)argument = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct tls_protocols protocols;
    enum tls_level level;
    bool is_unknown = false;

    if (tls_protocols_parse(text, &protocols))
        ensure(protocols.allowed != 0 && protocols.allowed < 1u << TLS_PROTOCOLS);
    if (tls_level_parse(text, &level))
        ensure(str_equal_fold(str_from(tls_level_name(level)), text));
    unsigned bits = tls_log_parse(text, note, &is_unknown);
    ensure(!is_unknown || bits == 0);
    return 0;
}
