/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byte_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void sequences_are_those_of_c(void **state)
{
    static const struct {
        struct str text, has;
    } cases[] = {
        { STR_INIT(""), STR_INIT("") },
        { STR_INIT("ab"), STR_INIT("ab") },
        { STR_INIT("\\a\\b\\f\\n\\r\\t\\v\\\\"), STR_INIT("\a\b\f\n\r\t\v\\") },
        { STR_INIT("\\0"), STR_INIT("\0") },
        { STR_INIT("\\7\\12\\0101"), STR_INIT("\7\n\0101") }, /* three digits at most */
        { STR_INIT("\\377\\200"), STR_INIT("\377\200") },
        { STR_INIT("\\8\\x"), STR_INIT("8x") },
        { STR_INIT("a\\"), STR_INIT("a\\") },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct byte_set set = byte_set_parse(cases[i].text);
        assert_int_equal(byte_set_is_empty(&set), cases[i].has.len == 0);
        for (int byte = 0; byte < 256; byte++)
            assert_int_equal(byte_set_has(&set, (char)byte),
                             cases[i].has.len > 0 &&
                                 memchr(cases[i].has.ptr, byte, cases[i].has.len) != NULL);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sequences_are_those_of_c) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
