/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/bounce_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct arena arena;
    struct config_source source;
    struct config *config;
    struct bounce_templates templates;
    struct buf warnings;
};

static void hear(void *argument, const char *text)
{
    struct fixture *fixture = argument;

    buf_append_text(&fixture->warnings, text);
    buf_append_byte(&fixture->warnings, '\n');
}

static void read_file(struct fixture *fixture, const char *text)
{
    const struct bounce_template_heard heard = { hear, fixture };

    buf_clear(&fixture->warnings);
    bounce_templates_make(&fixture->arena, fixture->config, "file", str_from(text), &heard,
                          &fixture->templates);
}

static int make(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error = { 0 };

    if (!config_source_parse("/tmp",
                             STR("compatibility_level = 3.6\nmyhostname = mail.example.test\n"
                                 "delay_warning_time = 4h\nmine = own text\n"),
                             STR(""), &fixture->source, &error))
        fail_msg("%s", error.message);
    fixture->config = config_new(&fixture->source, NULL, NULL, NULL, &error);
    if (fixture->config == NULL)
        fail_msg("%s", error.message);
    *state = fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;

    config_free(&fixture->config);
    config_source_free(&fixture->source);
    arena_clear(&fixture->arena);
    buf_free(&fixture->warnings);
    free(fixture);
    return 0;
}

static void expect(struct str got, const char *expected)
{
    if (!str_equal(got, str_from(expected)))
        fail_msg("expected: %s\ngot: %.*s", expected, STR_ARGS(got));
}

static void all_four_are_there_without_a_file(void **state)
{
    struct fixture *fixture = *state;

    read_file(fixture, "");
    expect(buf_str(&fixture->warnings), "");
    for (int i = 0; i < TEMPLATE_KINDS; i++) {
        const struct bounce_template *template = &fixture->templates.kinds[i];
        assert_true(str_starts_with(template->text,
                                    STR("This is the mail system at host mail.example.test.\n")));
        assert_true(str_find_byte(template->text, '$') < 0);
        assert_true(template->subject.len > 0);
        expect(template->charset, "us-ascii");
    }
    assert_true(str_find(fixture->templates.kinds[TEMPLATE_DELAY].text, STR(" 4 hour(s)")) > 0);
    assert_true(str_find(fixture->templates.kinds[TEMPLATE_DELAY].text, STR("5 day(s)")) > 0);
}

static void a_file_replaces_what_it_has(void **state)
{
    struct fixture *fixture = *state;
    const struct bounce_template *template = &fixture->templates.kinds[TEMPLATE_FAILURE];

    read_file(fixture, "# comment\n\n"
                       "failure_template = <<END\n"
                       "charset: utf-8\n"
                       "From: me@here\n"
                       "SUBJECT:  It failed \n"
                       "\n"
                       "$mine $$x ${delay_warning_time_minutes} $(maximal_queue_lifetime_weeks)\n"
                       "  \\ Gr\xc3\xbc\xc3\x9f"
                       "e\n"
                       "END\n");
    expect(buf_str(&fixture->warnings), "");
    expect(template->charset, "utf-8");
    expect(template->from, "me@here");
    expect(template->subject, "It failed");
    expect(template->postmaster_subject, "Postmaster Copy: Undelivered Mail");
    expect(template->text, "own text $x 240 0\n  \\ Gr\xc3\xbc\xc3\x9f"
                           "e\n");
    assert_true(str_starts_with(fixture->templates.kinds[TEMPLATE_SUCCESS].text,
                                STR("This is the mail system")));
}

static void text_may_begin_at_once(void **state)
{
    struct fixture *fixture = *state;

    read_file(fixture, "success_template = <<EOF\nJust text\nand: more\nEOF\n");
    expect(fixture->templates.kinds[TEMPLATE_SUCCESS].text, "Just text\nand: more\n");
    read_file(fixture, "success_template = one line\n");
    expect(fixture->templates.kinds[TEMPLATE_SUCCESS].text, "one line");
}

static void what_is_wrong_is_told_and_not_used(void **state)
{
    static const struct {
        const char *text, *warning;
    } cases[] = {
        { "bogus_template = <<E\nx\nE\n", "unknown template name: bogus_template" },
        { "failure = <<E\nx\nE\n", "unknown template name: failure" },
        { "failure_template = <<E\nFoo: x\n\nx\nE\n", "unknown \"Foo\" header label" },
        { "failure_template = <<E\nSubject: n\xc3\xbc\n\nx\nE\n", "non-ASCII \"Subject\"" },
        { "failure_template = <<E\nSubject:\n\nx\nE\n", "empty \"Subject\"" },
        { "failure_template = <<E\nSubject: x\nE\n", "missing message text" },
        { "failure_template = <<E\n\nGr\xc3\xbc\nE\n", "8-bit message text" },
        { "failure_template = <<E\n\n$nobody_knows\nE\n", "undefined name $nobody_knows" },
        { "failure_template = <<E\n\n${delay_warning_time_years}\nE\n", "undefined name" },
        { "failure_template = <<E\n\n${x\nE\n", "failure template: " },
        { "failure_template <<E\n", "missing '=' after attribute name" },
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_file(fixture, cases[i].text);
        if (str_find(buf_str(&fixture->warnings), str_from(cases[i].warning)) < 0)
            fail_msg("%s: %s", cases[i].text, buf_text(&fixture->warnings));
        assert_true(str_starts_with(fixture->templates.kinds[TEMPLATE_FAILURE].text,
                                    STR("This is the mail system")));
        expect(fixture->templates.kinds[TEMPLATE_FAILURE].subject,
               "Undelivered Mail Returned to Sender");
    }
    read_file(fixture, "failure_template = <<E\n\nno end\n");
    assert_true(str_find(buf_str(&fixture->warnings), STR("missing \"E\" end marker")) > 0);
    expect(fixture->templates.kinds[TEMPLATE_FAILURE].text, "no end\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_four_are_there_without_a_file, make, end),
        cmocka_unit_test_setup_teardown(a_file_replaces_what_it_has, make, end),
        cmocka_unit_test_setup_teardown(text_may_begin_at_once, make, end),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_told_and_not_used, make, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
