/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table.h"
#include "table/table_builder.h"
#include "table/table_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static char folder[64];
static char warnings[4000];

static void note_warning(void *argument, const char *text)
{
    strncat(warnings, text, sizeof warnings - strlen(warnings) - 2);
    strcat(warnings, "\n");
}

static const struct table_options options = { .warning = note_warning };

static const char *path_of(const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static struct str specification_of(const char *type, const char *name)
{
    static char text[200];

    snprintf(text, sizeof text, "%s:%s/%s", type, folder, name);
    return str_from(text);
}

static struct table *open_table(struct str specification)
{
    struct error error = { 0 };
    struct table *table = table_open(specification, &options, &error);

    if (table == NULL)
        fail_msg("%s", error.message);
    return table;
}

static void expect_entry(struct table *table, const char *key, const char *value)
{
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct str found;
    enum lookup_outcome outcome = table_find(table, str_from(key), &arena, &found, &error);

    if (outcome != (value != NULL ? LOOKUP_FOUND : LOOKUP_ABSENT) ||
        (value != NULL && !str_equal(found, str_from(value))))
        fail_msg("%s: outcome %d, \"%.*s\"", key, (int)outcome, STR_ARGS(found));
    arena_clear(&arena);
}

static void source_lines_join_and_split(void **state)
{
    static const struct {
        const char *line;
        enum table_entry_fault fault;
        const char *key, *value;
    } cases[] = {
        { "a b c", TABLE_ENTRY_FINE, "a", "b c" },
        { "a\t b", TABLE_ENTRY_FINE, "a", "b" },
        { "\"a b\"@c d", TABLE_ENTRY_FINE, "\"a b\"@c", "d" },
        { "a: b", TABLE_ENTRY_LIKE_ALIAS, "a:", "b" },
        { "a", TABLE_ENTRY_NO_VALUE, "a", "" },
        { "\"a b", TABLE_ENTRY_FINE, "\"a", "b" },
    };
    struct arena arena = { 0 };
    struct table_source source = { .rest = STR("# head\n\na b\n c\n# in between\n\td\n\ne f\n g") };
    struct str key, value, line;
    int number;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(table_entry_split(str_from(cases[i].line), &key, &value), cases[i].fault);
        assert_true(str_equal(key, str_from(cases[i].key)));
        assert_true(str_equal(value, str_from(cases[i].value)));
    }
    assert_true(table_source_line(&arena, &source, &line, &number));
    assert_true(str_equal(line, STR("a b c d")));
    assert_int_equal(number, 3);
    assert_true(table_source_line(&arena, &source, &line, &number));
    assert_true(str_equal(line, STR("e f g")));
    assert_int_equal(number, 8);
    assert_false(table_source_line(&arena, &source, &line, &number));
    assert_int_equal(table_alias_split(&arena, STR("\"a b\": c, d"), &key, &value),
                     TABLE_ENTRY_FINE);
    assert_true(str_equal(key, STR("a b")) && str_equal(value, STR("c, d")));
    assert_int_equal(table_alias_split(&arena, STR("nothing"), &key, &value), TABLE_ENTRY_NO_VALUE);
    arena_clear(&arena);
}

static void tables_in_memory_answer(void **state)
{
    struct table *table = open_table(STR("inline:{ a=b, {C D = e, f} }"));

    expect_entry(table, "A", "b");
    expect_entry(table, "c d", "e, f");
    expect_entry(table, "x", NULL);
    table_close(&table);
    table = open_table(STR("static:{ x y }"));
    expect_entry(table, "anything", "x y");
    table_close(&table);
    warnings[0] = '\0';
    write_file("text", "Key value one\nkey two\nalone\n");
    table = open_table(specification_of("texthash", "text"));
    expect_entry(table, "KEY", "value one");
    expect_entry(table, "alone", NULL);
    assert_non_null(strstr(warnings, "duplicate entry: \"key\""));
    assert_non_null(strstr(warnings, "line 3: expected format: key whitespace value"));
    assert_false(table_is_stale(table));
    write_file("text", "key other, longer\n");
    assert_true(table_is_stale(table));
    table_close(&table);
    table = open_table(STR("proxy:inline:{a=b}"));
    expect_entry(table, "a", "b");
    table_close(&table);
}

static void networks_are_tried_in_order(void **state)
{
    warnings[0] = '\0';
    write_file("nets", "10.0.0.0/8 ten\n!10.1.0.0/16 other\nif 192.168.0.0/16\n"
                       "192.168.1.0/24 one\nendif\nendif\n1.2.3.4/8 bad\n2001:db8::/32 six\n");
    struct table *table = open_table(specification_of("cidr", "nets"));

    expect_entry(table, "10.1.2.3", "ten");
    expect_entry(table, "192.168.1.5", "other");
    expect_entry(table, "2001:db8::1", "six");
    expect_entry(table, "::1", NULL);
    expect_entry(table, "name", NULL);
    assert_non_null(strstr(warnings, "line 6: ignoring ENDIF"));
    assert_non_null(strstr(warnings, "line 7: \"1.2.3.4/8\""));
    table_close(&table);
}

static void patterns_are_tried_in_order_and_bad_ones_left_out(void **state)
{
    warnings[0] = '\0';
    write_file("patterns", "/^(.*)@old$/ $(1)@new$$\nif !/^x/\n/[/ bad\n/a/e bad\n/b/ $1\n!/c/ $1\n"
                           "/(one)|(two)/ ${1}-$2\nendif\nendif\n/x\n!/q/ no q\n");
    struct table *table = open_table(specification_of("regexp", "patterns"));

    expect_entry(table, "Joe@OLD", "Joe@new$");
    expect_entry(table, "qtwo", "-two");
    expect_entry(table, "xone", "no q");
    expect_entry(table, "xoneq", NULL);
    assert_non_null(strstr(warnings, "line 3: "));
    assert_non_null(strstr(warnings, "line 4: unknown regexp option \"e\""));
    assert_non_null(strstr(warnings, "line 5: out-of-range replacement index \"1\""));
    assert_non_null(strstr(warnings, "line 6: out-of-range"));
    assert_non_null(strstr(warnings, "line 9: ignoring ENDIF"));
    assert_non_null(strstr(warnings, "line 10: no closing regexp delimiter"));
    table_close(&table);
}

static void add(struct table_builder *builder, const char *key, const char *value,
                enum table_addition expected)
{
    struct error error = { 0 };

    assert_int_equal(table_builder_add(builder, str_from(key), str_from(value), &error), expected);
}

static struct table_builder *new_builder(bool is_incremental, bool may_replace)
{
    struct table_builder_options builder_options = { .is_incremental = is_incremental,
                                                     .may_replace = may_replace };
    struct error error = { 0 };
    struct table_builder *builder =
        table_builder_new(specification_of("hash", "map"), &builder_options, &error);

    if (builder == NULL)
        fail_msg("%s", error.message);
    return builder;
}

static void built_tables_are_found_replaced_and_listed(void **state)
{
    struct error error = { 0 };
    struct arena arena = { 0 };
    struct str key = STR(""), value;
    struct table_builder *builder = new_builder(false, false);

    add(builder, "B@Example.com", "relay:[x]:25", TABLE_ADDED);
    add(builder, "b@example.com", "second", TABLE_DUPLICATE);
    add(builder, "a", "1", TABLE_ADDED);
    assert_true(table_builder_finish(builder, &error));
    table_builder_free(&builder);
    struct table *table = open_table(specification_of("hash", "map"));
    expect_entry(table, "b@EXAMPLE.com", "relay:[x]:25");
    expect_entry(table, "", NULL);
    assert_int_equal(table_next(table, &arena, &key, &value, &error), LOOKUP_FOUND);
    assert_true(str_equal(key, STR("a")));
    assert_int_equal(table_next(table, &arena, &key, &value, &error), LOOKUP_FOUND);
    assert_true(str_equal(key, STR("b@example.com")));
    assert_int_equal(table_next(table, &arena, &key, &value, &error), LOOKUP_ABSENT);

    builder = new_builder(true, true);
    add(builder, "c", "3", TABLE_ADDED);
    add(builder, "a", "new", TABLE_ADDED);
    assert_true(table_builder_remove(builder, STR("B@example.com")));
    assert_false(table_builder_remove(builder, STR("zz")));
    expect_entry(table, "a", "1"); /* the old one, until it is replaced */
    assert_true(table_builder_finish(builder, &error));
    table_builder_free(&builder);
    assert_true(table_is_stale(table));
    expect_entry(table, "a", "1");
    table_close(&table);
    table = open_table(specification_of("btree", "map"));
    expect_entry(table, "a", "new");
    expect_entry(table, "c", "3");
    expect_entry(table, "b@example.com", NULL);
    table_close(&table);
    arena_clear(&arena);
}

static void a_build_that_is_given_up_leaves_nothing(void **state)
{
    struct table_builder *builder = new_builder(false, false);
    char draft[300];

    snprintf(draft, sizeof draft, "%s.%ld", table_builder_path(builder), (long)getpid());
    add(builder, "given", "up", TABLE_ADDED);
    assert_int_equal(access(draft, F_OK), 0);
    table_builder_free(&builder);
    assert_int_not_equal(access(draft, F_OK), 0);
    struct table *table = open_table(specification_of("lmdb", "map"));
    expect_entry(table, "given", NULL);
    table_close(&table);
}

static void many_entries_take_many_transactions(void **state)
{
    struct table_builder *builder = new_builder(false, false);
    struct error error = { 0 };
    char key[32], value[64];

    for (int i = 0; i < 45000; i++) {
        snprintf(key, sizeof key, "user%d@example.com", i);
        snprintf(value, sizeof value, "value number %d", i);
        add(builder, key, value, TABLE_ADDED);
    }
    memset(value, 'k', sizeof value);
    assert_true(table_builder_finish(builder, &error));
    table_builder_free(&builder);
    struct table *table = open_table(specification_of("hash", "map"));
    expect_entry(table, "user0@example.com", "value number 0");
    expect_entry(table, "user44999@example.com", "value number 44999");
    table_close(&table);
}

static void expect_no_open(struct str specification, const char *named)
{
    struct error error = { 0 };
    struct table *table = table_open(specification, &options, &error);

    if (table != NULL || strstr(error.message, named) == NULL)
        fail_msg("%.*s: %s", STR_ARGS(specification), error.message);
}

static void what_cannot_open_says_what_to_do(void **state)
{
    expect_no_open(STR("ldapx:/x"), "unsupported dictionary type: ldapx");
    expect_no_open(STR("/x"), "type:name");
    expect_no_open(STR("inline:{a=b"), "inline");
    expect_no_open(STR("inline:{=b}"), "name=value");
    expect_no_open(specification_of("hash", "none"), "No such file");
    expect_no_open(specification_of("texthash", "none"), "No such file");
    write_file("unbuilt", "a b\n");
    expect_no_open(specification_of("hash", "unbuilt"), "run \"postmap hash:");
    write_file("old.db", "Berkeley");
    expect_no_open(specification_of("hash", "old"), "old that it was made from is missing");
    write_file("random.lmdb", "no database at all, but some text that is long enough to be one");
    expect_no_open(specification_of("hash", "random"), "random.lmdb");
    write_file("empty.lmdb", "");
    expect_no_open(specification_of("hash", "empty"), "empty.lmdb");
    assert_int_equal(mkdir(path_of("folder"), 0700), 0);
    expect_no_open(specification_of("texthash", "folder"), "folder");
}

static void a_berkeley_table_is_served_from_its_source(void **state)
{
    warnings[0] = '\0';
    write_file("moved.db", "Berkeley");
    write_file("moved", "a b\n");
    struct table *table = open_table(specification_of("hash", "moved"));

    expect_entry(table, "a", "b");
    assert_non_null(strstr(warnings, "run \"postmap hash:"));
    table_close(&table);
}

static void a_table_cut_short_while_open_fails_and_does_not_crash(void **state)
{
    struct table *table = open_table(specification_of("hash", "map"));
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value;

    assert_int_equal(truncate(path_of("map.lmdb"), 4096), 0);
    assert_int_equal(table_find(table, STR("a"), &arena, &value, &error), LOOKUP_FAILED);
    table_close(&table);
    expect_no_open(specification_of("hash", "map"), "map.lmdb");
    arena_clear(&arena);
}

static void a_failing_table_fails_and_is_not_absent(void **state)
{
    struct error why = { 0 }, error = { 0 };
    struct arena arena = { 0 };
    struct str value;

    error_set(&why, "no such file");
    struct table *table = table_new_failing(STR("hash:/x"), &why);
    assert_int_equal(table_find(table, STR("a"), &arena, &value, &error), LOOKUP_FAILED);
    assert_string_equal(error.message, "no such file");
    assert_true(str_equal(table_specification(table), STR("hash:/x")));
    table_close(&table);
    arena_clear(&arena);
}

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/table-test-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "text",     "nets",   "patterns",    "map.lmdb",
                                         "unbuilt",  "old.db", "random.lmdb", "empty.lmdb",
                                         "moved.db", "moved" };

    for (size_t i = 0; i < COUNT(names); i++)
        unlink(path_of(names[i]));
    rmdir(path_of("folder"));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_lines_join_and_split),
        cmocka_unit_test(tables_in_memory_answer),
        cmocka_unit_test(networks_are_tried_in_order),
        cmocka_unit_test(patterns_are_tried_in_order_and_bad_ones_left_out),
        cmocka_unit_test(built_tables_are_found_replaced_and_listed),
        cmocka_unit_test(a_build_that_is_given_up_leaves_nothing),
        cmocka_unit_test(many_entries_take_many_transactions),
        cmocka_unit_test(what_cannot_open_says_what_to_do),
        cmocka_unit_test(a_berkeley_table_is_served_from_its_source),
        cmocka_unit_test(a_table_cut_short_while_open_fails_and_does_not_crash),
        cmocka_unit_test(a_failing_table_fails_and_is_not_absent),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
