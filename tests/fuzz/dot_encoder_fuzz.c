/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever the content and its portions, what leaves obeys the grammar: lines of at most the limit
 * and a stuffed dot, no bare CR or LF, the end once and last; and the decoder gets back what was
 * sent when the content was clean. The first byte says how large portions are, the second the
 * limit.
 */
#include "base/ensure.h"
#include "mail/dot_stuffing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(struct str content, size_t portion, size_t limit, struct buf *out)
{
    struct dot_encoder encoder = { .line_length_limit = limit };

    while (content.len > 0) {
        struct str part = str_take(content, portion), piece;
        content = str_skip(content, portion);
        while (dot_encode_next(&encoder, &part, &piece))
            buf_append(out, piece);
    }
    buf_append(out, dot_encode_end(&encoder));
}

static void check_grammar(struct str sent, size_t limit)
{
    while (sent.len > 0) {
        ptrdiff_t newline = str_find_byte(sent, '\n');
        ensure(newline > 0 && sent.ptr[newline - 1] == '\r');
        struct str line = str_take(sent, (size_t)newline - 1);
        ensure(str_find_byte(line, '\r') < 0);
        sent = str_skip(sent, (size_t)newline + 1);
        if (str_equal(line, STR("."))) {
            ensure(sent.len == 0);
            return;
        }
        bool is_stuffed = line.len > 0 && line.ptr[0] == '.';
        ensure(!is_stuffed || line.ptr[1] == '.');
        ensure(limit == 0 || line.len <= limit + is_stuffed);
    }
    ensure(!"the end is missing");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf sent = { 0 };
    autofree_buf struct buf again = { 0 };
    autofree_buf struct buf back = { 0 };
    struct dot_decoder decoder = { 0 };

    if (size < 2)
        return 0;
    struct str content = str_of((const char *)data + 2, size - 2);
    size_t portion = data[0] + 1U, limit = data[1] % 32 == 0 ? 0 : data[1] % 32 + 1U;
    encode(content, portion, limit, &sent);
    encode(content, SIZE_MAX, limit, &again);
    ensure(str_equal(buf_str(&sent), buf_str(&again)));
    check_grammar(buf_str(&sent), limit);
    ensure(dot_decode(&decoder, buf_str(&sent), &back) == sent.len && decoder.is_done);
    ensure(!decoder.has_bare_newline && !decoder.has_bare_return);
    /* Decoded content is clean, so now there and back is the identity. */
    buf_clear(&sent);
    buf_clear(&again);
    decoder = (struct dot_decoder){ 0 };
    encode(buf_str(&back), SIZE_MAX, 0, &sent);
    ensure(dot_decode(&decoder, buf_str(&sent), &again) == sent.len && decoder.is_done);
    ensure(str_equal(buf_str(&back), buf_str(&again)));
    return 0;
}
