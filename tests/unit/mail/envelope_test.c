/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/envelope.h"
#include "mail/queue_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void fill(struct arena *arena, struct envelope *envelope)
{
    *envelope = (struct envelope){ .sender = STR("a@b"),
                                   .flags = ENVELOPE_8BITMIME | ENVELOPE_RET_HEADERS,
                                   .arrival_us = 1700000000123456,
                                   .size_bytes = 316,
                                   .content_bytes = 330,
                                   .client_name = STR("unknown"),
                                   .client_address = STR("192.0.2.1"),
                                   .helo_name = STR("x"),
                                   .protocol = STR("ESMTP"),
                                   .filter = STR("smtp:[192.0.2.1]:10025"),
                                   .next_attempt_ms = -1,
                                   .attempts = 7 };
    for (int i = 0; i < 9; i++) {
        struct recipient recipient = { .address = STR("c@d"),
                                       .dsn_orcpt = STR("rfc822;c@d"),
                                       .dsn_notify = DSN_NOTIFY_DELAY,
                                       .state = (uint8_t)(i % 3),
                                       .dsn_status = STR("4.4.1"),
                                       .diagnostic = STR("connect to d: timed out") };
        envelope_add_recipient(arena, envelope, &recipient);
    }
}

static void decoding_gives_back_what_was_encoded(void **state)
{
    struct arena arena = { 0 };
    struct buf first = { 0 }, second = { 0 };
    struct envelope envelope, decoded;
    struct error error = { 0 };

    fill(&arena, &envelope);
    envelope_encode(&envelope, &first);
    assert_true(envelope_decode(&arena, buf_str(&first), &decoded, &error));
    assert_true(str_equal(decoded.sender, STR("a@b")));
    assert_true(str_equal(decoded.filter, STR("smtp:[192.0.2.1]:10025")));
    assert_int_equal(decoded.attempts, 7);
    assert_int_equal(decoded.recipient_count, 9);
    assert_int_equal(envelope_waiting_count(&decoded), 3);
    envelope_add_recipient(&arena, &decoded, &(struct recipient){ .address = STR("e@f") });
    assert_int_equal(decoded.recipient_count, 10);
    decoded.recipient_count = 9;
    envelope_encode(&decoded, &second);
    assert_true(str_equal(buf_str(&first), buf_str(&second)));
    buf_free(&first);
    buf_free(&second);
    arena_clear(&arena);
}

static void every_cut_and_every_leftover_is_refused(void **state)
{
    struct arena arena = { 0 };
    struct buf bytes = { 0 };
    struct envelope envelope, decoded;
    struct error error = { 0 };

    fill(&arena, &envelope);
    envelope_encode(&envelope, &bytes);
    for (size_t len = 0; len < bytes.len; len++)
        assert_false(envelope_decode(&arena, str_take(buf_str(&bytes), len), &decoded, &error));
    buf_append_byte(&bytes, 'x');
    assert_false(envelope_decode(&arena, buf_str(&bytes), &decoded, &error));
    bytes.ptr[0] = 1;
    assert_false(envelope_decode(&arena, buf_str(&bytes), &decoded, &error));
    buf_free(&bytes);
    arena_clear(&arena);
}

static void control_characters_do_not_get_in(void **state)
{
    struct arena arena = { 0 };
    struct buf bytes = { 0 };
    struct envelope decoded, envelope = { .sender = STR("a\nb@c") };
    struct error error = { 0 };

    envelope_encode(&envelope, &bytes);
    assert_false(envelope_decode(&arena, buf_str(&bytes), &decoded, &error));
    buf_free(&bytes);
    arena_clear(&arena);
}

static void queue_ids_have_two_texts(void **state)
{
    uint64_t id = queue_id_from_wall_ms(1700000000123) + 5, parsed;
    struct queue_id_text text = queue_id_format(id, false);

    assert_int_equal(strlen(text.text), 12);
    assert_true(queue_id_parse(str_from(text.text), &parsed) && parsed == id);
    assert_int_equal(queue_id_wall_ms(id), 1700000000123);
    text = queue_id_format(id, true);
    assert_true(strlen(text.text) >= 15 && text.text[10] == 'z' && text.text[0] <= '9');
    assert_true(queue_id_parse(str_from(text.text), &parsed) && parsed == id);
    assert_true(queue_id_from_wall_ms(0) == 0);
    id = ((uint64_t)1 << 48) - 1;
    text = queue_id_format(id, true);
    assert_true(queue_id_parse(str_from(text.text), &parsed) && parsed == id);
    assert_string_equal(queue_id_format(id, false).text, "FFFFFFFFFFFF");
}

static void anything_else_is_no_queue_id(void **state)
{
    static const struct str bad[] = {
        STR_INIT(""),
        STR_INIT("A"),
        STR_INIT("../x"),
        STR_INIT("FFFFFFFFFFFF*"),
        STR_INIT("ffffffffffff"),
        STR_INIT("FFFFFFFFFFF"),
        STR_INIT("FFFFFFFFFFFFF"),
        STR_INIT("FFFFFFFFFFF\0"),
        STR_INIT("0000000000z0000"), /* before the epoch */
        STR_INIT("zzzzzzzzzzz0000"), /* 4 letters hold more than a million */
        STR_INIT("4BCDFG0000z1111"),
        STR_INIT("aeiouaeiouz0000"),
        STR_INIT("ALL"),
    };
    uint64_t id;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (queue_id_parse(bad[i], &id))
            fail_msg("%.*s", STR_ARGS(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_gives_back_what_was_encoded),
        cmocka_unit_test(every_cut_and_every_leftover_is_refused),
        cmocka_unit_test(control_characters_do_not_get_in),
        cmocka_unit_test(queue_ids_have_two_texts),
        cmocka_unit_test(anything_else_is_no_queue_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
