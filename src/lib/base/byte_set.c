/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byte_set.h"

/* What stands behind a backslash, at the start of `text`; says how long it is. */
static unsigned char take_escape(struct str text, size_t *used)
{
    static const char names[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
    const char *name = memchr(names, text.ptr[0], sizeof names - 1);
    unsigned value = 0;

    for (*used = 0; *used < 3 && *used < text.len; ++*used) {
        char digit = text.ptr[*used];
        if (digit < '0' || digit > '7')
            break;
        value = value * 8 + (unsigned)(digit - '0');
    }
    if (*used > 0)
        return (unsigned char)value;
    *used = 1;
    return (unsigned char)(name != NULL ? values[name - names] : text.ptr[0]);
}

struct byte_set byte_set_parse(struct str text)
{
    struct byte_set set = { { 0 } };

    while (text.len > 0) {
        unsigned char byte = (unsigned char)text.ptr[0];
        size_t used = 1;
        if (byte == '\\' && text.len > 1) {
            text = str_skip(text, 1);
            byte = take_escape(text, &used);
        }
        set.bits[byte / 64] |= (uint64_t)1 << byte % 64;
        text = str_skip(text, used);
    }
    return set;
}

bool byte_set_is_empty(const struct byte_set *set)
{
    return (set->bits[0] | set->bits[1] | set->bits[2] | set->bits[3]) == 0;
}
