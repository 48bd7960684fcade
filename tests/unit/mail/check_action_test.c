/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/check_action.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct action_case {
    const char *value;
    enum check_problem problem;
    enum check_verb verb;
    const char *text, *status;
};

static void expect(const struct action_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct check_action action;
        assert_int_equal(check_action_parse(str_from(cases[i].value), &action), cases[i].problem);
        assert_int_equal(action.verb, cases[i].verb);
        assert_true(str_equal(action.text, str_from(cases[i].text)));
        assert_string_equal(action.status, cases[i].status);
    }
}

#define EXPECT(cases) expect(cases, sizeof(cases) / sizeof(cases)[0])

static void verbs_are_read_in_any_case_and_texts_are_trimmed(void **state)
{
    static const struct action_case cases[] = {
        { "DUNNO", CHECK_FINE, CHECK_DUNNO, "", "" },
        { "ok", CHECK_FINE, CHECK_DUNNO, "", "" },
        { "  Hold \t for a while  ", CHECK_FINE, CHECK_HOLD, "for a while", "" },
        { "IGNORE", CHECK_FINE, CHECK_IGNORE, "", "" },
        { "DISCARD quietly", CHECK_FINE, CHECK_DISCARD, "quietly", "" },
        { "info x", CHECK_FINE, CHECK_INFO, "x", "" },
        { "PASS", CHECK_FINE, CHECK_PASS, "", "" },
        { "STRIP", CHECK_FINE, CHECK_STRIP, "", "" },
        { "WARN", CHECK_FINE, CHECK_WARN, "", "" },
        { "", CHECK_IS_UNKNOWN, CHECK_UNKNOWN, "", "" },
        { "   ", CHECK_IS_UNKNOWN, CHECK_UNKNOWN, "", "" },
        { "NONSENSE x", CHECK_IS_UNKNOWN, CHECK_UNKNOWN, "x", "" },
        { "REJECTED", CHECK_IS_UNKNOWN, CHECK_UNKNOWN, "", "" },
    };

    EXPECT(cases);
    (void)state;
}

static void actions_want_the_text_that_they_need(void **state)
{
    static const struct action_case cases[] = {
        { "REPLACE X: y", CHECK_FINE, CHECK_REPLACE, "X: y", "" },
        { "REPLACE  ", CHECK_NEEDS_TEXT, CHECK_REPLACE, "", "" },
        { "PREPEND", CHECK_NEEDS_TEXT, CHECK_PREPEND, "", "" },
        { "FILTER smtp:[x]:25", CHECK_FINE, CHECK_FILTER, "smtp:[x]:25", "" },
        { "FILTER smtp:", CHECK_FINE, CHECK_FILTER, "smtp:", "" },
        { "FILTER smtp", CHECK_NEEDS_TRANSPORT, CHECK_FILTER, "smtp", "" },
        { "FILTER :x", CHECK_NEEDS_TRANSPORT, CHECK_FILTER, ":x", "" },
        { "BCC a@b", CHECK_FINE, CHECK_BCC, "a@b", "" },
        { "BCC a", CHECK_NEEDS_ADDRESS, CHECK_BCC, "a", "" },
        { "REDIRECT a@b", CHECK_FINE, CHECK_REDIRECT, "a@b", "" },
        { "REDIRECT", CHECK_NEEDS_ADDRESS, CHECK_REDIRECT, "", "" },
    };

    EXPECT(cases);
    (void)state;
}

static void a_rejection_may_begin_with_its_status(void **state)
{
    static const struct action_case cases[] = {
        { "REJECT", CHECK_FINE, CHECK_REJECT, "message content rejected", "5.7.1" },
        { "REJECT no", CHECK_FINE, CHECK_REJECT, "no", "5.7.1" },
        { "REJECT 5.1.123 no", CHECK_FINE, CHECK_REJECT, "no", "5.1.123" },
        { "REJECT 4.7.0", CHECK_FINE, CHECK_REJECT, "message content rejected", "4.7.0" },
        { "REJECT 2.7.0 no", CHECK_FINE, CHECK_REJECT, "2.7.0 no", "5.7.1" },
        { "REJECT 5.7 no", CHECK_FINE, CHECK_REJECT, "5.7 no", "5.7.1" },
        { "REJECT 5.7.1.1 no", CHECK_FINE, CHECK_REJECT, "5.7.1.1 no", "5.7.1" },
        { "REJECT 5.1234.1 no", CHECK_FINE, CHECK_REJECT, "5.1234.1 no", "5.7.1" },
        { "REJECT 55.1.1 no", CHECK_FINE, CHECK_REJECT, "55.1.1 no", "5.7.1" },
        { "REJECT 5.7. no", CHECK_FINE, CHECK_REJECT, "5.7. no", "5.7.1" },
        { "REJECT 5.7.1x no", CHECK_FINE, CHECK_REJECT, "5.7.1x no", "5.7.1" },
    };

    EXPECT(cases);
    (void)state;
}

static void each_verb_has_its_names(void **state)
{
    for (int verb = 0; verb < CHECK_UNKNOWN; verb++) {
        struct check_action action;
        const char *name = check_verb_name((enum check_verb)verb);
        (void)check_action_parse(str_from(name), &action);
        assert_int_equal(action.verb, verb);
        assert_true(strlen(check_verb_log_name((enum check_verb)verb)) > 0);
    }
    assert_string_equal(check_verb_log_name(CHECK_WARN), "warning");
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_are_read_in_any_case_and_texts_are_trimmed),
        cmocka_unit_test(actions_want_the_text_that_they_need),
        cmocka_unit_test(a_rejection_may_begin_with_its_status),
        cmocka_unit_test(each_verb_has_its_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
