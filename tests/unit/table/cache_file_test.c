/* SPDX-License-Identifier: Apache-2.0 */
#include "table/cache_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/cache-file-XXXXXX";
static char path[128], aside[128];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/cache.lmdb", folder);
    snprintf(aside, sizeof aside, "%s.bad", path);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(path);
    unlink(aside);
    return 0;
}

static bool holds(struct cache_file *cache, const char *key, const char *value)
{
    struct arena scratch = { 0 };
    struct str found = STR("");
    bool is_found = cache_file_find(cache, &scratch, str_from(key), &found) &&
                    str_equal(found, str_from(value));

    arena_clear(&scratch);
    return is_found;
}

static void what_was_written_is_there_again(void **state)
{
    struct error error = { 0 };
    struct cache_file *cache = cache_file_open(path, &error);

    (void)state;
    assert_non_null(cache);
    cache_file_put(cache, STR("a@b"), STR("1"));
    cache_file_put(cache, STR("a@b"), STR("2"));
    assert_true(holds(cache, "a@b", "2"));
    assert_true(cache_file_write(cache, &error));
    assert_false(cache_file_is_dirty(cache));
    cache_file_put(cache, STR("lost@b"), STR("3"));
    cache_file_free(&cache);
    cache = cache_file_open(path, &error);
    assert_non_null(cache);
    assert_true(holds(cache, "a@b", "2"));
    assert_false(holds(cache, "lost@b", "3"));
    cache_file_free(&cache);
}

static void a_file_that_is_no_database_is_moved_aside(void **state)
{
    struct error error = { 0 };
    FILE *file = fopen(path, "w");

    (void)state;
    assert_non_null(file);
    for (int i = 0; i < 5000; i++)
        fputs("nonsense", file);
    fclose(file);
    struct cache_file *cache = cache_file_open(path, &error);
    assert_non_null(cache);
    assert_non_null(strstr(error.message, "moved it to"));
    assert_int_equal(access(aside, F_OK), 0);
    cache_file_put(cache, STR("k"), STR("v"));
    assert_true(cache_file_write(cache, &error));
    cache_file_free(&cache);
}

static void a_cache_in_memory_works_without_a_file(void **state)
{
    struct error error = { 0 };
    struct cache_file *cache = cache_file_open(NULL, &error);
    char long_key[600];

    (void)state;
    memset(long_key, 'x', sizeof long_key);
    cache_file_put(cache, STR("k"), STR("v"));
    cache_file_put(cache, str_of(long_key, sizeof long_key), STR("w"));
    assert_true(holds(cache, "k", "v"));
    assert_false(cache_file_is_dirty(cache));
    assert_true(cache_file_write(cache, &error));
    assert_true(holds(cache, "k", "v"));
    cache_file_free(&cache);
}

static bool is_v(void *argument, struct str key, struct str value)
{
    (void)argument;
    (void)key;
    return str_equal(value, STR("v"));
}

static void sweeping_takes_what_is_old_from_file_and_memory(void **state)
{
    struct error error = { 0 };
    struct cache_file *cache = cache_file_open(path, &error);
    char long_key[600];
    struct cache_file_sweep sweep = { .is_old = is_v };

    (void)state;
    memset(long_key, 'x', sizeof long_key);
    cache_file_put(cache, STR("old1"), STR("v"));
    cache_file_put(cache, STR("old2"), STR("v"));
    cache_file_put(cache, STR("young"), STR("w"));
    cache_file_put(cache, str_of(long_key, sizeof long_key), STR("v"));
    assert_true(cache_file_sweep(cache, &sweep, &error));
    assert_int_equal(sweep.removed, 3);
    assert_int_equal(sweep.kept, 1);
    assert_false(holds(cache, "old1", "v"));
    assert_true(holds(cache, "young", "w"));
    cache_file_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_was_written_is_there_again, remove_files),
        cmocka_unit_test_teardown(a_file_that_is_no_database_is_moved_aside, remove_files),
        cmocka_unit_test_teardown(a_cache_in_memory_works_without_a_file, remove_files),
        cmocka_unit_test_teardown(sweeping_takes_what_is_old_from_file_and_memory, remove_files),
    };
    int failed = cmocka_run_group_tests(tests, make_folder, NULL);

    rmdir(folder);
    return failed;
}
