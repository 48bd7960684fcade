/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/xtext.h"

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
        if (byte <= ' ' || byte == 0x7f || byte == '=')
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
