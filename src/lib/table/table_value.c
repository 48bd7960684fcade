/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_value.h"

#include "base/arena.h"
#include "base/base64.h"
#include "base/file.h"

enum { FILES_BYTES_MAX = 64 << 20 };

bool table_value_read(struct str names, struct buf *value, struct error *error)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf content = { 0 };
    struct str name;
    bool is_first = true;

    while (str_next_word(&names, ", \t\r\n", &name)) {
        if (!is_first)
            buf_append_byte(&content, '\n');
        is_first = false;
        if (!file_read(arena_text(&arena, name), FILES_BYTES_MAX, &content, error))
            return false;
    }
    base64_encode(buf_str(&content), value);
    return true;
}

bool table_value_decode(struct str value, struct buf *content, struct error *error)
{
    return base64_decode(value, content) ||
           error_set(error, "the value is no base64, as it is made by -F");
}
