/* SPDX-License-Identifier: Apache-2.0 */
/* A user's text on its way into the queue: lines end in CRLF, there is no other CR or LF, and how
 * it was cut makes no difference. */
#include "base/ensure.h"
#include "content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void convert(struct str text, size_t step, struct buf *out)
{
    struct content content = { 0 };
    uint64_t lines = 0;

    for (; text.len > 0; text = str_skip(text, step))
        content_add(&content, str_take(text, step), out);
    content_end(&content, out);
    for (size_t i = 0; i < out->len; i++) {
        ensure(out->ptr[i] != '\r' || (i + 1 < out->len && out->ptr[i + 1] == '\n'));
        ensure(out->ptr[i] != '\n' || (i > 0 && out->ptr[i - 1] == '\r'));
        lines += out->ptr[i] == '\n';
    }
    ensure(lines == content.line_count);
    ensure(out->len == 0 || out->ptr[out->len - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf whole = { 0 }, cut = { 0 };

    if (size < 1)
        return 0;
    struct str text = str_of((const char *)data + 1, size - 1);
    convert(text, text.len + 1, &whole);
    convert(text, data[0] % 7 + 1, &cut);
    ensure(str_equal(buf_str(&whole), buf_str(&cut)));
    return 0;
}
