/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_settings.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
    ALL = 1 << TLS_SSL3 | 1 << TLS_1_0 | 1 << TLS_1_1 | 1 << TLS_1_2 | 1 << TLS_1_3,
    FROM_1_2 = 1 << TLS_1_2 | 1 << TLS_1_3,
};

static void protocol_lists_are_read_as_postfix_reads_them(void **state)
{
    static const struct {
        const char *text;
        unsigned allowed; /* 0: refused */
    } cases[] = {
        { "", ALL },
        { ">=TLSv1.2", FROM_1_2 },
        { "<=TLSv1.1, !SSLv3", 1 << TLS_1_0 | 1 << TLS_1_1 },
        { "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", FROM_1_2 },
        { "TLSv1.2:tlsv1.3", FROM_1_2 },
        { "TLSv1.2 !TLSv1.2", 0 },
        { "SSLv2", 0 },
        { ">=TLSv1.3 <=TLSv1.2", 0 },
        { "TLSv1.4", 0 },
        { ">=", 0 },
        { "!", 0 },
        { "=TLSv1.2", 0 },
    };
    struct tls_protocols protocols;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool is_read = tls_protocols_parse(str_from(cases[i].text), &protocols);
        assert_int_equal(is_read, cases[i].allowed != 0);
        if (is_read)
            assert_int_equal(protocols.allowed, cases[i].allowed);
    }
}

static void note_word(void *argument, struct str word)
{
    *(struct str *)argument = word;
}

static void unknown_word_makes_the_log_level_nothing(void **state)
{
    struct str unknown = STR("");

    (void)state;
    assert_int_equal(tls_log_parse(STR("1"), NULL, NULL), TLS_LOG_SUMMARY | TLS_LOG_UNTRUSTED);
    assert_true((tls_log_parse(STR("2"), NULL, NULL) & TLS_LOG_VERBOSE) != 0);
    assert_int_equal(tls_log_parse(STR("summary, cache"), NULL, NULL),
                     TLS_LOG_SUMMARY | TLS_LOG_CACHE);
    assert_int_equal(tls_log_parse(STR("1 # be more verbose"), note_word, &unknown), 0);
    assert_true(str_equal(unknown, STR("#")));
}

static void levels_have_their_names(void **state)
{
    enum tls_level level;

    (void)state;
    for (enum tls_level each = TLS_LEVEL_NONE; each <= TLS_LEVEL_SECURE; each++) {
        assert_true(tls_level_parse(str_from(tls_level_name(each)), &level));
        assert_int_equal(level, each);
    }
    assert_false(tls_level_parse(STR("secured"), &level));
    assert_false(tls_level_parse(STR(""), &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocol_lists_are_read_as_postfix_reads_them),
        cmocka_unit_test(unknown_word_makes_the_log_level_nothing),
        cmocka_unit_test(levels_have_their_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
