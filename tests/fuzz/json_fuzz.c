/* SPDX-License-Identifier: Apache-2.0 */
/* What the tools' -j make of any bytes is one JSON string, valid UTF-8 and without controls; read
 * again it is the text where that was UTF-8. */
#include "base/ensure.h"
#include "mail/json.h"
#include "mail/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_utf8(unsigned character, struct buf *out)
{
    ensure(character < 0x10000 && (character < 0xd800 || character > 0xdfff));
    if (character < 0x80) {
        buf_append_byte(out, (char)character);
        return;
    }
    if (character >= 0x800)
        buf_append_byte(out, (char)(0xe0 | character >> 12));
    buf_append_byte(
        out, (char)(character < 0x800 ? 0xc0 | character >> 6 : 0x80 | (character >> 6 & 0x3f)));
    buf_append_byte(out, (char)(0x80 | (character & 0x3f)));
}

static void read_string(struct str text, struct buf *out)
{
    ensure(text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"');
    text = str_of(text.ptr + 1, text.len - 2);
    while (text.len > 0) {
        char byte = text.ptr[0];
        ensure(byte != '"');
        if (byte == '\\' && text.ptr[1] == 'u') {
            char digits[5] = { 0 };
            ensure(text.len >= 6);
            memcpy(digits, text.ptr + 2, 4);
            put_utf8((unsigned)strtoul(digits, NULL, 16), out);
            text = str_skip(text, 6);
            continue;
        }
        if (byte == '\\') {
            ensure(text.len >= 2 && (text.ptr[1] == '"' || text.ptr[1] == '\\'));
            text = str_skip(text, 1);
        }
        buf_append_byte(out, text.ptr[0]);
        text = str_skip(text, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf json = { 0 }, again = { 0 };
    struct str text = str_of((const char *)data, size);

    json_append_string(&json, text);
    ensure(utf8_is_clean(buf_str(&json)) && str_find_byte(buf_str(&json), '\t') < 0);
    read_string(buf_str(&json), &again);
    if (utf8_is_valid(text))
        ensure(str_equal(buf_str(&again), text));
    return 0;
}
