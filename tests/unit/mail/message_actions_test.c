/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/message_actions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void add(struct arena *arena, struct envelope *envelope, struct str address)
{
    envelope_add_recipient(arena, envelope, &(struct recipient){ .address = address });
}

static void nothing_asked_changes_nothing(void **state)
{
    struct arena arena = { 0 };
    struct envelope envelope = { 0 };
    struct message_actions actions = { 0 };

    (void)state;
    add(&arena, &envelope, STR("a@b"));
    message_actions_apply(&actions, &arena, &envelope);
    assert_int_equal(envelope.flags, 0);
    assert_int_equal(envelope.recipient_count, 1);
    assert_true(str_is_empty(envelope.filter));
    arena_clear(&arena);
}

static void hold_filter_and_copies_are_put_into_the_envelope(void **state)
{
    struct arena arena = { 0 };
    struct envelope envelope = { 0 };
    struct message_actions actions = { .is_held = true, .filter = STR("smtp:[127.0.0.1]:10025") };

    (void)state;
    add(&arena, &envelope, STR("a@b"));
    message_actions_add_bcc(&actions, &arena, STR("c@d"));
    message_actions_add_bcc(&actions, &arena, STR("a@b"));
    message_actions_apply(&actions, &arena, &envelope);
    assert_int_equal(envelope.flags, ENVELOPE_HELD);
    assert_true(str_equal(envelope.filter, STR("smtp:[127.0.0.1]:10025")));
    assert_int_equal(envelope.recipient_count, 2);
    assert_true(str_equal(envelope.recipients[1].address, STR("c@d")));
    assert_int_equal(envelope.recipients[1].dsn_notify, DSN_NOTIFY_NEVER);
    arena_clear(&arena);
}

static void redirect_leaves_one_recipient_that_remembers_the_first(void **state)
{
    struct arena arena = { 0 };
    struct envelope envelope = { 0 };
    struct message_actions actions = { .redirect = STR("x@y") };

    (void)state;
    add(&arena, &envelope, STR("a@b"));
    add(&arena, &envelope, STR("c@d"));
    message_actions_add_bcc(&actions, &arena, STR("e@f"));
    message_actions_apply(&actions, &arena, &envelope);
    assert_int_equal(envelope.recipient_count, 1);
    assert_true(str_equal(envelope.recipients[0].address, STR("x@y")));
    assert_true(str_equal(envelope.recipients[0].original_recipient, STR("a@b")));
    arena_clear(&arena);
}

static void prepended_headers_keep_their_order(void **state)
{
    struct arena arena = { 0 };
    struct message_actions actions = { 0 };

    (void)state;
    message_actions_prepend(&actions, &arena, STR("X-One: 1"));
    message_actions_prepend(&actions, &arena, STR("X-Two: 2"));
    assert_true(str_equal(actions.prepended, STR("X-One: 1\r\nX-Two: 2\r\n")));
    arena_clear(&arena);
}

static void copies_are_bounded(void **state)
{
    struct arena arena = { 0 };
    struct message_actions actions = { 0 };

    (void)state;
    for (int i = 0; i < MESSAGE_BCC_MAX * 2; i++)
        message_actions_add_bcc(&actions, &arena, STR("a@b"));
    assert_int_equal(actions.bcc_count, MESSAGE_BCC_MAX);
    arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_asked_changes_nothing),
        cmocka_unit_test(hold_filter_and_copies_are_put_into_the_envelope),
        cmocka_unit_test(redirect_leaves_one_recipient_that_remembers_the_first),
        cmocka_unit_test(prepended_headers_keep_their_order),
        cmocka_unit_test(copies_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
