/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/json.h"

#include "mail/utf8.h"

void json_append_string(struct buf *out, struct str text)
{
    buf_append_byte(out, '"');
    while (text.len > 0) {
        struct str before = text;
        int32_t character = utf8_next(&text);
        if (character == '"' || character == '\\')
            buf_append_byte(out, '\\');
        if (character < 0)
            buf_append_byte(out, '?');
        else if (!utf8_is_harmless(character))
            buf_printf(out, "\\u%04x", (unsigned)character);
        else
            buf_append(out, str_take(before, before.len - text.len));
    }
    buf_append_byte(out, '"');
}
