/* SPDX-License-Identifier: Apache-2.0 */
#include "config/main_cf.h"
#include "config/master_cf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void assignments_are_read_line_by_logical_line(void **state)
{
    static const struct {
        const char *text, *value;
        int line;
    } cases[] = {
        { "a = b", "b", 1 },
        { "a=b\n", "b", 1 },
        { "a\t=\tb \t\n", "b", 1 },
        { "a = b\r\n", "b", 1 },
        { "\xef\xbb\xbf"
          "a = b\n",
          "b", 1 },
        { "#x\n\n  # y\na = b\n", "b", 4 },
        { "a = b\n c\n", "b c", 1 },
        { "a = b\n# x\n\n c\n  # y\n\td\n", "b c\td", 1 },
        { "a =\n b\n", "b", 1 },
        { "a =\n", "", 1 },
        { "a = b # c\n", "b # c", 1 },
        { "a == b=c\n", "= b=c", 1 },
        { "a = 1\na = 2\n", "2", 2 },
        { "a = \xe4\n", "\xe4", 1 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena = { 0 };
        struct main_cf main_cf;
        struct error error = { 0 };
        assert_true(main_cf_parse(&arena, "main.cf", str_from(cases[i].text), &main_cf, &error));
        const struct main_cf_assignment *found = main_cf_find(&main_cf, STR("a"));
        assert_non_null(found);
        assert_true(str_equal(found->value, str_from(cases[i].value)));
        assert_int_equal(found->line, cases[i].line);
        assert_string_equal(found->file, "main.cf");
        assert_null(main_cf_find(&main_cf, STR("b")));
        arena_clear(&arena);
    }
}

static void lines_that_are_no_assignments_are_errors_with_their_line(void **state)
{
    static const char *const cases[] = { "\na\n", "\na b = c\n", "\n= c\n", "\n{ a = b }\n" };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena = { 0 };
        struct main_cf main_cf;
        struct error error = { 0 };
        assert_false(main_cf_parse(&arena, "main.cf", str_from(cases[i]), &main_cf, &error));
        assert_non_null(strstr(error.message, "main.cf, line 2"));
        arena_clear(&arena);
    }
}

static void nul_bytes_are_refused(void **state)
{
    struct arena arena = { 0 };
    struct main_cf main_cf;
    struct master_cf master_cf;
    struct error error = { 0 };

    assert_false(main_cf_parse(&arena, "main.cf", str_of("a = b\0c\n", 8), &main_cf, &error));
    assert_false(master_cf_parse(&arena, "master.cf", str_of("a\0", 2), &master_cf, &error));
    arena_clear(&arena);
}

static void line_that_continues_nothing_is_noted(void **state)
{
    struct arena arena = { 0 };
    struct main_cf main_cf;
    struct error error = { 0 };

    assert_true(main_cf_parse(&arena, "main.cf", STR("# x\n  a = b\nc = d\n"), &main_cf, &error));
    assert_null(main_cf_find(&main_cf, STR("a")));
    assert_int_equal(main_cf.note_count, 1);
    assert_non_null(strstr(main_cf.notes[0].text, "line 2"));
    arena_clear(&arena);
}

static void columns_and_options_of_a_service_are_read(void **state)
{
    static const char text[] = "# x\n"
                               "smtp inet n - n 1000? 5 smtpd\n"
                               "  -o first=1 -o { second = a, b }\n"
                               "# y\n"
                               "  -othird=3 -vv -o fourth=\n"
                               "list fifo - n y - - pipe\n"
                               "  flags=R argv=/bin/x -o no=option\n";
    struct arena arena = { 0 };
    struct master_cf master_cf;
    struct error error = { 0 };

    assert_true(master_cf_parse(&arena, "master.cf", str_from(text), &master_cf, &error));
    assert_int_equal(master_cf.count, 2);
    const struct master_service *smtp = master_cf_find(&master_cf, STR("smtp"), SERVICE_INET);
    assert_non_null(smtp);
    assert_false(smtp->is_private);
    assert_true(smtp->is_unprivileged);
    assert_int_equal(smtp->wakeup_s, 1000);
    assert_true(smtp->is_wakeup_lazy);
    assert_int_equal(smtp->process_limit, 5);
    assert_int_equal(smtp->verbosity, 2);
    assert_int_equal(smtp->line, 2);
    assert_int_equal(smtp->override_count, 4);
    assert_true(str_equal(smtp->overrides[1].name, STR("second")));
    assert_true(str_equal(smtp->overrides[1].value, STR("a, b")));
    assert_true(str_equal(smtp->overrides[2].name, STR("third")));
    assert_true(str_equal(smtp->overrides[3].value, STR("")));
    const struct master_service *list = master_cf_find(&master_cf, STR("list"), SERVICE_FIFO);
    assert_non_null(list);
    assert_int_equal(list->process_limit, -1);
    assert_int_equal(list->override_count, 0);
    assert_int_equal(list->argument_count, 4);
    assert_true(list->is_chrooted && !list->is_unprivileged);
    assert_null(master_cf_find(&master_cf, STR("smtp"), SERVICE_UNIX));
    arena_clear(&arena);
}

static void last_line_of_a_name_and_type_counts(void **state)
{
    struct arena arena = { 0 };
    struct master_cf master_cf;
    struct error error = { 0 };

    assert_true(master_cf_parse(&arena, "master.cf",
                                STR("smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\n"
                                    "smtp inet n - n - 7 smtpd\n"),
                                &master_cf, &error));
    assert_int_equal(master_cf.count, 2);
    assert_int_equal(master_cf.line_count, 3);
    assert_int_equal(master_cf.services[0].process_limit, 7);
    arena_clear(&arena);
}

static void bad_services_are_errors_with_their_line(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "smtp inet n - n - - smtpd\n-o a=b\n", "line 2: bad field count" },
        { "\nsmtp inet n - n - -\n", "line 2: bad field count" },
        { "\nsmtp tcp n - n - - smtpd\n", "line 2: bad service type" },
        { "\nsmtp inet x - n - - smtpd\n", "private" },
        { "\nsmtp inet n x n - - smtpd\n", "unprivileged" },
        { "\nsmtp inet n - x - - smtpd\n", "chroot" },
        { "\nsmtp inet n - n 1x - smtpd\n", "wakeup" },
        { "\nsmtp inet n - n - -1 smtpd\n", "maxproc" },
        { "\nsmtp inet n - n - 99999999999 smtpd\n", "maxproc" },
        { "\nsmtp inet y - n - - smtpd\n", "private" },
        { "\nsmtp inet n - n - - smtpd -o\n", "-o" },
        { "\nsmtp inet n - n - - smtpd -o a\n", "name=value" },
        { "\nsmtp inet n - n - - smtpd -o =a\n", "name=value" },
        { "\nsmtp inet n - n - - smtpd -o { a = b\n", "without its }" },
        { "\n smtp inet n - n - - smtpd\n", "white space" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena = { 0 };
        struct master_cf master_cf;
        struct error error = { 0 };
        assert_false(
            master_cf_parse(&arena, "master.cf", str_from(cases[i].text), &master_cf, &error));
        assert_non_null(strstr(error.message, "master.cf, line 2"));
        if (strstr(error.message, cases[i].message) == NULL)
            fail_msg("%s", error.message);
        arena_clear(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assignments_are_read_line_by_logical_line),
        cmocka_unit_test(lines_that_are_no_assignments_are_errors_with_their_line),
        cmocka_unit_test(nul_bytes_are_refused),
        cmocka_unit_test(line_that_continues_nothing_is_noted),
        cmocka_unit_test(columns_and_options_of_a_service_are_read),
        cmocka_unit_test(last_line_of_a_name_and_type_counts),
        cmocka_unit_test(bad_services_are_errors_with_their_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
