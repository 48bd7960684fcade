/* SPDX-License-Identifier: Apache-2.0 */
#include "store/crc32c.h"

uint32_t crc32c(uint32_t crc, struct str bytes)
{
    return crc32c_portable(crc, bytes);
}
