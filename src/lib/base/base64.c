/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct str bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (i + k < bytes.len ? (unsigned char)bytes.ptr[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_append_byte(out, i + k <= bytes.len ? alphabet[group >> (18 - 6 * k) & 63] : '=');
    }
}

static int digit_of(char byte)
{
    const char *found = byte != '\0' ? strchr(alphabet, byte) : NULL;

    return found != NULL ? (int)(found - alphabet) : -1;
}

/* One group of four; how many bytes it stands for, or 0 where it is malformed. */
static size_t decode_group(const char *text, bool is_last, unsigned char bytes[3])
{
    size_t padding = !is_last ? 0 : (size_t)(text[3] == '=') + (text[3] == '=' && text[2] == '=');
    uint32_t group = 0;

    for (size_t k = 0; k < 4; k++) {
        int digit = k >= 4 - padding ? 0 : digit_of(text[k]);
        if (digit < 0)
            return 0;
        group = group << 6 | (uint32_t)digit;
    }
    for (size_t k = 0; k < 3; k++)
        bytes[k] = (unsigned char)(group >> (16 - 8 * k));
    return 3 - padding;
}

bool base64_decode(struct str text, struct buf *out)
{
    if (text.len % 4 != 0)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        unsigned char bytes[3];
        size_t count = decode_group(text.ptr + i, i + 4 == text.len, bytes);
        if (count == 0)
            return false;
        buf_append(out, str_of((const char *)bytes, count));
    }
    return true;
}
