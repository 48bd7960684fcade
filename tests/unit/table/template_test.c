/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void keys_become_parameters_and_never_text(void **state)
{
    static const struct {
        const char *template, *sql;
        size_t count;
    } cases[] = {
        { "SELECT v FROM t WHERE k = '%s'", "SELECT v FROM t WHERE k = (''||?1||'')", 1 },
        { "k = %s AND l=%D", "k = ?1 AND l=?2", 2 },
        { "k = '%u@%d' OR k LIKE '%%%1'", "k = (''||?1||'@'||?2||'') OR k LIKE ('%'||?3||'')", 3 },
        { "k = 'it''s %s'", "k = ('it''s '||?1||'')", 1 },
        { "k = \"it's %s\"", "k = ('it''s '||?1||'')", 1 },
        { "\"na\"\"me\" = '100%%'", "\"na\"\"me\" = ('100%')", 0 },
        { "plain", "plain", 0 },
    };
    static const char *const bad[] = { "k = '%s", "%x", "%", "'%0'", "k = \"" };
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct query_template query;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_true(query_template_parse(&arena, str_from(cases[i].template), &query, &error));
        assert_string_equal(query.sql, cases[i].sql);
        assert_int_equal(query.count, cases[i].count);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(query_template_parse(&arena, str_from(bad[i]), &query, &error));
    arena_clear(&arena);
}

static void parts_of_a_key_are_there_or_not(void **state)
{
    static const struct {
        struct template_reference reference;
        const char *key, *value;
    } cases[] = {
        { { .part = PART_LOCAL }, "user@mail.example.com", "user" },
        { { .part = PART_LOCAL }, "user", "user" },
        { { .part = PART_LOCAL }, "@example.com", NULL },
        { { .part = PART_LOCAL }, "a@b@c", "a@b" },
        { { .part = PART_DOMAIN }, "user", NULL },
        { { .part = PART_DOMAIN }, "user@", NULL },
        { { .part = PART_DOMAIN }, "a@b@c", "c" },
        { { .part = PART_LABEL, .label = 1 }, "user@mail.example.com", "com" },
        { { .part = PART_LABEL, .label = 3 }, "user@mail.example.com", "mail" },
        { { .part = PART_LABEL, .label = 4 }, "user@mail.example.com", NULL },
        { { .part = PART_WHOLE }, "", NULL },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct str value;
        bool is_there = template_resolve(&cases[i].reference, str_from(cases[i].key), &value);
        assert_int_equal(is_there, cases[i].value != NULL);
        assert_true(!is_there || str_equal(value, str_from(cases[i].value)));
    }
}

static void results_are_formatted_and_joined(void **state)
{
    struct buf out = { 0 };
    struct error error = { 0 };

    assert_true(result_template_expand(STR("smtp:[%s]"), STR("k"), STR("host"), &out));
    assert_true(result_template_expand(STR("%u at %d, 5%% %U"), STR("key@x"), STR("a@b"), &out));
    assert_false(result_template_expand(STR("lost %d"), STR("k"), STR("no domain"), &out));
    assert_string_equal(buf_text(&out), "smtp:[host],a at b, 5% key");
    assert_true(result_template_fits(STR("%s %D"), STR("a@b")));
    assert_false(result_template_fits(STR("%s %D"), STR("a")));
    assert_true(result_template_check(STR("%s%S%9%%"), &error));
    assert_false(result_template_check(STR("%"), &error));
    assert_false(result_template_check(STR("%q"), &error));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_become_parameters_and_never_text),
        cmocka_unit_test(parts_of_a_key_are_there_or_not),
        cmocka_unit_test(results_are_formatted_and_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
