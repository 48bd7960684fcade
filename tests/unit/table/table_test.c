/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table.h"
#include "table/table_builder.h"
#include "table/table_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
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
        { "\"a b", TABLE_ENTRY_OPEN_QUOTE, "", "" },
    };
    struct arena arena = { 0 };
    struct table_source source = { .rest = STR("# head\n\na b\n c\n# in between\n\td\n\ne f\n g") };
    struct str key, value, line;
    int number;

    for (size_t i = 0; i < COUNT(cases); i++) {
        key = value = STR("");
        assert_int_equal(table_entry_split(str_from(cases[i].line), &key, &value), cases[i].fault);
        assert_true(str_equal(key, str_from(cases[i].key)));
        assert_true(str_equal(value, str_from(cases[i].value)));
    }
    assert_true(table_source_line(&arena, &source, &line, &number));
    assert_true(str_equal(line, STR("a b c\td")));
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
    struct table *table = open_table(STR("inline:{ a=x, {C D = e, f}, A=b }"));

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

static void patterns_are_tried_in_order(void **state)
{
    static const char *const types[] = { "regexp", "pcre" };

    write_file("patterns", "/^(.*)@old$/ $(1)@new$$\nif !/^x/\n"
                           "/(one)|(two)/ ${1}-$2\nendif\n!/q/ no q\n~a/b~ slash\n/c\\/d/ other\n"
                           "/long/ first\n   second\n");
    for (size_t i = 0; i < COUNT(types); i++) {
        struct table *table = open_table(specification_of(types[i], "patterns"));
        expect_entry(table, "Joe@OLD", "Joe@new$");
        expect_entry(table, "qtwo", "-two");
        expect_entry(table, "xone", "no q");
        expect_entry(table, "xoneq", NULL);
        expect_entry(table, "qa/b", "slash");
        expect_entry(table, "qc/d", "other");
        expect_entry(table, "qlong", "first   second");
        table_close(&table);
    }
}

static void bad_rules_are_named_and_left_out(void **state)
{
    static const char *const types[] = { "regexp", "pcre" };
    static const char *const expected[] = {
        "line 1: ",
        "line 2: unknown regexp option \"z\"",
        "line 3: out of range replacement index \"1\"",
        "line 4: $number found in negative match",
        "line 5: truncated macro reference",
        "line 6: non-numeric replacement index \"a\"",
        "line 7: ignoring ENDIF without matching IF",
        "line 8: no closing regexp delimiter \"/\"",
        "line 9: ignoring unrecognized request",
        "line 10: out of range replacement index \"99\"",
        "line 11: no replacement text: using empty string",
        "line 12: \"$\" without a number",
        "line 14: IF has no matching ENDIF",
    };

    write_file("patterns", "/[/ bad\n/a/z bad\n/b/ $1\n!/(c)/ $1\n/(d)/ ${1\n/(e)/ ${a}\nendif\n"
                           "/x\nword word\n/(f)/ $99\n/g/\n/h/ x$\n/sound/ yes\nif /never/\n");
    for (size_t i = 0; i < COUNT(types); i++) {
        warnings[0] = '\0';
        struct table *table = open_table(specification_of(types[i], "patterns"));
        for (size_t k = 0; k < COUNT(expected); k++)
            if (strstr(warnings, expected[k]) == NULL)
                fail_msg("%s: no \"%s\" in\n%s", types[i], expected[k], warnings);
        expect_entry(table, "sound", "yes");
        expect_entry(table, "abcdefx", NULL);
        table_close(&table);
    }
}

static void perl_patterns_have_flags_and_look_around(void **state)
{
    write_file("perl", "/^(?!owner-)(.*)-outgoing@(.*)$/ Use ${1}@$2\n/CASE/i case\n/a b/x spaces\n"
                       "/line.line/s dot\n/^second/m second\n/start/A start\n/<(.*)>/U less $1\n"
                       "/(*UTF)x/ no\n/\\xc4/ byte\n");
    warnings[0] = '\0';
    struct table *table = open_table(specification_of("pcre", "perl"));

    assert_non_null(strstr(warnings, "line 8: error in regex"));
    expect_entry(table, "list-outgoing@example.com", "Use list@example.com");
    expect_entry(table, "owner-list-outgoing@example.com", NULL);
    expect_entry(table, "CASE", "case");
    expect_entry(table, "case", NULL);
    expect_entry(table, "xABx", "spaces");
    expect_entry(table, "line\nline", NULL);
    expect_entry(table, "first\nsecond", "second");
    expect_entry(table, "no start", NULL);
    expect_entry(table, "starting", "start");
    expect_entry(table, "<one> <two>", "less one");
    expect_entry(table, "\xc4", "byte");
    table_close(&table);
}

static void a_pattern_that_needs_too_long_fails_and_is_not_absent(void **state)
{
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value;
    struct str key = STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaX");

    write_file("slow", "# two\n/^(a+)+$/ slow\n/x/ next\n");
    struct table *table = open_table(specification_of("pcre", "slow"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(table_find(table, key, &arena, &value, &error), LOOKUP_FAILED);
        assert_non_null(strstr(error.message, "slow, line 2: match limit exceeded"));
    }
    expect_entry(table, "x", "next");
    table_close(&table);
    arena_clear(&arena);
}

static void many_slow_patterns_share_one_limit_of_time(void **state)
{
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct buf text = { 0 };
    struct str value;
    char key[1500];

    clock_t started = clock();

    for (int i = 10; i < 4000; i++)
        buf_printf(&text, "/a.*a.*%d/ slow\n", i);
    write_file("slow", buf_text(&text));
    memset(key, 'a', sizeof key);
    memcpy(key + sizeof key - 20, "0 1 2 3 4 5 6 7 8 9 ", 20);
    struct table *table = open_table(specification_of("pcre", "slow"));
    assert_int_equal(table_find(table, str_of(key, sizeof key), &arena, &value, &error),
                     LOOKUP_FAILED);
    assert_true((clock() - started) / CLOCKS_PER_SEC < 5);
    table_close(&table);
    arena_clear(&arena);
    buf_free(&text);
}

static void a_slow_pattern_still_finds_what_comes_late(void **state)
{
    char key[400];

    write_file("slow", "/a.*a.*9|needle(.)$/ found $1\n");
    memset(key, 'a', sizeof key);
    memcpy(key, "9", 1);
    memcpy(key + 391, "needle7", 8);
    struct table *table = open_table(specification_of("pcre", "slow"));
    expect_entry(table, key, "found 7");
    table_close(&table);
}

static void rules_may_stand_in_the_name(void **state)
{
    struct error error = { 0 };
    struct table *table =
        open_table(STR("pcre:{ { /^a(.)$/ got $1 }, {!/x{2}/ no xx},{if /y/} {/z/ yz} {endif} }"));

    expect_entry(table, "ab", "got b");
    expect_entry(table, "q", "no xx");
    expect_entry(table, "xxyz", "yz");
    expect_entry(table, "xxz", NULL);
    table_close(&table);
    table = open_table(STR("cidr:{{192.0.2.0/24 test}}"));
    expect_entry(table, "192.0.2.9", "test");
    table_close(&table);
    assert_null(table_open(STR("regexp:{ /a/ b }"), &options, &error));
    assert_null(table_open(STR("regexp:{ {/a/ b}"), &options, &error));
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

static struct table *build_cdb(bool may_replace, int count)
{
    struct table_builder_options builder_options = { .may_replace = may_replace };
    struct error error = { 0 };
    struct table_builder *builder =
        table_builder_new(specification_of("cdb", "map"), &builder_options, &error);

    assert_non_null(builder);
    add(builder, "B@Example.com", "one", TABLE_ADDED);
    add(builder, "b@example.com", "two", may_replace ? TABLE_ADDED : TABLE_DUPLICATE);
    add(builder, "\"q q\"@x", "quoted", TABLE_ADDED);
    for (int i = 0; i < count; i++) {
        char key[20];
        snprintf(key, sizeof key, "k%d", i);
        add(builder, key, key, TABLE_ADDED);
    }
    assert_true(table_builder_finish(builder, &error));
    table_builder_free(&builder);
    return open_table(specification_of("cdb", "map"));
}

static void constant_databases_are_built_and_read(void **state)
{
    struct table_builder_options incremental = { .is_incremental = true };
    struct error error = { 0 };
    struct table *table = build_cdb(false, 3000);

    expect_entry(table, "b@EXAMPLE.com", "one");
    expect_entry(table, "\"q q\"@x", "quoted");
    expect_entry(table, "k2999", "k2999");
    expect_entry(table, "k3000", NULL);
    expect_entry(table, "", NULL);
    assert_false(table_is_stale(table));
    table_close(&table);
    table = build_cdb(true, 0);
    expect_entry(table, "b@example.com", "two");
    table_close(&table);
    assert_null(table_builder_new(specification_of("cdb", "map"), &incremental, &error));
}

static void a_damaged_constant_database_fails_and_is_not_absent(void **state)
{
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct table *table = build_cdb(false, 100);
    struct str value;

    assert_int_equal(truncate(path_of("map.cdb"), 2100), 0);
    assert_true(table_is_stale(table));
    assert_int_equal(table_find(table, STR("k5"), &arena, &value, &error), LOOKUP_FAILED);
    assert_int_equal(truncate(path_of("map.cdb"), 0), 0);
    assert_int_equal(table_find(table, STR("k5"), &arena, &value, &error), LOOKUP_FAILED);
    assert_non_null(strstr(error.message, "map.cdb: the file is cut short or damaged"));
    table_close(&table);
    arena_clear(&arena);
}

static void tables_of_tables_ask_their_members(void **state)
{
    static const char *const bad[] = { "unionmap:{}",        "pipemap:{x}",
                                       "randmap:a",          "randmap:{}",
                                       "unionmap:{static:a", "unix:shadow.byname",
                                       "unionmap:{no:x}",    "pipemap:{static:a} b" };
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value;
    struct table *table =
        open_table(STR("unionmap:{ inline:{ a=1, b=2 }, inline:{ {a = 3} }, static:x }"));

    expect_entry(table, "a", "1,3,x");
    expect_entry(table, "c", "x");
    table_close(&table);
    table = open_table(STR("unionmap:{inline:{a=1},fail:x}"));
    assert_int_equal(table_find(table, STR("a"), &arena, &value, &error), LOOKUP_FAILED);
    table_close(&table);
    table = open_table(STR("pipemap:{inline:{a=B},pcre:{{/^(B)$/i <$1>}}}"));
    expect_entry(table, "A", "<B>");
    expect_entry(table, "b", NULL);
    table_close(&table);
    table = open_table(STR("randmap:{ same, same }"));
    expect_entry(table, "whatever", "same");
    table_close(&table);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_null(table_open(str_from(bad[i]), &options, &error));
    arena_clear(&arena);
}

static void the_system_answers_for_accounts_and_environment(void **state)
{
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value;
    struct table *table = open_table(STR("unix:passwd.byname"));

    assert_int_equal(table_find(table, STR("ROOT"), &arena, &value, &error), LOOKUP_FOUND);
    assert_true(str_starts_with(value, STR("root:x:0:0:")));
    expect_entry(table, "no such user", NULL);
    table_close(&table);
    table = open_table(STR("unix:group.byname"));
    assert_int_equal(table_find(table, STR("root"), &arena, &value, &error), LOOKUP_FOUND);
    assert_true(str_starts_with(value, STR("root:x:0:")));
    table_close(&table);
    setenv("waypost_test", "set", 1);
    table = open_table(STR("environ:any"));
    expect_entry(table, "WAYPOST_test", "set");
    expect_entry(table, "waypost_other", NULL);
    table_close(&table);
    table = open_table(STR("internal:x"));
    expect_entry(table, "a", NULL);
    table_close(&table);
    arena_clear(&arena);
}

static void patterns_are_asked_about_whole_keys_alone(void **state)
{
    static const struct {
        const char *specification;
        bool takes_parts;
    } cases[] = {
        { "pcre:{{/a/ b}}", false },
        { "proxy:regexp:{{/a/ b}}", false },
        { "cidr:{{::/0 b}}", false },
        { "inline:{a=b}", true },
        { "unionmap:{inline:{a=b},static:x}", true },
        { "unionmap:{inline:{a=b},pipemap:{static:x,pcre:{{/a/ b}}}}", false },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct table *table = open_table(str_from(cases[i].specification));
        assert_int_equal(table_takes_parts(table), cases[i].takes_parts);
        table_close(&table);
    }
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
                                         "moved.db", "moved",  "perl",        "slow",
                                         "map.cdb" };

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
        cmocka_unit_test(patterns_are_tried_in_order),
        cmocka_unit_test(bad_rules_are_named_and_left_out),
        cmocka_unit_test(perl_patterns_have_flags_and_look_around),
        cmocka_unit_test(a_pattern_that_needs_too_long_fails_and_is_not_absent),
        cmocka_unit_test(many_slow_patterns_share_one_limit_of_time),
        cmocka_unit_test(a_slow_pattern_still_finds_what_comes_late),
        cmocka_unit_test(rules_may_stand_in_the_name),
        cmocka_unit_test(built_tables_are_found_replaced_and_listed),
        cmocka_unit_test(constant_databases_are_built_and_read),
        cmocka_unit_test(a_damaged_constant_database_fails_and_is_not_absent),
        cmocka_unit_test(tables_of_tables_ask_their_members),
        cmocka_unit_test(the_system_answers_for_accounts_and_environment),
        cmocka_unit_test(patterns_are_asked_about_whole_keys_alone),
        cmocka_unit_test(a_build_that_is_given_up_leaves_nothing),
        cmocka_unit_test(many_entries_take_many_transactions),
        cmocka_unit_test(what_cannot_open_says_what_to_do),
        cmocka_unit_test(a_berkeley_table_is_served_from_its_source),
        cmocka_unit_test(a_table_cut_short_while_open_fails_and_does_not_crash),
        cmocka_unit_test(a_failing_table_fails_and_is_not_absent),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
