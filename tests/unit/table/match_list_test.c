/* SPDX-License-Identifier: Apache-2.0 */
#include "table/match_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static char warnings[2000];

static void note_warning(void *argument, const char *text)
{
    strncat(warnings, text, sizeof warnings - strlen(warnings) - 2);
    strcat(warnings, "\n");
}

static struct match_list *parse(const char *text, bool matches_parent_domains, struct error *error)
{
    struct match_list_options options = { .name = STR("mynetworks"),
                                          .matches_parent_domains = matches_parent_domains,
                                          .warning = note_warning };

    warnings[0] = '\0';
    return match_list_new(str_from(text), &options, error);
}

static void clients_match_networks_names_and_negations(void **state)
{
    static const struct {
        const char *list, *name, *address;
        enum match_outcome outcome;
    } cases[] = {
        { "127.0.0.0/8 [::1]/128", "unknown", "127.1.2.3", MATCH_FOUND },
        { "127.0.0.0/8 [::1]/128", "unknown", "::1", MATCH_FOUND },
        { "127.0.0.0/8, [::1]/128", "unknown", "128.0.0.1", MATCH_ABSENT },
        { "127.0.0.0/8", "unknown", "::ffff:127.0.0.1", MATCH_FOUND },
        { "::ffff:192.0.2.0/120", "unknown", "192.0.2.77", MATCH_FOUND },
        { "!192.0.2.7 192.0.2.0/24", "unknown", "192.0.2.7", MATCH_ABSENT },
        { "!192.0.2.7 192.0.2.0/24", "unknown", "192.0.2.8", MATCH_FOUND },
        { "!!192.0.2.7", "unknown", "192.0.2.7", MATCH_FOUND },
        { "192.0.2.0/25", "unknown", "192.0.2.127", MATCH_FOUND },
        { "192.0.2.0/25", "unknown", "192.0.2.128", MATCH_ABSENT },
        { "2001:db8::/33", "unknown", "2001:db8:7fff::1", MATCH_FOUND },
        { "2001:db8::/33", "unknown", "2001:db8:8000::1", MATCH_ABSENT },
        { "[2001:db8::]/32", "unknown", "2001:db8::1", MATCH_FOUND },
        { "[2001:db8::/32]", "unknown", "2001:db8::1", MATCH_FOUND },
        { "2001:db8::1", "unknown", "2001:db8:0::1", MATCH_FOUND },
        { "0.0.0.0/0", "unknown", "::1", MATCH_ABSENT },
        { "example.com", "mail.example.com", "192.0.2.1", MATCH_FOUND },
        { ".example.com", "example.com", "192.0.2.1", MATCH_ABSENT },
        { "unknown", "unknown", "192.0.2.1", MATCH_ABSENT },
        { "", "a", "192.0.2.1", MATCH_ABSENT },
        { "inline:{ 192.0.2.1=x }", "a", "192.0.2.1", MATCH_FOUND },
        { "inline:{ { 192.0.2.1 = x, y } }, 192.0.2.2", "a", "192.0.2.2", MATCH_FOUND },
        { "fail:x 192.0.2.1", "a", "192.0.2.1", MATCH_FAILED },
        { "192.0.2.1 fail:x", "a", "192.0.2.1", MATCH_FOUND },
        { "hash:/nonexistent/x", "a", "192.0.2.1", MATCH_FAILED },
        { "nosuchtype:x", "a", "192.0.2.1", MATCH_FAILED },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error = { 0 };
        struct match_list *list = parse(cases[i].list, true, &error);
        if (list == NULL)
            fail_msg("%s: %s", cases[i].list, error.message);
        enum match_outcome outcome = match_list_find_client(list, str_from(cases[i].name),
                                                            str_from(cases[i].address), &error);
        if (outcome != cases[i].outcome)
            fail_msg("%s: %s[%s]: %d", cases[i].list, cases[i].name, cases[i].address,
                     (int)outcome);
        match_list_free(&list);
    }
}

static void domains_match_parents_as_told(void **state)
{
    static const struct {
        bool matches_parent_domains;
        const char *list, *name;
        enum match_outcome outcome;
    } cases[] = {
        { true, "Example.com", "EXAMPLE.com", MATCH_FOUND },
        { true, "example.com", "a.example.com", MATCH_FOUND },
        { true, "example.com", "aexample.com", MATCH_ABSENT },
        { false, "example.com", "a.example.com", MATCH_ABSENT },
        { false, ".example.com", "a.b.example.com", MATCH_FOUND },
        { false, ".example.com", "example.com", MATCH_ABSENT },
        { false, "!a.example.com .example.com", "a.example.com", MATCH_ABSENT },
        { true, "inline:{example.com=1}", "x.example.com", MATCH_FOUND },
        { false, "inline:{example.com=1}", "x.example.com", MATCH_ABSENT },
        { false, "inline:{.example.com=1}", "x.example.com", MATCH_FOUND },
        { false, "inline:{.example.com=1}", "", MATCH_ABSENT },
        { false, "static:any", "x", MATCH_FOUND },
        { false, "[192.0.2.1]", "[192.0.2.1]", MATCH_FOUND },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error = { 0 };
        struct match_list *list = parse(cases[i].list, cases[i].matches_parent_domains, &error);
        assert_non_null(list);
        if (match_list_find_name(list, str_from(cases[i].name), &error) != cases[i].outcome)
            fail_msg("case %zu: %s", i, cases[i].list);
        match_list_free(&list);
    }
}

static void plain_words_match_as_they_stand(void **state)
{
    static const struct {
        const char *list, *word;
        enum match_outcome outcome;
    } cases[] = {
        { "GET a/b 192.0.2.1/24", "get", MATCH_FOUND },
        { "GET a/b 192.0.2.1/24", "a/b", MATCH_FOUND },
        { "192.0.2.1/24", "192.0.2.7", MATCH_ABSENT },
        { ".get", "a.get", MATCH_ABSENT },
        { "inline:{ .get=x }", "a.get", MATCH_ABSENT },
        { "!inline:{ get=x } static:all", "get", MATCH_ABSENT },
        { "!inline:{ get=x } static:all", "post", MATCH_FOUND },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error = { 0 };
        struct match_list_options options = { .name = STR("words"), .has_plain_words = true };
        struct match_list *list = match_list_new(str_from(cases[i].list), &options, &error);
        assert_non_null(list);
        if (match_list_find_name(list, str_from(cases[i].word), &error) != cases[i].outcome)
            fail_msg("case %zu: %s", i, cases[i].list);
        match_list_free(&list);
    }
}

static void bad_entries_are_named(void **state)
{
    static const struct {
        const char *list, *named;
    } cases[] = {
        { "127.0.0.1 192.0.2.1/24", "192.0.2.0/24" },
        { "192.0.2.0/33", "192.0.2.0/33" },
        { "2001:db8::/129", "2001:db8::/129" },
        { "2001:db8::1/64", "2001:db8::/64" },
        { "10.0.0/8", "10.0.0/8" },
        { "a/b", "a/b" },
        { "10.0.0.0/", "10.0.0.0/" },
        { "10.0.0.0/-1", "/-1" },
        { "[::1", "[::1" },
        { "! 10.0.0.1", "!" },
        { "/nonexistent/list", "/nonexistent/list" },
        { "[]", "[]" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error = { 0 };
        struct match_list *list = parse(cases[i].list, true, &error);
        if (list != NULL || strstr(error.message, cases[i].named) == NULL)
            fail_msg("%s: %s", cases[i].list, error.message);
    }
}

static void too_broad_networks_are_told(void **state)
{
    static const struct {
        const char *list, *broad;
    } cases[] = {
        { "127.0.0.0/8", "" }, { "127.0.0.0/8 0.0.0.0/0", "0.0.0.0/0" }, { "::/0", "::/0" },
        { "!0.0.0.0/0", "" },  { "10.0.0.0/7", "10.0.0.0/7" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error = { 0 };
        struct match_list *list = parse(cases[i].list, true, &error);
        assert_non_null(list);
        assert_true(str_equal(match_list_too_broad(list), str_from(cases[i].broad)));
        match_list_free(&list);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void files_hold_entries_and_comments(void **state)
{
    char folder[] = "/tmp/match-list-test-XXXXXX", path[64], inner[64], text[200];
    struct error error = { 0 };

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/list", folder);
    snprintf(inner, sizeof inner, "%s/inner", folder);
    snprintf(text, sizeof text, "# head\n\n192.0.2.0/24 # office\n10.0.0.1, 10.0.0.2\n !%s\n",
             inner);
    write_file(path, text);
    write_file(inner, "10.9.9.9\n");
    struct match_list *list = parse(path, true, &error);
    if (list == NULL)
        fail_msg("%s", error.message);
    assert_non_null(strstr(warnings, "office"));
    assert_int_equal(match_list_find_client(list, STR(""), STR("192.0.2.9"), &error), MATCH_FOUND);
    assert_int_equal(match_list_find_client(list, STR(""), STR("10.0.0.2"), &error), MATCH_FOUND);
    assert_int_equal(match_list_find_client(list, STR(""), STR("10.9.9.9"), &error), MATCH_ABSENT);
    match_list_free(&list);
    write_file(inner, "10.1.1.1/8\n");
    assert_null(parse(path, true, &error));
    assert_non_null(strstr(error.message, "line 1"));
    write_file(inner, path);
    assert_null(parse(path, true, &error));
    unlink(path);
    unlink(inner);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_match_networks_names_and_negations),
        cmocka_unit_test(domains_match_parents_as_told),
        cmocka_unit_test(plain_words_match_as_they_stand),
        cmocka_unit_test(bad_entries_are_named),
        cmocka_unit_test(too_broad_networks_are_told),
        cmocka_unit_test(files_hold_entries_and_comments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
