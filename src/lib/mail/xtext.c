/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/xtext.h"

#include "mail/utf8.h"

static int hex_value(char digit)
{
    if (ascii_is_digit(digit))
        return digit - '0';
    digit = ascii_lower(digit);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

void xtext_encode(struct str text, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte > ' ' && byte < 0x7f && byte != '+' && byte != '=') {
            buf_append_byte(out, (char)byte);
            continue;
        }
        char coded[3] = { '+', digits[byte >> 4], digits[byte & 15] };
        buf_append(out, str_of(coded, sizeof coded));
    }
}

bool xtext_decode(struct str xtext, struct buf *out)
{
    for (size_t i = 0; i < xtext.len; i++) {
        char byte = xtext.ptr[i];
        if (byte <= ' ' || byte == 0x7f)
            return false;
        if (byte == '+') {
            int high = i + 2 < xtext.len ? hex_value(xtext.ptr[i + 1]) : -1;
            int low = i + 2 < xtext.len ? hex_value(xtext.ptr[i + 2]) : -1;
            int value = high * 16 + low;
            if (high < 0 || low < 0 || value < ' ' || value == 0x7f)
                return false;
            byte = (char)value;
            i += 2;
        }
        buf_append_byte(out, byte);
    }
    return true;
}

void xtext_normalise(struct str xtext, struct buf *out)
{
    autofree_buf struct buf plain = { 0 };

    xtext_encode(xtext_decode(xtext, &plain) ? buf_str(&plain) : xtext, out);
}

enum { CODE_POINT_DIGITS_MAX = 6 };

void unitext_encode(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte > ' ' && byte != 0x7f && byte != '+' && byte != '=' && byte != '\\')
            buf_append_byte(out, (char)byte);
        else
            buf_printf(out, "\\x{%02X}", byte);
    }
}

static void append_code_point(uint32_t point, struct buf *out)
{
    if (point < 0x80) {
        buf_append_byte(out, (char)point);
    } else if (point < 0x800) {
        buf_append_byte(out, (char)(0xc0 | point >> 6));
        buf_append_byte(out, (char)(0x80 | (point & 0x3f)));
    } else {
        buf_append_byte(out, (char)(point < 0x10000 ? 0xe0 | point >> 12 : 0xf0 | point >> 18));
        if (point >= 0x10000)
            buf_append_byte(out, (char)(0x80 | (point >> 12 & 0x3f)));
        buf_append_byte(out, (char)(0x80 | (point >> 6 & 0x3f)));
        buf_append_byte(out, (char)(0x80 | (point & 0x3f)));
    }
}

/* The digits and brace behind "\\x{"; how many bytes that were, 0 where it is malformed. */
static size_t take_code_point(struct str text, uint32_t *point)
{
    size_t count = 0;

    *point = 0;
    while (count < text.len && count < CODE_POINT_DIGITS_MAX && hex_value(text.ptr[count]) >= 0)
        *point = *point * 16 + (uint32_t)hex_value(text.ptr[count++]);
    if (count == 0 || count == text.len || text.ptr[count] != '}' || *point > 0x10ffff ||
        (*point >= 0xd800 && *point < 0xe000))
        return 0;
    return count + 1;
}

bool unitext_decode(struct str unitext, struct buf *out)
{
    size_t start = out->len;

    for (size_t i = 0; i < unitext.len; i++) {
        char byte = unitext.ptr[i];
        if ((unsigned char)byte <= ' ' || byte == 0x7f || byte == '=' || byte == '+')
            return false;
        if (byte != '\\') {
            buf_append_byte(out, byte);
            continue;
        }
        uint32_t point;
        struct str rest = str_skip(unitext, i + 1);
        size_t used = str_starts_with(rest, STR("x{")) ? take_code_point(str_skip(rest, 2), &point)
                                                       : 0;
        if (used == 0)
            return false;
        append_code_point(point, out);
        i += 2 + used;
    }
    return utf8_is_clean(str_skip(buf_str(out), start));
}
