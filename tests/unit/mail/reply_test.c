/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/reply.h"
#include "mail/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void request_lines_split_into_verb_and_argument(void **state)
{
    static const struct {
        struct str line;
        bool is_request;
        const char *verb, *argument;
        bool has_control;
    } cases[] = {
        { STR_INIT("EHLO a.example"), true, "EHLO", "a.example", false },
        { STR_INIT("  quit  "), true, "quit", "", false },
        { STR_INIT("RCPT\tTO:<a@b>  X=y "), true, "RCPT", "TO:<a@b>  X=y", false },
        { STR_INIT("QUIT\r\r"), true, "QUIT", "", false },
        { STR_INIT(""), false, "", "", false },
        { STR_INIT("\r"), false, "", "", false },
        { STR_INIT(" \t "), false, "", "", false },
        { STR_INIT("MAIL a\0b"), true, "MAIL", NULL, true },
        { STR_INIT("MAIL a\rb"), true, "MAIL", "a\rb", true },
        { STR_INIT("EHLO \x1b[31m"), true, "EHLO", "\x1b[31m", true },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request request;
        assert_int_equal(request_parse(cases[i].line, &request), cases[i].is_request);
        assert_true(str_equal(request.verb, str_from(cases[i].verb)));
        assert_int_equal(request.has_control, cases[i].has_control);
        if (cases[i].argument != NULL)
            assert_true(str_equal(request.argument, str_from(cases[i].argument)));
    }
    assert_true(request_helo_is_valid(STR("a.example")));
    assert_false(request_helo_is_valid(STR("")));
    assert_false(request_helo_is_valid(STR("a b")));
}

static void replies_come_together_from_their_lines(void **state)
{
    static const struct {
        const char *lines[4];
        enum reply_progress progress;
        int code;
        const char *enhanced, *status, *text;
    } cases[] = {
        { { "250 2.0.0 Ok" }, REPLY_COMPLETE, 250, "2.0.0", "2.0.0", "250 2.0.0 Ok" },
        { { "250-a", "250-b", "250 c" }, REPLY_COMPLETE, 250, "", "2.0.0", "250-a 250-b 250 c" },
        { { "550 5.1.1 who\x1b[m\t?" },
          REPLY_COMPLETE,
          550,
          "5.1.1",
          "5.1.1",
          "550 5.1.1 who?[m ?" },
        { { "550 4.1.1 odd" }, REPLY_COMPLETE, 550, "", "5.0.0", "550 4.1.1 odd" },
        { { "450-4.7.1 a", "450 b" }, REPLY_COMPLETE, 450, "", "4.0.0", "450-4.7.1 a 450 b" },
        { { "421" }, REPLY_COMPLETE, 421, "", "4.0.0", "421" },
        { { "250" }, REPLY_COMPLETE, 250, "", "2.0.0", "250" },
        { { "550 5.1.1234 x" }, REPLY_COMPLETE, 550, "", "5.0.0", "550 5.1.1234 x" },
        { { "550 5.1.1x" }, REPLY_COMPLETE, 550, "", "5.0.0", "550 5.1.1x" },
        { { "2" }, REPLY_MALFORMED, 0, "", NULL, "2" },
        { { "25" }, REPLY_MALFORMED, 0, "", NULL, "25" },
        { { "999 x" }, REPLY_MALFORMED, 0, "", NULL, "999 x" },
        { { "150 x" }, REPLY_MALFORMED, 0, "", NULL, "150 x" },
        { { "2500 x" }, REPLY_MALFORMED, 0, "", NULL, "2500 x" },
        { { "250x" }, REPLY_MALFORMED, 0, "", NULL, "250x" },
        { { "" }, REPLY_MALFORMED, 0, "", NULL, "" },
        { { "250-a", "251 b" }, REPLY_MALFORMED, 250, "", NULL, "250-a 251 b" },
        { { "250-a", "garbage" }, REPLY_MALFORMED, 250, "", NULL, "250-a garbage" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct reply reply = { 0 };
        struct buf shown = { 0 };
        enum reply_progress progress = REPLY_MORE;
        for (int line = 0; line < 4 && cases[i].lines[line] != NULL; line++)
            progress = reply_add_line(&reply, str_from(cases[i].lines[line]));
        reply_format(&reply, &shown);
        if (progress != cases[i].progress || reply.code != cases[i].code)
            fail_msg("case %zu: %s: progress %d, code %d", i, buf_text(&shown), (int)progress,
                     reply.code);
        assert_string_equal(reply.enhanced, cases[i].enhanced);
        assert_string_equal(buf_text(&shown), cases[i].text);
        if (cases[i].status != NULL)
            assert_true(str_equal(reply_status(&reply), str_from(cases[i].status)));
        buf_free(&shown);
        reply_free(&reply);
    }
}

static void an_endless_reply_is_bounded(void **state)
{
    struct reply reply = { 0 };
    char line[2000];
    int count = 0;

    memset(line, 'x', sizeof line);
    memcpy(line, "250-", 4);
    while (reply_add_line(&reply, str_of(line, sizeof line)) == REPLY_MORE)
        count++;
    assert_int_equal(count, REPLY_LINES_MAX);
    assert_true(reply.is_truncated);
    assert_true(reply.text.len <= (REPLY_LINE_BYTES_MAX + 1) * REPLY_LINES_MAX);
    reply_clear(&reply);
    assert_int_equal(reply_add_line(&reply, STR("250 PIPELINING")), REPLY_COMPLETE);
    struct str text;
    assert_true(reply_line(&reply, 0, &text));
    assert_true(str_equal(text, STR("PIPELINING")));
    assert_false(reply_line(&reply, 1, &text));
    reply_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_lines_split_into_verb_and_argument),
        cmocka_unit_test(replies_come_together_from_their_lines),
        cmocka_unit_test(an_endless_reply_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
