/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct entry_ages ages = { .positive_expire_s = 31 * 86400,
                                        .positive_refresh_s = 7 * 86400,
                                        .negative_expire_s = 3 * 86400,
                                        .negative_refresh_s = 3 * 3600 };
static const int64_t now_s = 1800000000;

static void entries_go_to_text_and_back(void **state)
{
    struct buf text = { 0 };
    struct entry entry = { VERIFY_BOUNCE, 12, 345, STR("host x said: 550 5.1.1 [::1] no") }, again;

    (void)state;
    entry_format(&entry, &text);
    assert_string_equal(buf_text(&text), "2:12:345:host x said: 550 5.1.1 [::1] no");
    assert_true(entry_parse(buf_str(&text), &again));
    assert_true(again.status == entry.status && again.probed_s == 12 && again.updated_s == 345);
    assert_true(str_equal(again.reason, entry.reason));
    buf_free(&text);
}

static void entries_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "0",
        "0:1",
        "0:1:",
        "4:1:1:x",
        "x:1:1:",
        "-1:1:1:",
        "0:-1:1:",
        "0:1:1 :x",
        "9999999999:1:1:",
        "0:1:2:a\r\nb",
        "0:1:2:\177",
    };
    struct entry entry;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(entry_parse(str_from(bad[i]), &entry));
}

static void the_unknown_are_probed_once_at_a_time(void **state)
{
    struct entry entry = entry_unknown();

    (void)state;
    assert_true(entry_needs_probe(&entry, &ages, now_s));
    entry.probed_s = now_s - 10;
    assert_false(entry_needs_probe(&entry, &ages, now_s));
    assert_false(entry_is_expired(&entry, &ages, now_s));
    entry.probed_s = now_s - 1001; /* lost */
    assert_true(entry_needs_probe(&entry, &ages, now_s));
}

static void results_are_refreshed_before_they_expire(void **state)
{
    static const struct {
        enum verify_status status;
        int64_t age_s;
        bool needs_probe, is_expired;
    } cases[] = {
        { VERIFY_OK, 60, false, false },          { VERIFY_OK, 8 * 86400, true, false },
        { VERIFY_OK, 32 * 86400, true, true },    { VERIFY_BOUNCE, 60, false, false },
        { VERIFY_BOUNCE, 4 * 3600, true, false }, { VERIFY_DEFER, 4 * 86400, true, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct entry entry = { .status = cases[i].status, .updated_s = now_s - cases[i].age_s };
        assert_true(entry_needs_probe(&entry, &ages, now_s) == cases[i].needs_probe);
        assert_true(entry_is_expired(&entry, &ages, now_s) == cases[i].is_expired);
    }
}

static void a_good_address_does_not_become_bad_before_it_expires(void **state)
{
    struct entry entry = { .status = VERIFY_OK, .updated_s = now_s - 8 * 86400 };

    (void)state;
    assert_false(entry_update(&entry, &ages, VERIFY_BOUNCE, STR("no"), now_s));
    assert_int_equal(entry.status, VERIFY_OK);
    assert_true(entry_update(&entry, &ages, VERIFY_OK, STR("yes"), now_s));
    assert_int_equal(entry.updated_s, now_s);
    entry.updated_s = now_s - 40 * 86400;
    assert_true(entry_update(&entry, &ages, VERIFY_BOUNCE, STR("no"), now_s));
    assert_int_equal(entry.status, VERIFY_BOUNCE);
    assert_true(entry_update(&entry, &ages, VERIFY_OK, STR("yes"), now_s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_go_to_text_and_back),
        cmocka_unit_test(entries_that_are_none_are_refused),
        cmocka_unit_test(the_unknown_are_probed_once_at_a_time),
        cmocka_unit_test(results_are_refreshed_before_they_expire),
        cmocka_unit_test(a_good_address_does_not_become_bad_before_it_expires),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
