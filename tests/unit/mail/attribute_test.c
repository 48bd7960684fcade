/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/attribute.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void attributes_come_one_by_one(void **state)
{
    autoclear_arena struct arena arena = { 0 };
    struct str rest = STR("NAME=mail.example  addr=192.0.2.1\tX=+41+20b+0a=c");
    struct attribute attribute;

    assert_int_equal(attribute_next(&arena, &rest, &attribute), ATTRIBUTE_FOUND);
    assert_true(str_equal(attribute.name, STR("NAME")));
    assert_true(str_equal(attribute.value, STR("mail.example")));
    assert_int_equal(attribute_next(&arena, &rest, &attribute), ATTRIBUTE_FOUND);
    assert_true(str_equal(attribute.name, STR("addr")));
    assert_int_equal(attribute_next(&arena, &rest, &attribute), ATTRIBUTE_FOUND);
    assert_true(str_equal(attribute.value, STR("A b?=c")));
    assert_int_equal(attribute_next(&arena, &rest, &attribute), ATTRIBUTE_END);
    (void)state;
}

static void what_is_none_is_refused(void **state)
{
    static const char *const cases[] = { "NAME",    "NAME=",  "=x",      "=",
                                         "NAME=+4", "NAME=+", "NAME=x+", "NAME=+zz" };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        autoclear_arena struct arena arena = { 0 };
        struct str rest = str_from(cases[i]);
        struct attribute attribute;
        assert_int_equal(attribute_next(&arena, &rest, &attribute), ATTRIBUTE_BAD);
    }
    (void)state;
}

static void values_may_be_unavailable(void **state)
{
    static const struct {
        const char *text;
        bool is_unavailable, is_temporary;
    } cases[] = {
        { "A=[UNAVAILABLE]", true, false }, { "A=[unavailable]", true, false },
        { "A=[TEMPUNAVAIL]", true, true },  { "A=+5BUNAVAILABLE+5D", true, false },
        { "A=UNAVAILABLE", false, false },  { "A=[UNAVAILABLE", false, false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        autoclear_arena struct arena arena = { 0 };
        struct str rest = str_from(cases[i].text);
        struct attribute attribute;
        assert_int_equal(attribute_next(&arena, &rest, &attribute), ATTRIBUTE_FOUND);
        assert_int_equal(attribute.is_unavailable, cases[i].is_unavailable);
        assert_int_equal(attribute.is_temporarily_unavailable, cases[i].is_temporary);
    }
    (void)state;
}

static void addresses_say_whether_they_are_ipv6(void **state)
{
    static const struct {
        const char *value, *address; /* NULL: none */
    } cases[] = {
        { "192.0.2.1", "192.0.2.1" },
        { "IPv6:2001:db8::1", "2001:db8::1" },
        { "ipv6:::1", "::1" },
        { "2001:db8::1", NULL },
        { "IPv6:192.0.2.1", NULL },
        { "192.0.2.256", NULL },
        { "192.0.2", NULL },
        { "", NULL },
        { "IPv6:", NULL },
        { "IPv6:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str address;
        bool is_address = attribute_is_address(str_from(cases[i].value), &address);
        assert_int_equal(is_address, cases[i].address != NULL);
        if (is_address)
            assert_true(str_equal(address, str_from(cases[i].address)));
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_come_one_by_one),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(values_may_be_unavailable),
        cmocka_unit_test(addresses_say_whether_they_are_ipv6),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
