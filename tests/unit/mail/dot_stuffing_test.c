/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dot_stuffing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct dot_decoder decode_in_portions(struct str in, size_t portion, struct buf *out,
                                             size_t *used)
{
    struct dot_decoder decoder = { 0 };

    *used = 0;
    while (*used < in.len && !decoder.is_done) {
        struct str part = str_take(str_skip(in, *used), portion);
        size_t count = dot_decode(&decoder, part, out);
        assert_true(count == part.len || decoder.is_done);
        *used += count;
    }
    return decoder;
}

static void decoder_gives_normalised_lines_for_any_portions(void **state)
{
    static const struct {
        struct str in, out;
        bool is_done, has_bare_newline, has_bare_return, has_nul;
        size_t left;
    } cases[] = {
        { STR_INIT(".\r\n"), STR_INIT(""), true, false, false, false, 0 },
        { STR_INIT("a\r\n.\r\nQUIT\r\n"), STR_INIT("a\r\n"), true, false, false, false, 6 },
        { STR_INIT("..a\r\n.b\r\n.\r\n"), STR_INIT(".a\r\nb\r\n"), true, false, false, false, 0 },
        { STR_INIT("a\nb\r\n.\r\n"), STR_INIT("a\r\nb\r\n"), true, true, false, false, 0 },
        { STR_INIT("a\rb\r\r\n.\r\n"), STR_INIT("a b \r\n"), true, false, true, false, 0 },
        { STR_INIT("a\0b\r\n.\r\n"), STR_INIT("a\0b\r\n"), true, false, false, true, 0 },
        { STR_INIT("\r\n.\r\r\n.\r\n"), STR_INIT("\r\n \r\n"), true, false, true, false, 0 },
        { STR_INIT("a\n.\r\nb"), STR_INIT("a\r\nb"), false, true, false, false, 0 },
        { STR_INIT("a\r\n.\nb"), STR_INIT("a\r\nb"), false, true, false, false, 0 },
        { STR_INIT("a\n.\nb"), STR_INIT("a\r\nb"), false, true, false, false, 0 },
        { STR_INIT("a\n.\r\n.\r\n"), STR_INIT("a\r\n"), true, true, false, false, 0 },
        { STR_INIT("a\n.\n.\r\n.\r\n"), STR_INIT("a\r\n"), true, true, false, false, 0 },
        { STR_INIT("a\n.\r\r\nb"), STR_INIT("a\r\n \r\nb"), false, true, true, false, 0 },
        { STR_INIT("a\n.\rb"), STR_INIT("a\r\n b"), false, true, true, false, 0 },
        { STR_INIT("a\r\n.\r"), STR_INIT("a\r\n"), false, false, false, false, 0 },
        { STR_INIT("a\r\n..\r\n.\r\n"), STR_INIT("a\r\n.\r\n"), true, false, false, false, 0 },
        { STR_INIT("\n\n..\n"), STR_INIT("\r\n\r\n.\r\n"), false, true, false, false, 0 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t portion = 1; portion <= cases[i].in.len; portion++) {
            struct buf out = { 0 };
            size_t used;
            struct dot_decoder decoder = decode_in_portions(cases[i].in, portion, &out, &used);
            if (!str_equal(buf_str(&out), cases[i].out))
                fail_msg("case %zu, portion %zu: %s", i, portion, buf_text(&out));
            assert_int_equal(decoder.is_done, cases[i].is_done);
            assert_int_equal(decoder.has_bare_newline, cases[i].has_bare_newline);
            assert_int_equal(decoder.has_bare_return, cases[i].has_bare_return);
            assert_int_equal(decoder.has_nul, cases[i].has_nul);
            assert_int_equal(cases[i].in.len - used, cases[i].left);
            buf_free(&out);
        }
    }
}

/* What may stand before and behind a lone dot. */
static const struct str around_dot[] = {
    STR_INIT("\r\n"), STR_INIT("\n"),     STR_INIT("\r"),     STR_INIT("\r\r\n"),
    STR_INIT("\n\r"), STR_INIT("\0\r\n"), STR_INIT("\r\0\n"), STR_INIT("\r\r"),
};

static bool is_sent_line_clean(struct str sent)
{
    for (size_t i = 0; i < sent.len; i++) {
        if (sent.ptr[i] == '\r' && (i + 1 == sent.len || sent.ptr[i + 1] != '\n'))
            return false;
        if (sent.ptr[i] == '\n' && (i == 0 || sent.ptr[i - 1] != '\r'))
            return false;
    }
    return true;
}

static void only_crlf_dot_crlf_ends_data_in_all_64_combinations(void **state)
{
    for (size_t before = 0; before < COUNT(around_dot); before++) {
        for (size_t behind = 0; behind < COUNT(around_dot); behind++) {
            struct buf in = { 0 };
            buf_append(&in, STR("x"));
            buf_append(&in, around_dot[before]);
            buf_append_byte(&in, '.');
            buf_append(&in, around_dot[behind]);
            buf_append(&in, STR("MAIL FROM:<evil@example.com>"));
            bool ends = str_find(buf_str(&in), STR("\r\n.\r\n")) >= 0;
            for (size_t portion = 1; portion <= in.len; portion++) {
                struct buf out = { 0 }, sent = { 0 };
                size_t used;
                struct dot_decoder decoder = decode_in_portions(buf_str(&in), portion, &out, &used);
                assert_int_equal(decoder.is_done, ends);
                /* And relayed, the next host finds no end in it either. */
                dot_encode(&(struct dot_encoder){ .line_length_limit = 998 }, buf_str(&out), &sent);
                assert_true(is_sent_line_clean(buf_str(&sent)));
                assert_int_equal(str_find(str_take(buf_str(&sent), sent.len - 3), STR("\r\n.\r\n")),
                                 -1);
                buf_free(&out);
                buf_free(&sent);
            }
            buf_free(&in);
        }
    }
}

static void encoder_stuffs_breaks_and_mends(void **state)
{
    static const struct {
        const char *in, *out;
        size_t limit;
    } cases[] = {
        { "", ".\r\n", 0 },
        { "a\r\n", "a\r\n.\r\n", 0 },
        { "a", "a\r\n.\r\n", 0 },
        { ".\r\n", "..\r\n.\r\n", 0 },
        { ".a\r\n..b\r\nc.d\r\n", "..a\r\n...b\r\nc.d\r\n.\r\n", 0 },
        { "a\nb\rc\r\n", "a\r\nb c\r\n.\r\n", 0 },
        { "a\n.\nb", "a\r\n..\r\nb\r\n.\r\n", 0 },
        { "a\r", "a\r\n.\r\n", 0 },
        { "a\r\r\n", "a \r\n.\r\n", 0 },
        { "abcde\r\n", "abcde\r\n.\r\n", 5 },
        { "abcdef\r\n", "abcde\r\n f\r\n.\r\n", 5 },
        { "abcdefghijk\r\n", "abcde\r\n fghi\r\n jk\r\n.\r\n", 5 },
        { ".bcdef\r\n", "..bcde\r\n f\r\n.\r\n", 5 },
        { "abcde\rf\r\n", "abcde\r\n f\r\n.\r\n", 5 },
        { "abcde\r", "abcde\r\n.\r\n", 5 },
        { "abcde.f", "abcde\r\n .f\r\n.\r\n", 5 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct str in = str_from(cases[i].in);
        for (size_t portion = 1; portion <= in.len + 1; portion++) {
            struct dot_encoder encoder = { .line_length_limit = cases[i].limit };
            struct buf out = { 0 };
            for (size_t at = 0; at < in.len; at += portion) {
                struct str part = str_take(str_skip(in, at), portion), piece;
                while (dot_encode_next(&encoder, &part, &piece))
                    buf_append(&out, piece);
            }
            buf_append(&out, dot_encode_end(&encoder));
            if (!str_equal(buf_str(&out), str_from(cases[i].out)))
                fail_msg("case %zu, portion %zu: %s", i, portion, buf_text(&out));
            buf_free(&out);
        }
    }
}

static void clean_content_comes_back_in_one_piece(void **state)
{
    struct str content = STR("Subject: x\r\n\r\nfirst\r\nsecond . third\r\n"), rest = content;
    struct dot_encoder encoder = { .line_length_limit = 998 };
    struct str piece;

    assert_true(dot_encode_next(&encoder, &rest, &piece));
    assert_ptr_equal(piece.ptr, content.ptr);
    assert_int_equal(piece.len, content.len);
    assert_false(dot_encode_next(&encoder, &rest, &piece));
}

static void decoder_undoes_the_encoder_for_random_clean_content(void **state)
{
    static const char *const parts[] = { "\r\n", ".", "..", "a", "bc", " ", "\r\n.", "\r\n\r\n" };

    srandom(7);
    for (int round = 0; round < 3000; round++) {
        struct buf content = { 0 }, sent = { 0 }, back = { 0 };
        struct dot_encoder encoder = { .line_length_limit = 998 };
        size_t used;
        for (long i = random() % 30; i >= 0; i--)
            buf_append_text(&content, parts[(size_t)random() % COUNT(parts)]);
        buf_append_text(&content, "\r\n");
        dot_encode(&encoder, buf_str(&content), &sent);
        struct dot_decoder decoder =
            decode_in_portions(buf_str(&sent), 1 + (size_t)random() % 7, &back, &used);
        assert_true(decoder.is_done);
        assert_int_equal(used, sent.len);
        assert_true(str_equal(buf_str(&back), buf_str(&content)));
        buf_free(&content);
        buf_free(&sent);
        buf_free(&back);
    }
}

static void decoder_finds_the_end_behind_a_full_buffer(void **state)
{
    struct dot_decoder decoder = { 0 };
    struct buf out;

    buf_init(&out, 4);
    assert_int_equal(dot_decode(&decoder, STR("abcdefgh\r\nij\r\n.\r\nNOOP"), &out), 17);
    assert_true(decoder.is_done);
    assert_true(out.is_overflowed);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoder_gives_normalised_lines_for_any_portions),
        cmocka_unit_test(only_crlf_dot_crlf_ends_data_in_all_64_combinations),
        cmocka_unit_test(encoder_stuffs_breaks_and_mends),
        cmocka_unit_test(clean_content_comes_back_in_one_piece),
        cmocka_unit_test(decoder_undoes_the_encoder_for_random_clean_content),
        cmocka_unit_test(decoder_finds_the_end_behind_a_full_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
