/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/utf8.h"

int32_t utf8_next(struct str *text)
{
    static const int32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char first = (unsigned char)text->ptr[0];
    size_t len = first < 0x80   ? 1
                 : first < 0xc2 ? 0
                 : first < 0xe0 ? 2
                 : first < 0xf0 ? 3
                 : first < 0xf5 ? 4
                                : 0;

    if (len == 0 || len > text->len) {
        *text = str_skip(*text, 1);
        return -1;
    }
    int32_t character = len == 1 ? first : first & (0x7f >> len);
    for (size_t i = 1; i < len; i++) {
        unsigned char byte = (unsigned char)text->ptr[i];
        if ((byte & 0xc0) != 0x80) {
            *text = str_skip(*text, 1);
            return -1;
        }
        character = character << 6 | (byte & 0x3f);
    }
    bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
    bool is_bad = character < least[len] || is_surrogate || character > 0x10ffff;
    *text = str_skip(*text, is_bad ? 1 : len);
    return is_bad ? -1 : character;
}

bool utf8_is_harmless(int32_t character)
{
    if (character < 0x20 || (character >= 0x7f && character < 0xa0))
        return false;
    bool is_separator = character == 0x2028 || character == 0x2029;
    bool is_bidirectional = character == 0x061c || character == 0x200e || character == 0x200f ||
                            (character >= 0x202a && character <= 0x202e) ||
                            (character >= 0x2066 && character <= 0x2069);
    return !is_separator && !is_bidirectional;
}

bool utf8_is_valid(struct str text)
{
    while (text.len > 0) {
        if (utf8_next(&text) < 0)
            return false;
    }
    return true;
}

bool utf8_is_clean(struct str text)
{
    while (text.len > 0) {
        int32_t character = utf8_next(&text);
        if (character != '\t' && !utf8_is_harmless(character))
            return false;
    }
    return true;
}
