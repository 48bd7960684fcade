/* SPDX-License-Identifier: Apache-2.0 */
/* An entry of the cache of verified addresses, from a file that may be anybody's: what is believed
 * survives being written. */
#include "base/ensure.h"
#include "entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct entry_ages ages = { 1000, 100, 500, 50 };
    autofree_buf struct buf text = { 0 };
    struct entry entry, again;

    if (!entry_parse(str_of((const char *)data, size), &entry))
        return 0;
    entry_format(&entry, &text);
    ensure(entry_parse(buf_str(&text), &again));
    ensure(again.status == entry.status && again.probed_s == entry.probed_s &&
           again.updated_s == entry.updated_s && str_equal(again.reason, entry.reason));
    ensure(entry_is_expired(&entry, &ages, 2000) == entry_is_expired(&again, &ages, 2000));
    (void)entry_needs_probe(&entry, &ages, 2000);
    if (entry_update(&entry, &ages, VERIFY_BOUNCE, STR("5.1.1"), 2000))
        ensure(entry.updated_s == 2000 && entry.probed_s == 0);
    return 0;
}
