/* SPDX-License-Identifier: Apache-2.0 */
/* How messages of a benchmark are told apart, and counted. */
#include "copy_set.h"
#include "mark.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct mark sample = { .run = 0xab01, .number = 0xfffe17, .due_us = 123456789012345 };

static void write_line(struct buf *out, const struct mark *mark)
{
    char id[MARK_ID_LEN], time[MARK_TIME_LEN];

    mark_format_id(mark, id);
    mark_format_time(mark, time);
    buf_printf(out, MARK_HEADER "%.*s %.*s\r\n", MARK_ID_LEN, id, MARK_TIME_LEN, time);
}

static void mark_is_found_among_a_relays_headers(void **state)
{
    struct buf head = { 0 };
    struct mark found;

    buf_append_text(&head, "Received: from x.example\r\n\tby y.example\r\nX-Bench: no\r\n");
    write_line(&head, &sample);
    buf_append_text(&head, "\r\nbody\r\n");
    assert_true(mark_find(buf_str(&head), &found));
    assert_int_equal(found.run, sample.run);
    assert_int_equal(found.number, sample.number);
    assert_int_equal(found.due_us, sample.due_us);
    buf_free(&head);
}

static void half_a_mark_is_none(void **state)
{
    struct buf line = { 0 };
    struct mark found;

    write_line(&line, &sample);
    assert_int_equal(line.len, MARK_LINE_LEN);
    for (size_t len = 0; len < MARK_LINE_LEN - 2; len++)
        assert_false(mark_find(str_take(buf_str(&line), len), &found));
    line.ptr[sizeof MARK_HEADER + 2] = 'g'; /* no hexadecimal digit */
    assert_false(mark_find(buf_str(&line), &found));
    buf_free(&line);
}

static void message_without_its_own_last_line_is_not_whole(void **state)
{
    struct mark other = sample;
    char id[MARK_ID_LEN];
    struct buf end = { 0 };

    mark_format_id(&sample, id);
    buf_printf(&end, "text\r\n" MARK_LAST_LINE "%.*s\r\n", MARK_ID_LEN, id);
    assert_true(mark_ends(buf_str(&end), &sample));
    other.number++;
    assert_false(mark_ends(buf_str(&end), &other));
    assert_false(mark_ends(str_take(buf_str(&end), end.len - 1), &sample));
    assert_false(mark_ends(STR("end of"), &sample));
    buf_free(&end);
}

static void copies_of_other_messages_and_recipients_differ(void **state)
{
    struct mark next = sample, run = sample;
    char line[MARK_COPY_LEN];
    uint64_t parsed;

    next.number++;
    run.run++;
    assert_true(mark_copy(&sample, 0) != mark_copy(&sample, 1));
    assert_true(mark_copy(&sample, 0) != mark_copy(&next, 0));
    assert_true(mark_copy(&sample, 0) != mark_copy(&run, 0));
    mark_format_copy(mark_copy(&sample, 65535), line);
    assert_true(mark_parse_copy(str_of(line, sizeof line), &parsed));
    assert_true(parsed == mark_copy(&sample, 65535));
    assert_false(mark_parse_copy(str_of(line, sizeof line - 1), &parsed));
}

static void set_knows_exactly_what_was_added(void **state)
{
    struct copy_set set = { 0 };
    struct mark mark = sample;

    assert_false(copy_set_has(&set, mark_copy(&mark, 0)));
    for (mark.number = 0; mark.number < 20000; mark.number++)
        for (uint32_t ordinal = 0; ordinal < 3; ordinal++)
            assert_true(copy_set_add(&set, mark_copy(&mark, ordinal)));
    assert_int_equal(set.count, 60000);
    for (mark.number = 0; mark.number < 20000; mark.number++) {
        assert_false(copy_set_add(&set, mark_copy(&mark, 2)));
        assert_true(copy_set_has(&set, mark_copy(&mark, 1)));
        assert_false(copy_set_has(&set, mark_copy(&mark, 3)));
    }
    assert_int_equal(set.count, 60000);
    copy_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mark_is_found_among_a_relays_headers),
        cmocka_unit_test(half_a_mark_is_none),
        cmocka_unit_test(message_without_its_own_last_line_is_not_whole),
        cmocka_unit_test(copies_of_other_messages_and_recipients_differ),
        cmocka_unit_test(set_knows_exactly_what_was_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
