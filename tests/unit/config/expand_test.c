/* SPDX-License-Identifier: Apache-2.0 */
#include "config/expand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct definition {
    const char *name, *value;
};

static bool find(void *argument, struct str name, struct expand_value *value)
{
    for (const struct definition *each = argument; each->name != NULL; each++) {
        if (str_equal(str_from(each->name), name)) {
            value->text = str_from(each->value);
            value->place = "main.cf, line 7";
            return true;
        }
    }
    return false;
}

static const struct definition definitions[] = {
    { "one", "1" },      { "none", "" },     { "deep", "<$one>" }, { "loop", "$pool" },
    { "pool", "$loop" }, { "level", "3.6" }, { NULL, NULL },
};

static bool run_with(const struct definition *all, const char *text, struct buf *out,
                     struct error *error)
{
    union {
        const struct definition *constant;
        struct definition *argument;
    } list = { all };
    const struct expand_source source = { .find = find, .argument = list.argument };

    return expand(&source, STR(""), str_from(text), out, error);
}

static bool run(const char *text, struct buf *out, struct error *error)
{
    return run_with(definitions, text, out, error);
}

static void values_are_put_in_place_of_macros(void **state)
{
    static const struct {
        const char *text, *result;
    } cases[] = {
        { "", "" },
        { "plain", "plain" },
        { "$one", "1" },
        { "${one}$(one)", "11" },
        { "$one.x", "1.x" },
        { "$$one", "$one" },
        { "$deep", "<1>" },
        { "[$unknown]", "[]" },
        { "${one?x}${none?x}${unknown?x}", "x" },
        { "${one:y}${none:y}${unknown:y}", "yy" },
        { "${one?{a b}:{c}}", "a b" },
        { "${none?{a b}:{c d}}", "c d" },
        { "${one ? { a } : { b }}", "a" },
        { "${none?{a}:b}", "b" },
        { "${one?$deep}", "<1>" },
        { "${one?${none:${deep}}}", "<1>" },
        { "${{$one} == {1} ? {y} : {n}}", "y" },
        { "${{a} != {a} ? {y} : {n}}", "n" },
        { "${{10} > {9} ? {y} : {n}}", "y" },
        { "${{10} > {9a} ? {y} : {n}}", "n" },
        { "${{$level} >=level {3.10} ? {y} : {n}}", "n" },
        { "${{3.10} >=level {$level} ? {y} : {n}}", "y" },
        { "${{2} ==level {2.0} ? {y} : {n}}", "y" },
        { "${{a}=={b}:{n}}", "n" },
        { "a}b{c", "a}b{c" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        autofree_buf struct buf out = { 0 };
        struct error error = { 0 };
        if (!run(cases[i].text, &out, &error))
            fail_msg("%s: %s", cases[i].text, error.message);
        assert_string_equal(buf_text(&out), cases[i].result);
    }
}

static void mistakes_are_errors(void **state)
{
    static const char *const cases[] = {
        "$",
        "$ x",
        "x$",
        "${",
        "${one",
        "$(one",
        "${}",
        "${one!}",
        "${one b}",
        "${${one}}",
        "${one?{a}b}",
        "${one?{a}{b}}",
        "${one:{a}?b}",
        "${one?{a}",
        "${{a} == {a",
        "${{a} = {a} ? x}",
        "${{a} == a}",
        "${{a} like {a} ? x}",
        "${{x} <level {1} ? a}",
        "${{a} == {a} x}",
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        autofree_buf struct buf out = { 0 };
        struct error error = { 0 };
        if (run(cases[i], &out, &error))
            fail_msg("%s is taken for %s", cases[i], buf_text(&out));
        assert_string_not_equal(error.message, "");
    }
}

static void reference_to_itself_is_an_error_with_its_place(void **state)
{
    autofree_buf struct buf out = { 0 };
    struct error error = { 0 };

    assert_false(run("$loop", &out, &error));
    assert_non_null(strstr(error.message, "main.cf, line 7"));
    assert_non_null(strstr(error.message, "refers to itself"));
}

static void ten_thousand_nested_macros_are_an_error(void **state)
{
    autofree_buf struct buf text = { 0 }, out = { 0 };
    struct error error = { 0 };

    for (int i = 0; i < 10000; i++)
        buf_append_text(&text, "${one?");
    for (int i = 0; i < 10000; i++)
        buf_append_text(&text, "}");
    assert_false(run(buf_text(&text), &out, &error));
    assert_non_null(strstr(error.message, "nested"));
}

static void values_that_multiply_end_at_a_bound(void **state)
{
    static const struct definition doubling[] = {
        { "a", "$b$b$b$b$b$b$b$b" }, { "b", "$c$c$c$c$c$c$c$c" },
        { "c", "$d$d$d$d$d$d$d$d" }, { "d", "$e$e$e$e$e$e$e$e" },
        { "e", "$f$f$f$f$f$f$f$f" }, { "f", "$g$g$g$g$g$g$g$g" },
        { "g", "xxxxxxxx" },         { NULL, NULL },
    };
    autofree_buf struct buf out = { 0 };
    struct error error = { 0 };

    assert_false(run_with(doubling, "$a$a$a$a", &out, &error));
    assert_true(out.len <= 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_put_in_place_of_macros),
        cmocka_unit_test(mistakes_are_errors),
        cmocka_unit_test(reference_to_itself_is_an_error_with_its_place),
        cmocka_unit_test(ten_thousand_nested_macros_are_an_error),
        cmocka_unit_test(values_that_multiply_end_at_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
