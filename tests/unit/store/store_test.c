/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const size_t sizes[] = { 0,     1,     500,   1800,   1900,   1950,  2100,
                                4000,  4096,  8000,  32000,  32728,  32729, 40000,
                                65456, 65536, 65537, 200000, 1000000 };
enum { SIZE_COUNT = sizeof sizes / sizeof *sizes };

static void assert_message(struct spool *spool, uint64_t queue_id, size_t content_bytes)
{
    bool is_same;

    assert_int_equal(message_check(spool->store, queue_id, content_bytes, &is_same), STORE_OK);
    assert_true(is_same);
}

static void assert_envelope(struct spool *spool, uint64_t queue_id, const char *text,
                            int64_t due_ms)
{
    autofree_buf struct buf envelope = { 0 };
    int64_t found_ms;

    assert_int_equal(
        store_read_envelope(spool->store, queue_id, &envelope, &found_ms, &spool->error), STORE_OK);
    assert_string_equal(buf_text(&envelope), text);
    assert_true(found_ms == due_ms);
}

static void messages_of_every_size_are_there_after_reopening(void **state)
{
    struct spool *spool = *state;

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < SIZE_COUNT && round == 0; i++)
            spool_put(spool, 100 + i, sizes[i], (int64_t)i);
        for (size_t i = 0; i < SIZE_COUNT; i++) {
            autofree_buf struct buf envelope = message_envelope(100 + i);
            assert_message(spool, 100 + i, sizes[i]);
            assert_envelope(spool, 100 + i, buf_text(&envelope), (int64_t)i);
        }
        assert_int_equal(store_message_count(spool->store), SIZE_COUNT);
        assert_int_equal(verify_problems(spool->store), 0);
        spool_reopen(spool);
    }
    for (size_t i = 0; i < SIZE_COUNT; i++)
        spool_delete(spool, 100 + i);
    spool_reopen(spool);
    assert_int_equal(store_message_count(spool->store), 0);
    assert_int_equal(verify_problems(spool->store), 0);
}

static void an_update_replaces_envelope_and_schedule_only(void **state)
{
    struct spool *spool = *state;
    struct store_due due[4];

    spool_put(spool, 7, 50000, 1000);
    spool_put(spool, 8, 5000, 2000);
    spool_update(spool, 7, "first try", 3000);
    spool_update(spool, 7, "second try", 3000);
    spool_reopen(spool);
    assert_envelope(spool, 7, "second try", 3000);
    assert_message(spool, 7, 50000);
    assert_int_equal(store_scan_due(spool->store, (struct store_due){ 0, 0 }, due, 4), 2);
    assert_int_equal(due[0].queue_id, 8);
    assert_int_equal(due[1].queue_id, 7);
    assert_int_equal(verify_problems(spool->store), 0);
    spool_delete(spool, 7);
    assert_int_equal(store_scan_due(spool->store, (struct store_due){ 0, 0 }, due, 4), 1);
    assert_int_equal(verify_problems(spool->store), 0);
}

static void what_is_not_there_is_absent_and_what_is_there_stays(void **state)
{
    struct spool *spool = *state;
    struct error *error = &spool->error;
    struct buf envelope = { 0 };
    bool is_same;

    spool_put(spool, 5, 100000, 1);
    assert_true(store_begin(spool->store, error));
    assert_int_equal(store_delete_message(spool->store, 6, error), STORE_ABSENT);
    assert_int_equal(store_update_message(spool->store, 6, STR("x"), 1, error), STORE_ABSENT);
    assert_int_equal(message_put(spool->store, 5, 10, 2, error), STORE_EXISTS);
    assert_int_equal(store_put_chunk(spool->store, 5, 0, STR("evil"), error), STORE_EXISTS);
    assert_int_equal(store_drop_chunks(spool->store, 5, 9, error), STORE_EXISTS);
    struct store_message lacking = {
        .queue_id = 9, .envelope = STR("e"), .chunk_count = 1, .content = STR("")
    };
    assert_int_equal(store_put_message(spool->store, &lacking, error), STORE_ABSENT);
    assert_int_equal(store_commit(spool->store, error), STORE_OK);
    assert_int_equal(store_read_envelope(spool->store, 6, &envelope, NULL, error), STORE_ABSENT);
    assert_int_equal(message_check(spool->store, 6, 0, &is_same), STORE_ABSENT);
    assert_message(spool, 5, 100000);
    assert_int_equal(store_message_count(spool->store), 1);
}

static void scans_go_on_where_they_ended(void **state)
{
    struct spool *spool = *state;
    struct store_due from = { INT64_MIN, 0 }, due[3];
    uint64_t ids[3], next_id = 0;
    size_t seen = 0, count;

    for (uint64_t i = 0; i < 20; i++)
        spool_put(spool, i * 3, 10, i % 2 == 0 ? -5 : 5);
    while ((count = store_scan_due(spool->store, from, due, 3)) > 0) {
        seen += count;
        from = (struct store_due){ due[count - 1].due_ms, due[count - 1].queue_id + 1 };
    }
    assert_int_equal(seen, 20);
    for (seen = 0; (count = store_scan_ids(spool->store, next_id, ids, 3)) > 0; seen += count)
        next_id = ids[count - 1] + 1;
    assert_int_equal(seen, 20);
}

static void an_aborted_batch_leaves_nothing(void **state)
{
    struct spool *spool = *state;

    spool_put(spool, 1, 5000, 1);
    assert_true(store_begin(spool->store, &spool->error));
    message_put(spool->store, 2, 5000, 1, &spool->error);
    store_delete_message(spool->store, 1, &spool->error);
    store_abort(spool->store);
    spool_put(spool, 3, 100, 1);
    assert_int_equal(store_message_count(spool->store), 2);
    assert_message(spool, 1, 5000);
    assert_int_equal(verify_problems(spool->store), 0);
}

static void the_id_mark_survives_and_never_goes_back(void **state)
{
    struct spool *spool = *state;

    store_set_id_mark(spool->store, 500);
    store_set_id_mark(spool->store, 400);
    spool_put(spool, 1, 1, 1);
    assert_int_equal(store_id_mark(spool->store), 500);
    spool_reopen(spool);
    assert_int_equal(store_id_mark(spool->store), 500);
    assert_true(store_begin(spool->store, &spool->error));
    store_set_id_mark(spool->store, 501);
    assert_int_equal(store_commit(spool->store, &spool->error), STORE_OK);
    assert_int_equal(store_reopen(spool->store, &spool->error), STORE_OK);
    assert_int_equal(store_id_mark(spool->store), 501);
}

static void chunks_without_a_message_are_swept_at_the_start(void **state)
{
    struct spool *spool = *state;
    char bytes[100] = { 0 };

    spool_put(spool, 10, 200000, 1);
    for (uint32_t id = 9; id <= 12; id += id == 9 ? 2 : 1) {
        assert_true(store_begin(spool->store, &spool->error));
        for (uint32_t index = 0; index < 2500; index++)
            assert_int_equal(store_put_chunk(spool->store, id, index, str_of(bytes, sizeof bytes),
                                             &spool->error),
                             STORE_OK);
        assert_int_equal(store_commit(spool->store, &spool->error), STORE_OK);
    }
    assert_true(store_begin(spool->store, &spool->error));
    assert_int_equal(store_drop_chunks(spool->store, 9, 2500, &spool->error), STORE_OK);
    assert_int_equal(store_commit(spool->store, &spool->error), STORE_OK);
    spool_reopen(spool);
    assert_non_null(strstr(spool->notices, "5000 pieces"));
    assert_message(spool, 10, 200000);
    assert_int_equal(verify_problems(spool->store), 0);
    spool->notices[0] = '\0';
    spool_reopen(spool);
    assert_null(strstr(spool->notices, "pieces"));
}

static void a_very_large_message_is_deleted_over_several_batches(void **state)
{
    struct spool *spool = *state;
    struct store_message message = {
        .queue_id = 3, .envelope = STR("e"), .chunk_count = 4500, .content = STR("end")
    };

    assert_true(store_begin(spool->store, &spool->error));
    for (uint32_t index = 0; index < message.chunk_count; index++)
        assert_int_equal(store_put_chunk(spool->store, 3, index, STR("piece"), &spool->error),
                         STORE_OK);
    assert_int_equal(store_put_message(spool->store, &message, &spool->error), STORE_OK);
    assert_int_equal(store_commit(spool->store, &spool->error), STORE_OK);
    spool_delete(spool, 3);
    for (uint64_t id = 10; id < 14; id++)
        spool_put(spool, id, 1, 1);
    spool->notices[0] = '\0';
    spool_reopen(spool);
    assert_null(strstr(spool->notices, "pieces"));
    assert_int_equal(verify_problems(spool->store), 0);
}

static void a_second_opener_is_refused(void **state)
{
    struct spool *spool = *state;
    struct error error;

    assert_null(store_open(&spool->options, &error));
    assert_non_null(strstr(error.message, "in use by another process"));
}

static void compaction_keeps_everything(void **state)
{
    struct spool *spool = *state;
    struct store_space before, after;

    for (uint64_t id = 1; id <= 300; id++)
        spool_put(spool, id, 5000 + id * 100, (int64_t)id);
    for (uint64_t id = 1; id <= 300; id++)
        if (id % 20 != 0)
            spool_delete(spool, id);
    store_set_id_mark(spool->store, 1000);
    spool_update(spool, 20, "tried once", 77);
    store_space(spool->store, 0, &before);
    if (!store_compact(spool->store, &spool->error))
        fail_msg("%s", spool->error.message);
    store_space(spool->store, 0, &after);
    assert_true(after.file_bytes < before.file_bytes);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(store_message_count(spool->store), 15);
        assert_int_equal(store_id_mark(spool->store), 1000);
        for (uint64_t id = 20; id <= 300; id += 20)
            assert_message(spool, id, 5000 + id * 100);
        assert_envelope(spool, 20, "tried once", 77);
        spool_put(spool, 1000 + (uint64_t)round, 100, 1);
        spool_delete(spool, 1000 + (uint64_t)round);
        assert_int_equal(verify_problems(spool->store), 0);
        spool_reopen(spool);
    }
}

static void random_operations_agree_with_a_model(void **state)
{
    enum { ID_COUNT = 200, STEP_COUNT = 3000 };
    struct spool *spool = *state;
    size_t model[ID_COUNT] = { 0 };

    srand(7);
    for (int step = 0; step < STEP_COUNT; step += 20) {
        assert_true(store_begin(spool->store, &spool->error));
        for (int i = 0; i < 20; i++) {
            uint64_t id = (uint64_t)rand() % ID_COUNT;
            size_t size = 1 + (size_t)rand() % (rand() % 4 == 0 ? 100000 : 9000);
            if (model[id] == 0) {
                assert_int_equal(message_put(spool->store, id, size, rand(), &spool->error),
                                 STORE_OK);
                model[id] = size;
            } else if (rand() % 2 == 0) {
                assert_int_equal(store_delete_message(spool->store, id, &spool->error), STORE_OK);
                model[id] = 0;
            } else {
                assert_int_equal(
                    store_update_message(spool->store, id, STR("again"), rand(), &spool->error),
                    STORE_OK);
            }
        }
        assert_int_equal(store_commit(spool->store, &spool->error), STORE_OK);
        if (step % 500 == 0)
            spool_reopen(spool);
    }
    for (uint64_t id = 0; id < ID_COUNT; id++)
        if (model[id] > 0)
            assert_message(spool, id, model[id]);
    assert_int_equal(verify_problems(spool->store), 0);
}

static void space_tells_what_is_used(void **state)
{
    struct spool *spool = *state;
    struct store_space space;

    for (uint64_t id = 0; id < 100; id++)
        spool_put(spool, id, 7000, 1);
    store_space(spool->store, 0, &space);
    assert_in_range(space.used_bytes, 100 * 8192, 100 * 8192 + 40 * 4096);
    assert_true(space.file_bytes >= space.used_bytes + spool->options.reserve_bytes);
    assert_false(space.is_low);
    store_space(spool->store, UINT64_MAX, &space);
    assert_true(space.is_low);
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_setup, spool_teardown)
    static const struct CMUnitTest tests[] = {
        SPOOL_TEST(messages_of_every_size_are_there_after_reopening),
        SPOOL_TEST(an_update_replaces_envelope_and_schedule_only),
        SPOOL_TEST(what_is_not_there_is_absent_and_what_is_there_stays),
        SPOOL_TEST(scans_go_on_where_they_ended),
        SPOOL_TEST(an_aborted_batch_leaves_nothing),
        SPOOL_TEST(the_id_mark_survives_and_never_goes_back),
        SPOOL_TEST(chunks_without_a_message_are_swept_at_the_start),
        SPOOL_TEST(a_very_large_message_is_deleted_over_several_batches),
        SPOOL_TEST(a_second_opener_is_refused),
        SPOOL_TEST(compaction_keeps_everything),
        SPOOL_TEST(random_operations_agree_with_a_model),
        SPOOL_TEST(space_tells_what_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
