/* SPDX-License-Identifier: Apache-2.0 */
/* What a terminal is shown of any bytes is harmless, and no wider than it may be. */
#include "base/ensure.h"
#include "mail/utf8.h"
#include "terminal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t width(struct str text)
{
    size_t count = 0;

    for (; text.len > 0; count++)
        ensure(utf8_is_harmless(utf8_next(&text)));
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf whole = { 0 }, field = { 0 };

    if (size < 1)
        return 0;
    int columns = data[0] % 100 + 1;
    struct str text = str_of((const char *)data + 1, size - 1);
    terminal_text(text, 0, &whole);
    ensure(width(buf_str(&whole)) <= text.len);
    terminal_field(text, columns, &field);
    ensure(width(buf_str(&field)) == (size_t)columns);
    return 0;
}
