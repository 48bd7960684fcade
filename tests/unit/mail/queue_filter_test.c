/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/queue_filter.h"

#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void patterns_match_whole_texts_in_any_case(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool is_match;
    } cases[] = {
        { "", "", true },           { "", "a", false },           { "a", "", false },
        { "a@b.c", "A@B.C", true }, { "a@b.c", "a@b.cd", false }, { "*", "", true },
        { "*", "anything", true },  { "*@b.c", "x@b.c", true },   { "*@b.c", "x@bb.c", false },
        { "a*", "b", false },       { "a?c", "abc", true },       { "a?c", "ac", false },
        { "*a*b*", "xaybz", true }, { "*a*b*", "xbya", false },   { "**", "a", true },
        { "*ab", "aab", true },     { "a*b*c", "abbbc", true },   { "?", "\xff", true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(queue_pattern_matches(str_from(cases[i].pattern), str_from(cases[i].text)),
                         cases[i].is_match);
}

static void pattern_of_stars_takes_no_longer_than_its_length_times_the_texts(void **state)
{
    char pattern[2000], text[20000];

    (void)state;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    pattern[sizeof pattern - 1] = 'b';
    memset(text, 'a', sizeof text);
    assert_false(queue_pattern_matches(str_of(pattern, sizeof pattern), str_of(text, sizeof text)));
}

static void sizes_have_units(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
        uint64_t bytes;
    } cases[] = {
        { "0", true, 0 },
        { "5000", true, 5000 },
        { "10K", true, 10240 },
        { "3m", true, 3145728 },
        { "2G", true, 2147483648ULL },
        { "8388607T", true, 8388607ULL << 40 },
        { "8388608T", false, 0 },
        { "99999999999999999999", false, 0 },
        { "", false, 0 },
        { "K", false, 0 },
        { "1KK", false, 0 },
        { "-1", false, 0 },
        { "1.5K", false, 0 },
    };
    struct error error;
    uint64_t bytes;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(queue_size_parse(str_from(cases[i].text), &bytes, &error),
                         cases[i].is_good);
        if (cases[i].is_good)
            assert_int_equal(bytes, cases[i].bytes);
    }
}

static void texts_without_meaning_are_refused(void **state)
{
    static const struct queue_filter_texts cases[] = {
        { .older = STR_INIT("soon") }, { .older = STR_INIT("-1") },
        { .larger = STR_INIT("big") }, { .status = STR_INIT("deferred,lost") },
        { .reason = STR_INIT("(") },   { .reason = STR_INIT("a\0b") },
    };
    struct error error;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_null(queue_filter_new(&cases[i], &error));
}

/* A message as the cases below select it. */
static bool selects(const struct queue_filter_texts *texts, const char *sender, int64_t now_ms)
{
    struct arena arena = { 0 };
    struct envelope envelope = { .sender = str_from(sender),
                                 .arrival_us = 1000000,
                                 .size_bytes = 2048 };
    struct queue_entry entry = { .queue = QUEUE_DEFERRED, .envelope = &envelope };
    struct error error;
    struct queue_filter *filter = queue_filter_new(texts, &error);

    envelope_add_recipient(
        &arena, &envelope,
        &(struct recipient){ .address = STR("done@done.example"), .state = RECIPIENT_DELIVERED });
    envelope_add_recipient(&arena, &envelope,
                           &(struct recipient){ .address = STR("One@Slow.example"),
                                                .diagnostic = STR("Connection timed out") });
    envelope_add_recipient(&arena, &envelope,
                           &(struct recipient){ .address = STR("two@full.example"),
                                                .diagnostic = STR("mailbox is full") });
    assert_non_null(filter);
    bool is_match = queue_filter_matches(filter, &entry, now_ms);
    queue_filter_free(&filter);
    arena_clear(&arena);
    return is_match;
}

static void all_that_is_said_must_hold_for_one_recipient(void **state)
{
    static const struct {
        struct queue_filter_texts texts;
        bool is_match;
    } cases[] = {
        { { .destination = STR_INIT("slow.example") }, true },
        { { .destination = STR_INIT("done.example") }, false }, /* it waits no more */
        { { .recipient = STR_INIT("@slow.example") }, true },
        { { .recipient = STR_INIT("two@*"), .reason = STR_INIT("FULL$") }, true },
        { { .recipient = STR_INIT("two@*"), .reason = STR_INIT("timed out") }, false },
        { { .sender = STR_INIT("a@b") }, true },
        { { .sender = STR_INIT("<>") }, false },
        { { .status = STR_INIT("hold deferred") }, true },
        { { .status = STR_INIT("hold") }, false },
        { { .older = STR_INIT("1m") }, true },
        { { .older = STR_INIT("2m") }, false },
        { { .larger = STR_INIT("2K") }, true },
        { { .larger = STR_INIT("2049") }, false },
        { { .larger = STR_INIT("0") }, true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(selects(&cases[i].texts, "a@b", 1000 + 100 * 1000), cases[i].is_match);
    assert_true(selects(&(struct queue_filter_texts){ .sender = STR("<>") }, "", 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_whole_texts_in_any_case),
        cmocka_unit_test(pattern_of_stars_takes_no_longer_than_its_length_times_the_texts),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(texts_without_meaning_are_refused),
        cmocka_unit_test(all_that_is_said_must_hold_for_one_recipient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
