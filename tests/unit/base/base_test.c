/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void list_has_a_word_as_main_cf_writes_lists(void **state)
{
    (void)state;
    assert_true(str_list_has(STR("a, B\tc"), STR("b")));
    assert_true(str_list_has(STR("a, B\tc"), STR("c")));
    assert_false(str_list_has(STR("ab"), STR("a")));
    assert_false(str_list_has(STR(""), STR("")));
}

static void str_cut_leaves_what_follows_the_separator(void **state)
{
    struct str rest = STR("a:b:c");

    assert_true(str_equal(str_cut(&rest, ":"), STR("a")));
    assert_true(str_equal(rest, STR("b:c")));
    str_cut(&rest, ":");
    assert_true(str_equal(str_cut(&rest, ":"), STR("c")));
    assert_true(str_is_empty(rest));
}

static void numbers_refuse_overflow_signs_and_leftovers(void **state)
{
    static const char *const bad[] = { "", "-", "+1", "1x", " 1", "18446744073709551616", "--1" };
    uint64_t number;
    int64_t with_sign;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(str_to_u64(str_from(bad[i]), &number));
    assert_true(str_to_u64(STR("18446744073709551615"), &number));
    assert_true(number == UINT64_MAX);
    assert_false(str_to_i64(STR("9223372036854775808"), &with_sign));
    assert_true(str_to_i64(STR("-12"), &with_sign));
    assert_int_equal(with_sign, -12);
}

static void buffer_past_its_limit_stays_overflowed_until_cleared(void **state)
{
    struct buf buf;

    buf_init(&buf, 4);
    buf_append_text(&buf, "abc");
    buf_append_text(&buf, "de");
    buf_append_text(&buf, "f");
    assert_true(buf.is_overflowed);
    assert_string_equal(buf_text(&buf), "abc");
    buf_clear(&buf);
    buf_append_text(&buf, "wxyz");
    assert_false(buf.is_overflowed);
    buf_free(&buf);
}

static void arena_gives_aligned_zeroed_memory_of_any_size(void **state)
{
    struct arena arena = { 0 };

    for (size_t size = 1; size < 9000; size = size * 3 + 1) {
        char *memory = arena_new(&arena, size);
        assert_int_equal((uintptr_t)memory % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xff, size);
    }
    arena_clear(&arena);
}

static void map_finds_what_is_there_after_many_removals(void **state)
{
    struct map *map = map_new();
    char key[16];
    static int values[2000];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2000; i++) {
            struct str text = { key, (size_t)snprintf(key, sizeof key, "k%d", i) };
            map_set(map, text, &values[i]);
        }
        for (int i = 0; i < 2000; i += 2) {
            struct str text = { key, (size_t)snprintf(key, sizeof key, "k%d", i) };
            assert_ptr_equal(map_remove(map, text), &values[i]);
        }
        for (int i = 0; i < 2000; i++) {
            struct str text = { key, (size_t)snprintf(key, sizeof key, "k%d", i) };
            assert_ptr_equal(map_find(map, text), i % 2 == 0 ? NULL : (void *)&values[i]);
        }
        assert_int_equal(map_count(map), 1000);
    }
    map_free(&map);
}

/* Every length in every room that a block may have left. */
static void arena_printf_is_right_whatever_room_there_is(void **state)
{
    static char text[1200];
    enum { STEP = 7, KEPT = 40 };
    const char *kept[KEPT];
    size_t lengths[KEPT], count = 0;
    struct arena arena = { 0 };

    memset(text, 'y', sizeof text);
    for (size_t len = 0; len < sizeof text; len += STEP) {
        for (count = 0; count < KEPT; count++) {
            lengths[count] = (len + count) % sizeof text;
            kept[count] = arena_printf(&arena, "<%.*s>", (int)lengths[count], text);
        }
        for (count = 0; count < KEPT; count++) {
            assert_int_equal(strlen(kept[count]), lengths[count] + 2);
            assert_memory_equal(kept[count] + 1, text, lengths[count]);
            assert_int_equal(kept[count][lengths[count] + 1], '>');
        }
        arena_clear(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_has_a_word_as_main_cf_writes_lists),
        cmocka_unit_test(str_cut_leaves_what_follows_the_separator),
        cmocka_unit_test(numbers_refuse_overflow_signs_and_leftovers),
        cmocka_unit_test(buffer_past_its_limit_stays_overflowed_until_cleared),
        cmocka_unit_test(arena_gives_aligned_zeroed_memory_of_any_size),
        cmocka_unit_test(arena_printf_is_right_whatever_room_there_is),
        cmocka_unit_test(map_finds_what_is_there_after_many_removals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
