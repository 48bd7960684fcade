/* SPDX-License-Identifier: Apache-2.0 */
#include "config/stress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct config_source source;
    struct arena arena;
    struct config *calm, *stressed;
    struct error error;
};

/* Both configurations of the only service. */
static void make(struct fixture *f, const char *main_text, const char *master_text)
{
    *f = (struct fixture){ 0 };
    if (!config_source_parse("/etc/test", str_from(main_text), str_from(master_text), &f->source,
                             &f->error))
        fail_msg("%s", f->error.message);
    const struct master_service *line = &f->source.master_cf.services[0];
    f->calm = config_new(&f->source, service_with_stress(&f->arena, line, STR("")), NULL, NULL,
                         &f->error);
    if (f->calm == NULL)
        fail_msg("%s", f->error.message);
    f->stressed = config_under_stress(f->calm, service_with_stress(&f->arena, line, STR("yes")),
                                      &f->arena, &f->error);
}

static void forget(struct fixture *f)
{
    config_free(&f->stressed);
    config_free(&f->calm);
    arena_clear(&f->arena);
    config_source_free(&f->source);
}

#define LINE "smtp inet n - n - 5 smtpd\n"
#define NAME "myhostname = mx.example.com\n"

static void defaults_change_and_everything_else_is_borrowed(void **state)
{
    struct fixture f;

    make(&f, NAME, LINE);
    assert_ptr_equal(f.stressed->lender, f.calm);
    assert_int_equal(f.calm->smtpd_timeout, 300);
    assert_int_equal(f.stressed->smtpd_timeout, 10);
    assert_int_equal(f.calm->smtpd_starttls_timeout, 300);
    assert_int_equal(f.stressed->smtpd_starttls_timeout, 10);
    assert_int_equal(f.calm->smtpd_hard_error_limit, 20);
    assert_int_equal(f.stressed->smtpd_hard_error_limit, 1);
    assert_int_equal(f.calm->smtpd_junk_command_limit, 100);
    assert_int_equal(f.stressed->smtpd_junk_command_limit, 1);
    assert_int_equal(f.calm->address_verify_poll_count, 3);
    assert_int_equal(f.stressed->address_verify_poll_count, 1);
    assert_false(f.calm->smtpd_per_request_deadline);
    assert_true(f.stressed->smtpd_per_request_deadline);
    assert_true(str_is_empty(f.calm->stress));
    assert_true(str_equal(f.stressed->stress, STR("yes")));
    assert_ptr_equal(f.stressed->smtpd_banner.ptr, f.calm->smtpd_banner.ptr);
    forget(&f);
    (void)state;
}

static void settings_of_an_operator_count_before_defaults(void **state)
{
    struct fixture f;

    make(&f, NAME "smtpd_timeout = ${stress?{3}:{77}}s\nsmtpd_hard_error_limit = 5\n", LINE);
    assert_ptr_equal(f.stressed->lender, f.calm);
    assert_int_equal(f.calm->smtpd_timeout, 77);
    assert_int_equal(f.stressed->smtpd_timeout, 3);
    assert_int_equal(f.stressed->smtpd_hard_error_limit, 5);
    forget(&f);
    (void)state;
}

/* Lists and tables are made from them, so the policy must be another one. */
static void other_parameters_make_it_a_configuration_of_its_own(void **state)
{
    static const char *const texts[] = {
        NAME "smtpd_banner = $myhostname ${stress?{busy}:{here}}\n",
        NAME "smtpd_policy_service_timeout = ${stress?{2}:{100}}s\n",
        NAME "own_class = ${stress?{reject}:{permit}}\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fixture f;
        make(&f, texts[i], LINE);
        assert_non_null(f.stressed);
        assert_null(f.stressed->lender);
        assert_int_equal(f.stressed->smtpd_timeout, 10);
        assert_int_equal(f.calm->smtpd_timeout, 300);
        forget(&f);
    }
    (void)state;
}

/* As with Postfix, whose master says "-o stress=" before the line's own options. */
static void a_line_has_the_last_word_and_main_cf_none(void **state)
{
    struct fixture f;

    make(&f, NAME "stress = yes\n", LINE);
    assert_int_equal(f.calm->smtpd_timeout, 300);
    forget(&f);
    make(&f, NAME, LINE "  -o stress=own\n");
    assert_true(str_equal(f.calm->stress, STR("own")));
    assert_true(str_equal(f.stressed->stress, STR("own")));
    assert_int_equal(f.calm->smtpd_timeout, 10);
    forget(&f);
    (void)state;
}

static void a_bad_value_under_stress_is_an_error_at_start(void **state)
{
    struct fixture f;

    make(&f, NAME "smtpd_timeout = ${stress?{soon}:{300}}s\n", LINE);
    assert_null(f.stressed);
    assert_non_null(strstr(f.error.message, "smtpd_timeout"));
    forget(&f);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_change_and_everything_else_is_borrowed),
        cmocka_unit_test(settings_of_an_operator_count_before_defaults),
        cmocka_unit_test(other_parameters_make_it_a_configuration_of_its_own),
        cmocka_unit_test(a_line_has_the_last_word_and_main_cf_none),
        cmocka_unit_test(a_bad_value_under_stress_is_an_error_at_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
