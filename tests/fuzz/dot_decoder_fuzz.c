/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DATA in any portions: the end is where CRLF.CRLF is and nowhere else, the output is normalised,
 * and portions make no difference. The first byte says how large they are.
 */
#include "base/ensure.h"
#include "mail/dot_stuffing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where DATA ends by the rule: behind the first CRLF.CRLF, a CRLF thought in front of it all. */
static size_t end_of_data(struct str in)
{
    if (str_starts_with(in, STR(".\r\n")))
        return 3;
    ptrdiff_t at = str_find(in, STR("\r\n.\r\n"));
    return at < 0 ? SIZE_MAX : (size_t)at + 5;
}

static void check_lines(struct str out)
{
    for (size_t i = 0; i < out.len; i++) {
        ensure(out.ptr[i] != '\n' || (i > 0 && out.ptr[i - 1] == '\r'));
        /* The last byte of unfinished content is no CR either: it is withheld. */
        ensure(out.ptr[i] != '\r' || (i + 1 < out.len && out.ptr[i + 1] == '\n'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf whole = { 0 };
    autofree_buf struct buf pieces = { 0 };
    struct dot_decoder decoder = { 0 }, other = { 0 };

    if (size == 0)
        return 0;
    struct str in = str_of((const char *)data + 1, size - 1);
    size_t portion = (size_t)data[0] % 16 + 1, used = dot_decode(&decoder, in, &whole), at = 0;
    size_t end = end_of_data(in);
    ensure(decoder.is_done == (end != SIZE_MAX));
    ensure(used == (end != SIZE_MAX ? end : in.len));
    check_lines(buf_str(&whole));
    while (at < in.len && !other.is_done)
        at += dot_decode(&other, str_take(str_skip(in, at), portion), &pieces);
    ensure(at == used && str_equal(buf_str(&whole), buf_str(&pieces)));
    ensure(other.has_bare_newline == decoder.has_bare_newline);
    ensure(other.has_bare_return == decoder.has_bare_return && other.has_nul == decoder.has_nul);
    ensure(other.line_count == decoder.line_count);
    return 0;
}
