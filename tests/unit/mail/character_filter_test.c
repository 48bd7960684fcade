/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/character_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* In portions of `size` bytes. */
static bool filter(const struct character_rules *rules, struct str content, size_t size,
                   struct character_filter *filter, struct buf *out)
{
    *filter = (struct character_filter){ .line = { 0 } };
    while (content.len > 0) {
        if (!character_filter_add(filter, rules, str_take(content, size), out))
            return false;
        content = str_skip(content, size);
    }
    return true;
}

static void what_is_stripped_is_gone_and_line_ends_stay(void **state)
{
    static const struct str content = STR_INIT("a-b\r\n\r\n--\0x\r\nlast-");
    struct character_rules rules = character_rules_parse(STR(""), STR("-\\0\\r\\n"));

    assert_false(character_rules_are_empty(&rules));
    for (size_t size = 1; size <= content.len; size++) {
        autofree_buf struct buf out = { 0 };
        struct character_filter state_of_it;
        assert_true(filter(&rules, content, size, &state_of_it, &out));
        assert_string_equal(buf_text(&out), "ab\r\n\r\nx\r\nlast");
        character_filter_clear(&state_of_it);
    }
    (void)state;
}

static void what_is_rejected_is_shown_with_its_line(void **state)
{
    static const struct str content = STR_INIT("first\r\nthe quick fox\r\n");
    struct character_rules rules = character_rules_parse(STR("q\\r\\n"), STR("q"));

    for (size_t size = 1; size <= content.len; size++) {
        autofree_buf struct buf out = { 0 };
        struct character_filter state_of_it;
        assert_false(filter(&rules, content, size, &state_of_it, &out));
        assert_true(str_starts_with(buf_str(&state_of_it.line), STR("the q")));
        character_filter_clear(&state_of_it);
    }
    (void)state;
}

static void without_rules_content_passes(void **state)
{
    autofree_buf struct buf out = { 0 };
    struct character_rules rules = character_rules_parse(STR(""), STR(""));
    struct character_filter state_of_it;

    assert_true(character_rules_are_empty(&rules));
    assert_true(filter(&rules, STR("a\0b\r\n"), 3, &state_of_it, &out));
    assert_int_equal(out.len, 5);
    character_filter_clear(&state_of_it);
    (void)state;
}

static void a_long_line_is_remembered_only_as_far_as_it_is_shown(void **state)
{
    struct character_rules rules = character_rules_parse(STR("!"), STR(""));
    struct character_filter state_of_it = { .line = { 0 } };
    autofree_buf struct buf out = { 0 };

    for (int i = 0; i < 1000; i++)
        assert_true(character_filter_add(&state_of_it, &rules, STR("0123456789"), &out));
    assert_true(state_of_it.line.len <= 200);
    assert_false(character_filter_add(&state_of_it, &rules, STR("!"), &out));
    character_filter_clear(&state_of_it);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stripped_is_gone_and_line_ends_stay),
        cmocka_unit_test(what_is_rejected_is_shown_with_its_line),
        cmocka_unit_test(without_rules_content_passes),
        cmocka_unit_test(a_long_line_is_remembered_only_as_far_as_it_is_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
