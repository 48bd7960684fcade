/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/attribute.h"

#include <arpa/inet.h>

static int hex_value(char byte)
{
    if (ascii_is_digit(byte))
        return byte - '0';
    byte = ascii_lower(byte);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Unlike xtext_decode this takes what control characters are coded, to show that they were
 * there. */
static bool decode(struct str xtext, struct buf *out)
{
    for (size_t i = 0; i < xtext.len; i++) {
        char byte = xtext.ptr[i];
        if (byte == '+') {
            int high = i + 2 < xtext.len ? hex_value(xtext.ptr[i + 1]) : -1;
            int low = i + 2 < xtext.len ? hex_value(xtext.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            byte = (char)(high << 4 | low);
            i += 2;
        }
        buf_append_byte(out, byte >= ' ' && byte < 0x7f ? byte : '?');
    }
    return true;
}

enum attribute_outcome attribute_next(struct arena *arena, struct str *text,
                                      struct attribute *attribute)
{
    autofree_buf struct buf value = { 0 };
    struct str word;

    if (!str_next_word(text, " \t", &word))
        return ATTRIBUTE_END;
    ptrdiff_t equals = str_find_byte(word, '=');
    if (equals <= 0 || (size_t)equals + 1 == word.len ||
        !decode(str_skip(word, (size_t)equals + 1), &value))
        return ATTRIBUTE_BAD;
    *attribute = (struct attribute){
        .name = str_take(word, (size_t)equals),
        .value = arena_copy(arena, buf_str(&value)),
    };
    attribute->is_temporarily_unavailable = str_equal_fold(attribute->value, STR("[TEMPUNAVAIL]"));
    attribute->is_unavailable = attribute->is_temporarily_unavailable ||
                                str_equal_fold(attribute->value, STR("[UNAVAILABLE]"));
    return ATTRIBUTE_FOUND;
}

bool attribute_is_address(struct str value, struct str *address)
{
    struct in_addr in4;
    struct in6_addr in6;
    char text[INET6_ADDRSTRLEN + 1] = "";
    bool is_ipv6 = str_starts_with_fold(value, STR("IPv6:"));

    *address = is_ipv6 ? str_skip(value, 5) : value;
    if (address->len >= sizeof(text))
        return false;
    memcpy(text, address->ptr, address->len);
    return is_ipv6 ? inet_pton(AF_INET6, text, &in6) == 1 : inet_pton(AF_INET, text, &in4) == 1;
}
