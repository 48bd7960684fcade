/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver's own memory: its answers, and its doubts. */
#include "answer_cache.h"
#include "nxdomain_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct str domain(char *text, size_t size, int number)
{
    return str_of(text, (size_t)snprintf(text, size, "domain%d.example", number));
}

static void few_absent_names_are_believed(void **state)
{
    struct nxdomain_guard guard = { 0 };
    char text[64];

    for (int i = 0; i < 100; i++)
        assert_false(nxdomain_guard_note(&guard, domain(text, sizeof text, i), i % 10 == 0, 1000));
    assert_false(nxdomain_guard_doubts(&guard, 1000));
    /* The same absent name again and again is one name. */
    for (int i = 0; i < 1000; i++)
        assert_false(nxdomain_guard_note(&guard, STR("absent.example"), true, 1000));
}

static void sudden_absence_is_doubted_for_a_while(void **state)
{
    struct nxdomain_guard guard = { 0 };
    char text[64];
    int began_with = -1;

    for (int i = 0; i < 60 && began_with < 0; i++)
        if (nxdomain_guard_note(&guard, domain(text, sizeof text, i), true, 5000))
            began_with = i;
    assert_in_range(began_with, NXDOMAIN_GUARD_DOMAINS_MIN - 1, NXDOMAIN_GUARD_DOMAINS_MIN + 5);
    assert_true(nxdomain_guard_doubts(&guard, 5000 + NXDOMAIN_GUARD_DOUBT_MS - 1));
    assert_false(nxdomain_guard_doubts(&guard, 5000 + NXDOMAIN_GUARD_DOUBT_MS));
}

/* Where the domains stand in the guard's table is by chance: none may hide another. */
static void every_domain_counts_wherever_it_stands(void **state)
{
    char text[64];

    (void)state;
    for (int round = 0; round < 500; round++) {
        struct nxdomain_guard guard = { 0 };
        for (int i = 0; i < NXDOMAIN_GUARD_DOMAINS_MIN - 1; i++)
            assert_false(nxdomain_guard_note(&guard, domain(text, sizeof text, round * 1000 + i),
                                             true, 5000));
        assert_true(
            nxdomain_guard_note(&guard, domain(text, sizeof text, round * 1000 + 999), true, 5000));
    }
}

static void slow_absence_is_believed(void **state)
{
    struct nxdomain_guard guard = { 0 };
    char text[64];

    for (int i = 0; i < 200; i++)
        assert_false(nxdomain_guard_note(&guard, domain(text, sizeof text, i), true,
                                         (int64_t)i * (NXDOMAIN_GUARD_WINDOW_MS / 15)));
}

static void answers_are_kept_until_they_are_old(void **state)
{
    struct answer_cache cache;
    struct dns_record record = { .preference = 5, .name = STR("mx.example"), .data = STR("") };
    struct dns_answer answer = { .outcome = DNS_FOUND,
                                 .ttl_s = 10,
                                 .canonical_name = STR("example"),
                                 .records = &record,
                                 .record_count = 1,
                                 .reason = STR("") };

    answer_cache_init(&cache);
    answer_cache_add(&cache, &(struct answer_key){ DNS_MX, false, STR("Example") }, &answer, 1000);
    const struct answer_key key = { DNS_MX, false, STR("eXAMPLE") };
    const struct dns_answer *found = answer_cache_find(&cache, &key, 10999);
    assert_non_null(found);
    assert_int_equal(found->record_count, 1);
    assert_true(str_equal(found->records[0].name, STR("mx.example")));
    const struct answer_key address = { DNS_A, false, STR("example") };
    const struct answer_key validated = { DNS_MX, true, STR("example") };
    assert_null(answer_cache_find(&cache, &address, 1000));
    assert_null(answer_cache_find(&cache, &validated, 1000));
    assert_null(answer_cache_find(&cache, &key, 11000));
    answer.outcome = DNS_TRY_AGAIN;
    answer_cache_add(&cache, &key, &answer, 1000);
    assert_null(answer_cache_find(&cache, &key, 1000));
    answer.outcome = DNS_NO_NAME;
    answer.ttl_s = 86400;
    answer_cache_add(&cache, &key, &answer, 1000);
    assert_null(answer_cache_find(&cache, &key, 1000 + ANSWER_CACHE_MS_MAX));
    answer_cache_clear(&cache);
}

static void answers_used_longest_ago_make_room(void **state)
{
    struct answer_cache cache;
    struct dns_answer answer = {
        .outcome = DNS_NO_DATA, .ttl_s = 30, .canonical_name = STR(""), .reason = STR("")
    };
    const struct answer_key first = { DNS_A, false, STR("domain0.example") };
    const struct answer_key second = { DNS_A, false, STR("domain1.example") };
    char text[64];

    answer_cache_init(&cache);
    for (int i = 0; i < ANSWER_CACHE_ENTRIES + 10; i++) {
        struct answer_key key = { DNS_A, false, domain(text, sizeof text, i) };
        answer_cache_add(&cache, &key, &answer, 1000);
        assert_non_null(answer_cache_find(&cache, &first, 1000));
    }
    assert_int_equal(map_count(cache.entries), ANSWER_CACHE_ENTRIES);
    assert_null(answer_cache_find(&cache, &second, 1000));
    answer_cache_clear(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_absent_names_are_believed),
        cmocka_unit_test(sudden_absence_is_doubted_for_a_while),
        cmocka_unit_test(every_domain_counts_wherever_it_stands),
        cmocka_unit_test(slow_absence_is_believed),
        cmocka_unit_test(answers_are_kept_until_they_are_old),
        cmocka_unit_test(answers_used_longest_ago_make_room),
    };

    return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
