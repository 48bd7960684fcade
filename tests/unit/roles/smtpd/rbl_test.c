/* SPDX-License-Identifier: Apache-2.0 */
#include "rbl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void a_list_may_have_a_pattern(void **state)
{
    struct dns_list list = dns_list_parse(STR("dnsbl.example=127.0.0.[2;4]"));

    assert_true(str_equal(list.domain, STR("dnsbl.example")));
    assert_true(str_equal(list.pattern, STR("127.0.0.[2;4]")));
    list = dns_list_parse(STR("dnsbl.example"));
    assert_true(str_equal(list.domain, STR("dnsbl.example")));
    assert_true(str_is_empty(list.pattern));
    (void)state;
}

static void patterns_have_four_fields(void **state)
{
    static const struct {
        const char *pattern;
        bool is_valid;
    } cases[] = {
        { "127.0.0.2", true },
        { "[0..255].[0;1;2].[3..4;9].255", true },
        { "127.0.0", false },
        { "127.0.0.2.3", false },
        { "127.0.0.", false },
        { "127.0.0.256", false },
        { "127.0.0.0002", false },
        { "127.0.0.2..3", false }, /* a range needs its brackets */
        { "127.0.0.[2..3", false },
        { "127.0.0.[]", false },
        { "127.0.0.[3..2]", false },
        { "127.0.0.[2;]", false },
        { "127.0.0.[2..]", false },
        { "127.0.0.2 ", false },
        { "", false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(dns_list_pattern_is_valid(str_from(cases[i].pattern)), cases[i].is_valid);
    (void)state;
}

static void each_field_must_match(void **state)
{
    static const struct {
        const char *pattern;
        uint8_t address[4];
        bool matches;
    } cases[] = {
        { "127.0.0.2", { 127, 0, 0, 2 }, true },
        { "127.0.0.2", { 127, 0, 0, 3 }, false },
        { "127.0.0.2", { 128, 0, 0, 2 }, false },
        { "127.0.0.[2..4;9]", { 127, 0, 0, 2 }, true },
        { "127.0.0.[2..4;9]", { 127, 0, 0, 4 }, true },
        { "127.0.0.[2..4;9]", { 127, 0, 0, 5 }, false },
        { "127.0.0.[2..4;9]", { 127, 0, 0, 9 }, true },
        { "127.[0..255].0.[1..254]", { 127, 77, 0, 254 }, true },
        { "127.[0..255].0.[1..254]", { 127, 77, 0, 255 }, false },
        { "127.0.0", { 127, 0, 0, 0 }, false }, /* no pattern, no match */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(dns_list_pattern_matches(str_from(cases[i].pattern), cases[i].address),
                         cases[i].matches);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_may_have_a_pattern),
        cmocka_unit_test(patterns_have_four_fields),
        cmocka_unit_test(each_field_must_match),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
