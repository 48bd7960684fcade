/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static enum lookup_outcome find(struct table_list *list, const char *key, enum key_kind kind,
                                char text[static 64])
{
    autoclear_arena struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value;
    enum lookup_outcome outcome =
        table_list_find(list, str_from(key), kind, &arena, &value, &error);

    snprintf(text, 64, "%.*s", STR_ARGS(value));
    return outcome;
}

static void first_table_that_has_the_key_answers(void **state)
{
    struct table_list *list =
        table_list_new(STR("x_maps"), STR("inline:{ {a=1}, {e=  } }, inline:{ a=2, b=3 } fail:z"),
                       &(struct table_options){ 0 }, NULL);
    char text[64];

    (void)state;
    assert_int_equal(find(list, "A", KEY_WHOLE, text), LOOKUP_FOUND);
    assert_string_equal(text, "1");
    assert_int_equal(find(list, "b", KEY_WHOLE, text), LOOKUP_FOUND);
    assert_int_equal(find(list, "c", KEY_WHOLE, text), LOOKUP_FAILED);
    assert_int_equal(find(list, "c", KEY_PART, text), LOOKUP_ABSENT);
    assert_int_equal(find(list, "e", KEY_WHOLE, text), LOOKUP_FAILED); /* empty: as in Postfix */
    assert_int_equal(find(list, "", KEY_WHOLE, text), LOOKUP_ABSENT);
    table_list_free(&list);
}

static void patterns_are_asked_about_whole_keys_only(void **state)
{
    char path[] = "/tmp/table-list-test-XXXXXX", text[64], name[64];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "/./ any\n", 8), 8);
    close(fd);
    snprintf(name, sizeof name, "proxy:regexp:%s", path);
    struct table_list *list =
        table_list_new(STR("x_maps"), str_from(name), &(struct table_options){ 0 }, NULL);
    assert_int_equal(find(list, "a@b", KEY_WHOLE, text), LOOKUP_FOUND);
    assert_int_equal(find(list, "@b", KEY_PART, text), LOOKUP_ABSENT);
    table_list_free(&list);
    unlink(path);
}

static void count_warning(void *argument, const char *text)
{
    int *count = argument;

    (*count)++;
    assert_non_null(strstr(text, "x_maps"));
}

/* A confined role that reloads cannot open files again. */
static void table_out_of_reach_stays_as_it_was(void **state)
{
    char path[] = "/tmp/table-list-test-XXXXXX", text[64], name[64];
    int fd = mkstemp(path), warnings = 0;
    struct table_options options = { .warning = count_warning, .argument = &warnings };

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a 1\n", 4), 4);
    close(fd);
    snprintf(name, sizeof name, "texthash:%s", path);
    struct table_list *old = table_list_new(STR("x_maps"), str_from(name), &options, NULL);
    unlink(path);
    struct table_list *list = table_list_new(STR("x_maps"), str_from(name), &options, old);
    struct table_list *without = table_list_new(STR("x_maps"), str_from(name), &options, NULL);
    assert_int_equal(warnings, 2);
    table_list_free(&old);
    assert_int_equal(find(list, "a", KEY_WHOLE, text), LOOKUP_FOUND);
    assert_int_equal(find(without, "a", KEY_WHOLE, text), LOOKUP_FAILED);
    /* What fails is not lent. */
    table_list_free(&list);
    list = table_list_new(STR("x_maps"), str_from(name), &options, without);
    assert_int_equal(find(list, "a", KEY_WHOLE, text), LOOKUP_FAILED);
    table_list_free(&list);
    table_list_free(&without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_table_that_has_the_key_answers),
        cmocka_unit_test(patterns_are_asked_about_whole_keys_only),
        cmocka_unit_test(table_out_of_reach_stays_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
