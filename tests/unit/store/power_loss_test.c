/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power loss: the store works for a while and everything it writes is recorded; then files are made
 * as a power loss at a random moment could have left them, and each must open and hold exactly what
 * had been acknowledged by then, or that and the commit that was under way.
 *
 * WAYPOST_CRASH_STATES sets how many such files are tried (default 150, twice).
 */
#include "spool.h"
#include "write_log.h"

#include "base/file.h"

#include <unistd.h>

enum { ID_COUNT = 40, STEP_COUNT = 80, STATES = 150, FILE_MAX = 64 << 20 };

/* What is in the store after each acknowledged step: the size of each message and how often it was
 * updated; size 0: not there. */
struct model {
    uint32_t bytes[ID_COUNT];
    uint32_t updates[ID_COUNT];
};

static struct model models[STEP_COUNT + 1];

static void data_path(const struct spool *spool, char path[128])
{
    snprintf(path, 128, "%s/data.mdb", spool->folder);
}

static void change_one(struct spool *spool, struct model *model)
{
    uint64_t id = (uint64_t)rand() % ID_COUNT;
    enum store_outcome outcome;

    if (model->bytes[id] == 0) {
        model->bytes[id] = 1 + (uint32_t)rand() % (rand() % 5 == 0 ? 90000 : 7000);
        model->updates[id] = 0;
        outcome = message_put(spool->store, id, model->bytes[id], rand(), &spool->error);
    } else if (rand() % 3 == 0) {
        char envelope[32];
        snprintf(envelope, sizeof envelope, "update %u", ++model->updates[id]);
        outcome = store_update_message(spool->store, id, str_from(envelope), rand(), &spool->error);
    } else {
        model->bytes[id] = 0;
        outcome = store_delete_message(spool->store, id, &spool->error);
    }
    assert_int_equal(outcome, STORE_OK);
}

static void work(struct spool *spool)
{
    for (size_t step = 1; step <= STEP_COUNT; step++) {
        models[step] = models[step - 1];
        assert_true(store_begin(spool->store, &spool->error));
        for (int i = 1 + rand() % 6; i > 0; i--)
            change_one(spool, &models[step]);
        assert_int_equal(store_commit(spool->store, &spool->error), STORE_OK);
        write_log_mark(step);
    }
}

static bool agrees(struct spool *spool, const struct model *model)
{
    for (uint64_t id = 0; id < ID_COUNT; id++) {
        autofree_buf struct buf envelope = { 0 }, expected = message_envelope(id);
        bool is_same;
        enum store_outcome outcome = message_check(spool->store, id, model->bytes[id], &is_same);

        if (outcome != (model->bytes[id] == 0 ? STORE_ABSENT : STORE_OK))
            return false;
        if (outcome == STORE_ABSENT)
            continue;
        if (model->updates[id] > 0) {
            buf_clear(&expected);
            buf_printf(&expected, "update %u", model->updates[id]);
        }
        if (!is_same ||
            store_read_envelope(spool->store, id, &envelope, NULL, &spool->error) != STORE_OK ||
            !str_equal(buf_str(&envelope), buf_str(&expected)))
            return false;
    }
    return true;
}

static size_t last_mark(size_t count)
{
    size_t mark = 0;

    for (size_t i = 0; i < count; i++)
        if (write_log_at(i)->kind == LOG_MARK)
            mark = write_log_at(i)->mark;
    return mark;
}

/* The file as it would be after a loss of power at a random place; returns what was acknowledged.
 */
static size_t lose_power(struct spool *spool, struct str before, bool is_torn)
{
    autofree_buf struct buf image = { 0 };
    size_t count = 1 + (size_t)rand() % write_log_count();
    char path[128];

    /* A torn write is one that was under way: nothing after it. */
    while (is_torn &&
           !(write_log_at(count - 1)->kind == LOG_WRITE && write_log_at(count - 1)->is_meta))
        count = 1 + (size_t)rand() % write_log_count();
    buf_append(&image, before);
    write_log_replay(&image, count, is_torn);
    data_path(spool, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(image.ptr, 1, image.len, file), image.len);
    fclose(file);
    return last_mark(count);
}

static void try_states(struct spool *spool, struct str before, size_t states, bool is_torn)
{
    for (size_t state = 0; state < states; state++) {
        size_t mark = lose_power(spool, before, is_torn);
        spool_open(spool);
        if (!agrees(spool, &models[mark]) &&
            (mark == STEP_COUNT || !agrees(spool, &models[mark + 1])))
            fail_msg("state %zu: neither step %zu nor the next", state, mark);
        assert_int_equal(verify_problems(spool->store), 0);
        spool_put(spool, 1000, 5000, 1); /* and it goes on working */
        assert_int_equal(verify_problems(spool->store), 0);
        spool_close(spool);
    }
}

static int power_setup(void **state)
{
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    return spool_setup(state);
}

static void run(struct spool *spool, bool is_torn)
{
    const char *wanted = getenv("WAYPOST_CRASH_STATES");
    struct buf before = { 0 };
    char path[128];

    srand(is_torn ? 23 : 22);
    spool_close(spool);
    data_path(spool, path);
    assert_true(file_read(path, FILE_MAX, &before, &spool->error));
    write_log_start(path);
    spool_open(spool);
    models[0] = (struct model){ 0 };
    work(spool);
    write_log_stop();
    spool_close(spool);
    assert_true(write_log_count() > 5 * STEP_COUNT);
    spool->options.may_repair = is_torn;
    try_states(spool, buf_str(&before), wanted != NULL ? strtoul(wanted, NULL, 10) : STATES,
               is_torn);
    write_log_free();
    buf_free(&before);
}

static void after_power_loss_all_that_was_acknowledged_is_there(void **state)
{
    run(*state, false);
}

static void a_torn_sector_costs_only_the_commit_under_way(void **state)
{
    run(*state, true);
}

int main(void)
{
#define POWER_TEST(name) cmocka_unit_test_setup_teardown(name, power_setup, spool_teardown)
    static const struct CMUnitTest tests[] = {
        POWER_TEST(after_power_loss_all_that_was_acknowledged_is_there),
        POWER_TEST(a_torn_sector_costs_only_the_commit_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
