/* SPDX-License-Identifier: Apache-2.0 */
#include "sendmail_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { WORDS_MAX = 8 };

struct expected {
    const char *words[WORDS_MAX]; /* behind the program's name */
    bool is_good;
    enum sendmail_mode mode;
    const char *sender;
    bool takes_header_recipients, ignores_dots;
    int first_recipient; /* index into words */
};

static int parse(const char *const *words, struct sendmail_options *options, struct error *error)
{
    char *argv[WORDS_MAX + 2] = { NULL };
    char copies[WORDS_MAX + 1][64];
    int argc = 1;

    snprintf(copies[0], sizeof copies[0], "sendmail");
    argv[0] = copies[0];
    for (; argc <= WORDS_MAX && words[argc - 1] != NULL; argc++) {
        snprintf(copies[argc], sizeof copies[argc], "%s", words[argc - 1]);
        argv[argc] = copies[argc];
    }
    bool is_good = sendmail_options_parse(argc, argv, SENDMAIL_DELIVER, options, error);
    /* The copies go out of scope: compare here what points into them. */
    if (is_good && options->sender != NULL)
        snprintf(error->message, sizeof error->message, "%s", options->sender);
    return is_good;
}

static void check(const struct expected *expected)
{
    struct sendmail_options options;
    struct error error = { 0 };

    assert_int_equal(parse(expected->words, &options, &error), expected->is_good);
    if (!expected->is_good) {
        assert_true(error.message[0] != '\0');
        return;
    }
    assert_int_equal(options.mode, expected->mode);
    assert_int_equal(options.sender != NULL, expected->sender != NULL);
    if (expected->sender != NULL)
        assert_string_equal(error.message, expected->sender);
    assert_int_equal(options.takes_header_recipients, expected->takes_header_recipients);
    assert_int_equal(options.ignores_dots, expected->ignores_dots);
    assert_int_equal(options.first_recipient - 1, expected->first_recipient);
}

static void options_mean_what_thirty_years_of_callers_think(void **state)
{
    /* clang-format off */
    static const struct expected cases[] = {
        { { "a@b" },                       true, SENDMAIL_DELIVER, NULL, false, false, 0 },
        { { "-t" },                        true, SENDMAIL_DELIVER, NULL, true, false, 1 },
        { { "-ti" },                       true, SENDMAIL_DELIVER, NULL, true, true, 1 },
        { { "-oi", "-t" },                 true, SENDMAIL_DELIVER, NULL, true, true, 2 },
        { { "-oem", "-oit", "x" },         true, SENDMAIL_DELIVER, NULL, false, true, 2 },
        { { "-fjoe", "x" },                true, SENDMAIL_DELIVER, "joe", false, false, 1 },
        { { "-f", "joe", "x" },            true, SENDMAIL_DELIVER, "joe", false, false, 2 },
        { { "-if", "joe", "x" },           true, SENDMAIL_DELIVER, "joe", false, true, 2 },
        { { "-i", "-r", "joe", "x" },      true, SENDMAIL_DELIVER, "joe", false, true, 3 },
        { { "-f", "", "x" },               true, SENDMAIL_DELIVER, "", false, false, 2 },
        { { "-f", "<>", "--", "-x" },      true, SENDMAIL_DELIVER, "<>", false, false, 3 },
        { { "x", "-f", "joe" },            true, SENDMAIL_DELIVER, NULL, false, false, 0 },
        { { "-", "x" },                    true, SENDMAIL_DELIVER, NULL, false, false, 0 },
        { { "-bp" },                       true, SENDMAIL_LIST, NULL, false, false, 1 },
        { { "-bs" },                       true, SENDMAIL_SMTP, NULL, false, false, 1 },
        { { "-bs", "-bm", "x" },           true, SENDMAIL_DELIVER, NULL, false, false, 2 },
        { { "-bi" },                       true, SENDMAIL_ALIASES, NULL, false, false, 1 },
        { { "-I" },                        true, SENDMAIL_ALIASES, NULL, false, false, 1 },
        { { "-bv", "x" },                  true, SENDMAIL_VERIFY, NULL, false, false, 1 },
        { { "-bd", "-q30m" },              true, SENDMAIL_DAEMON, NULL, false, false, 2 },
        { { "-q" },                        true, SENDMAIL_FLUSH, NULL, false, false, 1 },
        { { "-q15m" },                     true, SENDMAIL_NOTHING, NULL, false, false, 1 },
        { { "-qIABC" },                    true, SENDMAIL_FLUSH, NULL, false, false, 1 },
        { { "-qRsite" },                   true, SENDMAIL_FLUSH, NULL, false, false, 1 },
        { { "-qSx" },                      false, SENDMAIL_DELIVER, NULL, false, false, 0 },
        { { "-qI" },                       false, SENDMAIL_DELIVER, NULL, false, false, 0 },
        { { "-h", "30", "-n", "-m", "x" }, true, SENDMAIL_DELIVER, NULL, false, false, 4 },
        { { "-L", "tag", "-Xlog", "-U", "x" }, true, SENDMAIL_DELIVER, NULL, false, false, 4 },
        { { "-Am", "-O", "a=b", "x" },     true, SENDMAIL_DELIVER, NULL, false, false, 3 },
        { { "-B", "8BITMIME", "x" },       true, SENDMAIL_DELIVER, NULL, false, false, 2 },
        { { "-B", "9BIT", "x" },           false, SENDMAIL_DELIVER, NULL, false, false, 0 },
        { { "-N", "nonsense", "x" },       true, SENDMAIL_DELIVER, NULL, false, false, 2 },
        { { "-XV", "x" },                  true, SENDMAIL_DELIVER, NULL, false, false, 1 },
        { { "-XV-+", "x" },                true, SENDMAIL_DELIVER, NULL, false, false, 1 },
        { { "-V", "-i", "x" },             true, SENDMAIL_DELIVER, NULL, false, true, 2 },
        { { "-V", "id", "x" },             true, SENDMAIL_DELIVER, NULL, false, false, 2 },
        { { "-V+=", "x" },                 true, SENDMAIL_DELIVER, NULL, false, false, 1 },
        { { "-v", "x" },                   true, SENDMAIL_DELIVER, NULL, false, false, 1 },
        { { "-bx" },                       false, SENDMAIL_DELIVER, NULL, false, false, 0 },
        { { "-Z" },                        false, SENDMAIL_DELIVER, NULL, false, false, 0 },
        { { "-f" },                        false, SENDMAIL_DELIVER, NULL, false, false, 0 },
        { { "-it", "-F" },                 false, SENDMAIL_DELIVER, NULL, false, false, 0 },
    };
    /* clang-format on */

    for (size_t i = 0; i < COUNT(cases); i++)
        check(&cases[i]);
}

static void notification_options_become_envelope_bits(void **state)
{
    static const struct {
        const char *words[WORDS_MAX];
        uint8_t notify;
        uint32_t flags;
        bool has_warning;
    } cases[] = {
        { { "-N", "never", "x" }, DSN_NOTIFY_NEVER, 0, false },
        { { "-N", "success,Failure", "x" }, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE, 0, false },
        { { "-N", "delay, success", "x" }, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY, 0, false },
        { { "-N", "never,success", "x" }, 0, 0, true },
        { { "-R", "hdrs", "x" }, 0, ENVELOPE_RET_HEADERS, false },
        { { "-R", "hdrs", "-Rfull", "x" }, 0, ENVELOPE_RET_FULL, false },
        { { "-R", "some", "x" }, 0, 0, true },
        { { "-B8bitmime", "x" }, 0, ENVELOPE_8BITMIME, false },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sendmail_options options;
        struct error error = { 0 };
        assert_true(parse(cases[i].words, &options, &error));
        assert_int_equal(options.dsn_notify, cases[i].notify);
        assert_int_equal(options.envelope_flags, cases[i].flags);
        assert_int_equal(options.warning != NULL, cases[i].has_warning);
    }
}

static void no_words_at_all_are_no_crash(void **state)
{
    struct sendmail_options options;
    struct error error;
    char *const argv[] = { NULL };

    assert_true(sendmail_options_parse(0, argv, SENDMAIL_LIST, &options, &error));
    assert_int_equal(options.mode, SENDMAIL_LIST);
    assert_int_equal(options.first_recipient, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_mean_what_thirty_years_of_callers_think),
        cmocka_unit_test(notification_options_become_envelope_bits),
        cmocka_unit_test(no_words_at_all_are_no_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
