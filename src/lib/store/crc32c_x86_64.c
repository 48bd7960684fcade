/* SPDX-License-Identifier: Apache-2.0 */
#include "store/crc32c.h"

#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, struct str bytes)
{
    uint64_t wide = (uint32_t)~crc;
    size_t i = 0;

    for (; bytes.len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, bytes.ptr + i, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; i < bytes.len; i++)
        crc = _mm_crc32_u8(crc, (uint8_t)bytes.ptr[i]);
    return ~crc;
}

uint32_t crc32c(uint32_t crc, struct str bytes)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, bytes)
                                            : crc32c_portable(crc, bytes);
}
