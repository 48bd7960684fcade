/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes from a channel or the disk: what decodes encodes to the same bytes; one of an older
 * version, to one that does. */
#include "base/ensure.h"
#include "mail/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf again = { 0 };
    struct str bytes = str_of((const char *)data, size);
    struct envelope envelope;
    struct error error;

    if (!envelope_decode(&arena, bytes, &envelope, &error))
        return 0;
    ensure(arena.used_bytes < 65536 + size * 16);
    ensure(envelope_waiting_count(&envelope) <= envelope.recipient_count);
    envelope_encode(&envelope, &again);
    if (size > 0 && again.ptr[0] == bytes.ptr[0]) {
        ensure(str_equal(buf_str(&again), bytes));
        return 0;
    }
    autofree_buf struct buf third = { 0 };
    ensure(envelope_decode(&arena, buf_str(&again), &envelope, &error));
    envelope_encode(&envelope, &third);
    ensure(str_equal(buf_str(&again), buf_str(&third)));
    return 0;
}
