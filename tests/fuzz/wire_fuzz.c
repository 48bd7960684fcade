/* SPDX-License-Identifier: Apache-2.0 */
/* Every message of every channel from hostile bytes: two bytes of number, then the payload. What
 * decodes must encode to the same bytes. */
#include "wire/wire.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELD(type, field)
#define MESSAGE(name, number, fields)                                                              \
    static void try_##name(struct str payload)                                                     \
    {                                                                                              \
        autofree_buf struct buf again = { 0 };                                                     \
        struct wire_##name message;                                                                \
                                                                                                   \
        if (!wire_decode_##name(NULL, payload, &message))                                          \
            return;                                                                                \
        wire_encode_##name(&again, &message);                                                      \
        ensure(str_equal(buf_str(&again), payload));                                               \
    }
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct str payload = str_of((const char *)data + 2, size - 2);
    switch (data[0] | data[1] << 8) {
#define FIELD(type, field)
#define MESSAGE(name, number, fields)                                                              \
    case WIRE_##name:                                                                              \
        try_##name(payload);                                                                       \
        break;
#include WIRE_FILES
#undef MESSAGE
#undef FIELD
    default:
        break;
    }
    return 0;
}
