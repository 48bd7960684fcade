/* SPDX-License-Identifier: Apache-2.0 */
#include "content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void normalise(struct str text, size_t portion_bytes, struct content *content,
                      struct buf *out)
{
    *content = (struct content){ 0 };
    for (; text.len > 0; text = str_skip(text, portion_bytes))
        content_add(content, str_take(text, portion_bytes), out);
    content_end(content, out);
}

static void every_line_ends_in_crlf_and_cr_is_a_blank_however_the_input_is_cut(void **state)
{
    static const struct {
        struct str in, out;
        unsigned lines;
    } cases[] = {
        { STR_INIT(""), STR_INIT(""), 0 },
        { STR_INIT("a"), STR_INIT("a\r\n"), 1 },
        { STR_INIT("a\n"), STR_INIT("a\r\n"), 1 },
        { STR_INIT("a\r\n"), STR_INIT("a \r\n"), 1 },
        { STR_INIT("a\nb\nc"), STR_INIT("a\r\nb\r\nc\r\n"), 3 },
        { STR_INIT("\n\n"), STR_INIT("\r\n\r\n"), 2 },
        { STR_INIT("a\rb\n"), STR_INIT("a b\r\n"), 1 },
        { STR_INIT("a\r\r\nb"), STR_INIT("a  \r\nb\r\n"), 2 },
        { STR_INIT("a\r"), STR_INIT("a \r\n"), 1 },
        { STR_INIT("\r"), STR_INIT(" \r\n"), 1 },
        { STR_INIT(".\n.\r.\n"), STR_INIT(".\r\n. .\r\n"), 2 },
        { STR_INIT("a\0b\n"), STR_INIT("a\0b\r\n"), 1 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t portion_bytes = 1; portion_bytes < 8; portion_bytes++) {
            autofree_buf struct buf out = { 0 };
            struct content content;
            normalise(cases[i].in, portion_bytes, &content, &out);
            assert_true(str_equal(buf_str(&out), cases[i].out));
            assert_int_equal(content.line_count, cases[i].lines);
        }
    }
}

static void eight_bit_content_is_noticed(void **state)
{
    autofree_buf struct buf out = { 0 };
    struct content content;

    normalise(STR("plain\n"), 3, &content, &out);
    assert_false(content.has_8bit);
    normalise(STR("gr\xc3\xbc\xc3\x9f\n"), 3, &content, &out);
    assert_true(content.has_8bit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_ends_in_crlf_and_cr_is_a_blank_however_the_input_is_cut),
        cmocka_unit_test(eight_bit_content_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
