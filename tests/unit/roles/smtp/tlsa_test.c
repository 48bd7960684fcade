/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct tlsa_digests both = { { TLSA_SHA512, TLSA_SHA256 }, 2 };

static struct tls_tlsa record(uint8_t usage, uint8_t selector, uint8_t type, size_t bytes)
{
    static const char zeros[100];

    return (struct tls_tlsa){ usage, selector, type, str_of(zeros, bytes) };
}

static void digest_lists_are_read_or_mean_none(void **state)
{
    static const struct {
        const char *text;
        bool is_fine;
        size_t count;
        uint8_t first;
    } cases[] = {
        { "sha512 sha256", true, 2, TLSA_SHA512 },
        { "sha256, sha512", true, 2, TLSA_SHA256 },
        { "SHA256=1", true, 1, TLSA_SHA256 },
        { "sha256 sha256", true, 1, TLSA_SHA256 },
        { "", true, 0, 0 },
        { "sha512 sha256=2", false, 0, 0 },
        { "sha512 md5", false, 0, 0 },
        { "sha256=x", false, 0, 0 },
    };
    struct tlsa_digests digests;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(tlsa_digests_parse(str_from(cases[i].text), &digests), cases[i].is_fine);
        assert_int_equal(digests.count, cases[i].count);
        if (digests.count > 0)
            assert_int_equal(digests.types[0], cases[i].first);
    }
}

static void records_without_data_are_none(void **state)
{
    struct tls_tlsa parsed;

    for (size_t bytes = 0; bytes <= 3; bytes++)
        assert_false(tlsa_parse(str_of("\3\1\1", bytes), &parsed));
    assert_true(tlsa_parse(STR("\3\1\1x"), &parsed));
    assert_int_equal(parsed.usage, 3);
    assert_int_equal(parsed.selector, 1);
    assert_int_equal(parsed.matching_type, 1);
    assert_true(str_equal(parsed.data, STR("x")));
}

static void only_what_can_match_is_usable(void **state)
{
    static const struct {
        uint8_t usage, selector, type;
        size_t bytes;
        bool is_usable;
    } cases[] = {
        { 3, 1, 1, 32, true },  { 2, 0, 2, 64, true },  { 3, 0, 0, 10, true },
        { 0, 1, 1, 32, false }, { 1, 1, 1, 32, false }, { 4, 1, 1, 32, false },
        { 3, 2, 1, 32, false }, { 3, 1, 3, 32, false }, { 3, 1, 1, 31, false },
        { 3, 1, 1, 64, false }, { 3, 1, 2, 32, false }, { 255, 255, 255, 1, false },
    };
    const struct tlsa_digests sha512 = { { TLSA_SHA512 }, 1 };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls_tlsa one =
            record(cases[i].usage, cases[i].selector, cases[i].type, cases[i].bytes);
        assert_int_equal(tlsa_is_usable(&one, &both), cases[i].is_usable);
    }
    struct tls_tlsa weaker = record(3, 1, 1, 32);
    assert_false(tlsa_is_usable(&weaker, &sha512));
}

static void the_best_digest_of_each_thing_counts(void **state)
{
    struct tls_tlsa records[] = {
        record(3, 1, 1, 32), /* outdone by the next but one */
        record(3, 0, 1, 32), record(3, 1, 2, 64), record(2, 1, 1, 32),
        record(3, 1, 0, 10), record(3, 1, 1, 32), record(3, 1, 2, 64),
    };
    size_t count = tlsa_keep_best(records, sizeof records / sizeof records[0], &both);
    autofree_buf struct buf text = { 0 };

    for (size_t i = 0; i < count; i++)
        buf_printf(&text, "%u%u%u ", records[i].usage, records[i].selector,
                   records[i].matching_type);
    assert_string_equal(buf_text(&text), "301 312 211 310 312 ");
}

static void records_are_sorted_and_written_as_postfix_has_it(void **state)
{
    struct tls_tlsa records[] = {
        { 3, 1, 1, STR("b") }, { 0, 1, 1, STR("z") },  { 3, 0, 1, STR("c") },
        { 3, 1, 1, STR("a") }, { 3, 1, 1, STR("ab") },
    };
    autofree_buf struct buf text = { 0 };

    tlsa_sort(records, 5);
    for (size_t i = 0; i < 5; i++) {
        tlsa_format(&records[i], &text);
        buf_append_byte(&text, ';');
    }
    assert_string_equal(buf_text(&text), "0 1 1 7A;3 0 1 63;3 1 1 61;3 1 1 6162;3 1 1 62;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_lists_are_read_or_mean_none),
        cmocka_unit_test(records_without_data_are_none),
        cmocka_unit_test(only_what_can_match_is_usable),
        cmocka_unit_test(the_best_digest_of_each_thing_counts),
        cmocka_unit_test(records_are_sorted_and_written_as_postfix_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
