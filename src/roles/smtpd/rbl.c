/* SPDX-License-Identifier: Apache-2.0 */
#include "rbl.h"

struct dns_list dns_list_parse(struct str text)
{
    ptrdiff_t equals = str_find_byte(text, '=');

    if (equals < 0)
        return (struct dns_list){ .domain = text, .pattern = STR("") };
    return (struct dns_list){ .domain = str_take(text, (size_t)equals),
                              .pattern = str_skip(text, (size_t)equals + 1) };
}

static bool take_number(struct str *rest, unsigned *number)
{
    size_t len = 0;

    *number = 0;
    while (len < rest->len && len < 3 && ascii_is_digit(rest->ptr[len]))
        *number = *number * 10 + (unsigned)(rest->ptr[len++] - '0');
    *rest = str_skip(*rest, len);
    return len > 0 && *number <= 255;
}

static bool take_byte(struct str *rest, char byte)
{
    if (rest->len == 0 || rest->ptr[0] != byte)
        return false;
    *rest = str_skip(*rest, 1);
    return true;
}

/* One number or range inside of brackets, or a number alone. */
static bool take_range(struct str *rest, bool may_be_range, unsigned byte, bool *matches)
{
    unsigned first, last;

    if (!take_number(rest, &first))
        return false;
    last = first;
    if (may_be_range && str_starts_with(*rest, STR(".."))) {
        *rest = str_skip(*rest, 2);
        if (!take_number(rest, &last) || last < first)
            return false;
    }
    *matches |= byte >= first && byte <= last;
    return true;
}

static bool take_field(struct str *rest, unsigned byte, bool *matches)
{
    *matches = false;
    if (!take_byte(rest, '['))
        return take_range(rest, false, byte, matches);
    do {
        if (!take_range(rest, true, byte, matches))
            return false;
    } while (take_byte(rest, ';'));
    return take_byte(rest, ']');
}

static bool match(struct str pattern, const uint8_t address[4], bool *matches)
{
    *matches = true;
    for (int i = 0; i < 4; i++) {
        bool is_field_match;
        if ((i > 0 && !take_byte(&pattern, '.')) ||
            !take_field(&pattern, address[i], &is_field_match))
            return false;
        *matches &= is_field_match;
    }
    return str_is_empty(pattern);
}

bool dns_list_pattern_is_valid(struct str pattern)
{
    static const uint8_t any[4];
    bool ignored;

    return match(pattern, any, &ignored);
}

bool dns_list_pattern_matches(struct str pattern, const uint8_t address[4])
{
    bool matches;

    return match(pattern, address, &matches) && matches;
}
