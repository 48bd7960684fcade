/* SPDX-License-Identifier: Apache-2.0 */
/* The texts that local delivery takes apart or makes: entries, macros, arguments, results. */
#include "alias_entry.h"
#include "command.h"
#include "copy.h"
#include "macro.h"
#include "outcome.h"
#include "pipe_settings.h"
#include "split_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void entries_are_told_apart(void **state)
{
    static const struct {
        const char *text, *entries; /* each with a newline behind it */
    } cases[] = {
        { "", "" },
        { " , ,\t", "" },
        { "a", "a\n" },
        { "a,b", "a\nb\n" },
        { "a b", "a\nb\n" },
        { "a @ b.example", "a@b.example\n" },
        { "Joe User <joe@b.example>", "joe@b.example\n" },
        { "\"Joe, User\" <joe@b.example>, x", "joe@b.example\nx\n" },
        { "<joe@b.example> later", "joe@b.example\nlater\n" },
        { "\"|cmd a, b\"", "|cmd a, b\n" },
        { "|cmd", "|cmd\n" },
        { "|cmd a", "|cmd\na\n" },
        { "\"a \\\" b\"", "a \" b\n" },
        { "\\joe", "joe\n" },
        { "\\\\joe", "\\joe\n" },
        { "\"\\\\joe\"", "\\joe\n" },
        { ":include:/a/b.c", ":include:/a/b.c\n" },
        { "\":include:/a b\"", ":include:/a b\n" },
        { "/a/b", "/a/b\n" },
        { "a (who) b", "a\nb\n" },
        { "a (nested (comment)) , b", "a\nb\n" },
        { "a (not ended, b", "a\n" },
        { "\"not ended, b", "not ended, b\n" },
        { "a; b", "a\nb\n" },
        { "\"\"", "" },
        { "a\\", "a\\\n" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena = { 0 };
        struct str rest = str_from(cases[i].text), entry;
        autofree_buf struct buf all = { 0 };
        while (alias_entry_next(&arena, &rest, &entry)) {
            buf_append(&all, entry);
            buf_append_byte(&all, '\n');
        }
        assert_string_equal(buf_text(&all), cases[i].entries);
        arena_clear(&arena);
    }
}

static void macros_stand_for_filtered_values(void **state)
{
    static const struct macro_value values[] = {
        { "user", STR_INIT("joe") },
        { "extension", STR_INIT("") },
        { "sender", STR_INIT("-a`id`$user") },
        { NULL, STR_INIT("") },
    };
    const struct macros macros = { values, STR("abcdefghijklmnopqrstuvwxyz") };
    static const struct {
        const char *text, *out;
        bool has_undefined;
    } cases[] = {
        { "plain", "plain", false },
        { "$user", "joe", false },
        { "${user}x$(user)", "joexjoe", false },
        { "$sender", "_a_id__user", false },
        { "x$extension", "x", true },
        { "${extension?a}b", "b", false },
        { "${extension:a}b", "ab", false },
        { "${user?{a$user}:{b}}", "ajoe", false },
        { "${extension?{a}:{b$user}}", "bjoe", false },
        { "$$user", "$user", false },
        { "$nobody", "", true },
    };
    static const char *const malformed[] = { "$",       "${",        "${user",       "${}",
                                             "$(user}", "${user!a}", "${user?{a}b}", "$ user" };
    struct macro_use use;
    struct error error;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        autofree_buf struct buf out = { 0 };
        assert_true(macro_expand(&macros, str_from(cases[i].text), &out, &use, &error));
        assert_string_equal(buf_text(&out), cases[i].out);
        assert_int_equal(use.has_undefined, cases[i].has_undefined);
    }
    for (size_t i = 0; i < COUNT(malformed); i++) {
        autofree_buf struct buf out = { 0 };
        assert_false(macro_expand(&macros, str_from(malformed[i]), &out, NULL, &error));
    }
}

static void shell_is_asked_only_where_it_is_needed(void **state)
{
    (void)state;
    assert_true(command_is_plain(STR("/usr/bin/procmail -a x")));
    assert_false(command_is_plain(STR("exec procmail")));
    assert_false(command_is_plain(STR("a | b")));
    assert_false(command_is_plain(STR("a \"b\"")));
    assert_false(command_is_plain(STR("a $b")));
    assert_false(command_is_plain(STR("  ")));
}

static void program_results_become_statuses(void **state)
{
    struct outcome outcome;

    (void)state;
    outcome_from_exit(&outcome, 0, "x", STR("noise"));
    assert_string_equal(outcome.dsn, "2.0.0");
    outcome_from_exit(&outcome, 75, "x", STR(""));
    assert_string_equal(outcome.dsn, "4.3.0");
    outcome_from_exit(&outcome, 75, "x", STR("5.7.1 never"));
    assert_string_equal(outcome.dsn, "5.7.1");
    assert_string_equal(outcome.text, "never");
    outcome_from_exit(&outcome, 3, "x", STR("2.0.0 fine"));
    assert_string_equal(outcome.dsn, "5.3.0");
    outcome_from_exit(&outcome, 3, "x", STR("4.1234.1 odd"));
    assert_string_equal(outcome.text,
                        "Command died with status 3: \"x\". Command output: 4.1234.1 odd");
}

static void message_is_copied_as_a_mailbox_wants_it(void **state)
{
    struct copy copy = {
        .flags = COPY_MBOX,
        .sender = STR(""),
        .original_to = STR("a b@x.example"),
        .delivered_to = STR("c@x.example"),
        .content = STR("Subject: x\r\n\r\nFrom me\r\n>From you\r\nbare\nlast"),
        .eol = STR("\n"),
    };
    autofree_buf struct buf out = { 0 };

    (void)state;
    copy_format(&copy, &out);
    assert_true(str_starts_with(buf_str(&out), STR("From MAILER-DAEMON  Thu Jan  1 ")));
    struct str rest = buf_str(&out);
    (void)str_cut(&rest, "\n");
    assert_true(str_equal(rest, STR("Return-Path: <>\nX-Original-To: \"a b\"@x.example\n"
                                    "Delivered-To: c@x.example\nSubject: x\n\n>From me\n"
                                    ">From you\nbare\nlast\n\n")));
}

static bool parse(struct arena *arena, const char *text, struct pipe_settings *settings)
{
    struct str words[32], rest = str_from(text);
    struct error error;
    size_t count = 0;

    while (count < COUNT(words) && str_next_word(&rest, " ", &words[count]))
        count++;
    return pipe_settings_parse(arena, words, count, settings, &error);
}

static void pipe_lines_are_understood_or_refused(void **state)
{
    struct arena arena = { 0 };
    struct pipe_settings settings;

    (void)state;
    assert_true(
        parse(&arena, "-v -o a=b flags=DRhu user=x:y size=10 eol=\\r\\n argv=/a -o b", &settings));
    assert_true(settings.copy_flags == (COPY_DELIVERED | COPY_RETURN_PATH));
    assert_true(settings.folds_domain && settings.folds_local && !settings.quotes_local);
    assert_true(str_equal(settings.user, STR("x")) && str_equal(settings.group, STR("y")));
    assert_true(str_equal(settings.eol, STR("\r\n")));
    assert_int_equal(settings.argument_count, 3);
    assert_false(parse(&arena, "user=x", &settings));
    assert_false(parse(&arena, "argv=x", &settings));
    assert_false(parse(&arena, "user=x argv=", &settings));
    assert_false(parse(&arena, "user=x flags=Z argv=x", &settings));
    assert_false(parse(&arena, "user=x size=1k argv=x", &settings));
    assert_false(parse(&arena, "user=x chroot=a argv=x", &settings));
    assert_false(parse(&arena, "user=x nonsense argv=x", &settings));
    arena_clear(&arena);
}

static void one_macro_is_one_argument(void **state)
{
    struct arena arena = { 0 };
    struct pipe_settings settings;
    const struct pipe_recipient recipients[] = {
        { .address = STR("a b@x"), .user = STR("a b"), .extension = STR("") },
        { .address = STR("$(id)@x"), .user = STR("$(id)"), .extension = STR("e") },
    };
    struct pipe_delivery delivery = { .values = { { "sender", STR_INIT("") },
                                                  { NULL, STR_INIT("") } },
                                      .recipients = recipients,
                                      .recipient_count = 2 };
    static const char *const expected[] = { "/x", "-f", "", "a b@x", "$(id)@x", "-e", "-ee", "$y" };
    struct error error;

    (void)state;
    assert_true(
        parse(&arena, "user=x argv=/x -f ${sender} $(recipient) -e${extension} $$y", &settings));
    const char *const *arguments = pipe_arguments(&arena, &settings, &delivery, &error);
    assert_non_null(arguments);
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_string_equal(arguments[i], expected[i]);
    assert_null(arguments[COUNT(expected)]);
    assert_true(parse(&arena, "user=x argv=/x ${nobody}", &settings));
    assert_null(pipe_arguments(&arena, &settings, &delivery, &error));
    assert_true(parse(&arena, "user=x argv=/x ${sender", &settings));
    assert_null(pipe_arguments(&arena, &settings, &delivery, &error));
    arena_clear(&arena);
}

static void addresses_are_split_at_the_first_delimiter(void **state)
{
    struct config config = { .recipient_delimiter = STR("+-"),
                             .owner_request_special = true,
                             .double_bounce_sender = STR("double-bounce") };
    static const struct {
        const char *local, *user, *extension;
    } cases[] = {
        { "joe", "joe", "" },
        { "joe+x", "joe", "x" },
        { "joe-a+b", "joe", "a+b" },
        { "+x", "+x", "" },
        { "owner-list", "owner-list", "" },
        { "list-request", "list-request", "" },
        { "double-bounce", "double-bounce", "" },
        { "mailer-daemon", "mailer-daemon", "" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct split_address split = split_address(str_from(cases[i].local), &config);
        assert_true(str_equal(split.user, str_from(cases[i].user)));
        assert_true(str_equal(split.extension, str_from(cases[i].extension)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_told_apart),
        cmocka_unit_test(macros_stand_for_filtered_values),
        cmocka_unit_test(shell_is_asked_only_where_it_is_needed),
        cmocka_unit_test(program_results_become_statuses),
        cmocka_unit_test(message_is_copied_as_a_mailbox_wants_it),
        cmocka_unit_test(pipe_lines_are_understood_or_refused),
        cmocka_unit_test(one_macro_is_one_argument),
        cmocka_unit_test(addresses_are_split_at_the_first_delimiter),
    };
    return cmocka_run_group_tests_name("roles/local_texts", tests, NULL, NULL);
}
