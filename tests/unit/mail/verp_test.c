/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/verp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void delimiters_are_two_of_those_allowed(void **state)
{
    static const struct str filter = STR_INIT("-=+");

    assert_true(verp_delimiters_are_valid(STR("+="), filter));
    assert_true(verp_delimiters_are_valid(STR("--"), filter));
    assert_false(verp_delimiters_are_valid(STR(""), filter));
    assert_false(verp_delimiters_are_valid(STR("+"), filter));
    assert_false(verp_delimiters_are_valid(STR("+=-"), filter));
    assert_false(verp_delimiters_are_valid(STR("+#"), filter));
    assert_false(verp_delimiters_are_valid(STR("+="), STR("")));
}

static void the_recipient_stands_in_the_senders_local_part(void **state)
{
    static const struct {
        struct str delimiters, sender, recipient;
        const char *expected;
    } cases[] = {
        { STR_INIT("+="), STR_INIT("list@example.com"), STR_INIT("joe@there.example"),
          "list+joe=there.example@example.com" },
        { STR_INIT("-+"), STR_INIT("l@e"), STR_INIT("a@b@c"), "l-a@b+c@e" },
        { STR_INIT("+="), STR_INIT("list"), STR_INIT("joe"), "list+joe" },
        { STR_INIT("+="), STR_INIT(""), STR_INIT("joe@x"), "" },
        { STR_INIT(""), STR_INIT("a@b"), STR_INIT("joe@x"), "a@b" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        autoclear_arena struct arena arena = { 0 };
        struct str address =
            verp_address(&arena, cases[i].delimiters, cases[i].sender, cases[i].recipient);
        assert_true(str_equal(address, str_from(cases[i].expected)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delimiters_are_two_of_those_allowed),
        cmocka_unit_test(the_recipient_stands_in_the_senders_local_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
