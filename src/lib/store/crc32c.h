/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C (Castagnoli), the checksum of every record and chunk in the store. Uses the processor's
 * instruction where it has one; crc32c_portable is the same function without it.
 */
#pragma once

#include "base/str.h"

/* Goes on from `crc`; start with 0. crc32c(crc32c(0, a), b) is the checksum of a and b together. */
uint32_t crc32c(uint32_t crc, struct str bytes);
uint32_t crc32c_portable(uint32_t crc, struct str bytes);
