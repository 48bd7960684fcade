/* SPDX-License-Identifier: Apache-2.0 */
/* Writes that fail, at every place; processes that die at any moment. */
#include "faults.h"
#include "spool.h"

#include "base/clock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLACES_MAX = 60, LIVE_COUNT = 8 };

/* A batch that writes, replaces and removes. Returns what the commit said, or what spoilt it. */
static enum store_outcome change(struct store *store, uint64_t round, struct error *error)
{
    enum store_outcome outcome = STORE_OK;

    if (!store_begin(store, error))
        return STORE_FAILED;
    for (uint64_t i = 0; i < 4 && outcome == STORE_OK; i++)
        outcome = message_put(store, 1000 + round * 10 + i, 3000 + 30000 * (size_t)i, 5, error);
    if (outcome == STORE_OK)
        outcome =
            store_update_message(store, round % LIVE_COUNT, STR("again"), (int64_t)round, error);
    if (outcome == STORE_OK)
        return store_commit(store, error);
    store_abort(store);
    return outcome;
}

static void check_round(struct spool *spool, uint64_t round, bool is_there)
{
    for (uint64_t i = 0; i < 4; i++) {
        bool is_same;
        enum store_outcome outcome =
            message_check(spool->store, 1000 + round * 10 + i, 3000 + 30000 * (size_t)i, &is_same);
        assert_int_equal(outcome, is_there ? STORE_OK : STORE_ABSENT);
        assert_true(!is_there || is_same);
    }
}

static bool resolve(struct spool *spool, enum store_outcome outcome)
{
    faults_clear();
    if (outcome == STORE_OK)
        return true;
    if (outcome == STORE_FULL)
        return false;
    assert_true(outcome == STORE_UNKNOWN || outcome == STORE_FAILED);
    outcome = store_reopen(spool->store, &spool->error);
    if (outcome == STORE_FAILED)
        fail_msg("%s", spool->error.message);
    return outcome == STORE_OK;
}

static void fail_everywhere(struct spool *spool, enum fault_kind kind, int is_for_ever)
{
    int hits = 1, failures = 0;

    for (uint64_t id = 0; id < LIVE_COUNT; id++)
        spool_put(spool, id, 4000, 1);
    for (uint64_t id = 100; id < 300; id++) /* leaves free pages here and there */
        spool_put(spool, id, 3000 + id % 7 * 4096, 1);
    for (uint64_t id = 100; id < 300; id += 2)
        spool_delete(spool, id);
    for (int place = 1; place <= PLACES_MAX && hits > 0; place++) {
        faults_arm(kind, place, is_for_ever);
        enum store_outcome outcome = change(spool->store, (uint64_t)place, &spool->error);
        hits = faults_hit_count();
        failures += hits > 0;
        assert_true(hits > 0 ? outcome != STORE_OK : outcome == STORE_OK);
        check_round(spool, (uint64_t)place, resolve(spool, outcome));
        assert_int_equal(verify_problems(spool->store), 0);
    }
    assert_int_equal(hits, 0);
    assert_true(failures >= (kind == FAULT_SYNC_EIO ? 1 : 4)); /* the calls are really ours */

    spool_reopen(spool);
    assert_int_equal(verify_problems(spool->store), 0);
    for (uint64_t id = 0; id < LIVE_COUNT; id++) {
        bool is_same;
        assert_int_equal(message_check(spool->store, id, 4000, &is_same), STORE_OK);
        assert_true(is_same);
    }
}

static void a_write_error_anywhere_loses_nothing_acknowledged(void **state)
{
    fail_everywhere(*state, FAULT_WRITE_EIO, 0);
}

static void lasting_write_errors_lose_nothing_acknowledged(void **state)
{
    fail_everywhere(*state, FAULT_WRITE_EIO, 1);
}

static void a_full_disk_anywhere_is_told_and_nothing_is_written(void **state)
{
    fail_everywhere(*state, FAULT_WRITE_ENOSPC, 0);
}

static void a_short_write_anywhere_loses_nothing_acknowledged(void **state)
{
    fail_everywhere(*state, FAULT_WRITE_SHORT, 0);
}

static void a_failing_flush_is_never_success(void **state)
{
    fail_everywhere(*state, FAULT_SYNC_EIO, 0);
}

static void a_store_that_cannot_be_written_does_not_open(void **state)
{
    struct spool *spool = *state;

    spool_put(spool, 1, 4000, 1);
    spool_close(spool);
    for (int place = 1; place <= 2; place++) {
        faults_arm(FAULT_SYNC_EIO, place, 1);
        assert_false(spool_try_open(spool));
        faults_clear();
    }
    spool_open(spool);
    assert_int_equal(store_message_count(spool->store), 1);
}

/* ---- kill -9 ---- */

enum { KILL_MS = 4000, KILL_IDS = 64 };

struct ledger_entry {
    uint64_t id;
    uint32_t bytes; /* 0: deleted */
    uint32_t is_committed;
};

/* Writes an entry before the commit, and another when it has returned. */
static void write_for_ever(struct spool *spool, int ledger, unsigned seed)
{
    for (unsigned step = seed * 1000;; step++) {
        struct ledger_entry entry = { step % KILL_IDS, 0, 0 };
        enum store_outcome outcome;

        if (!store_begin(spool->store, &spool->error))
            _exit(3);
        outcome = store_delete_message(spool->store, entry.id, &spool->error);
        if (outcome == STORE_ABSENT) {
            entry.bytes = 1 + step * 7919 % 90000;
            outcome = message_put(spool->store, entry.id, entry.bytes, step, &spool->error);
        }
        if (outcome != STORE_OK || write(ledger, &entry, sizeof entry) != sizeof entry)
            _exit(4);
        if (store_commit(spool->store, &spool->error) != STORE_OK)
            _exit(5);
        entry.is_committed = 1;
        if (write(ledger, &entry, sizeof entry) != sizeof entry)
            _exit(6);
    }
}

static void check_ledger(struct spool *spool, int ledger, uint32_t bytes[KILL_IDS])
{
    struct ledger_entry entry, last = { .is_committed = 1 };
    bool is_same;

    while (read(ledger, &entry, sizeof entry) == sizeof entry) {
        if (entry.is_committed)
            bytes[entry.id] = entry.bytes;
        last = entry;
    }
    for (uint64_t id = 0; id < KILL_IDS; id++) {
        bool is_open_end = !last.is_committed && last.id == id;
        enum store_outcome outcome = message_check(spool->store, id, bytes[id], &is_same);
        if (is_open_end && (outcome == STORE_OK) != (bytes[id] != 0)) {
            bytes[id] = last.bytes; /* the commit was on disk, only its return was not seen */
            outcome = message_check(spool->store, id, bytes[id], &is_same);
        }
        assert_int_equal(outcome, bytes[id] != 0 ? STORE_OK : STORE_ABSENT);
        assert_true(bytes[id] == 0 || is_same);
    }
}

static void run_and_kill(struct spool *spool, unsigned seed, int delay_us, int ledger)
{
    pid_t child = fork();

    if (child == 0) {
        if (!spool_try_open(spool))
            _exit(2);
        write_for_ever(spool, ledger, seed);
    }
    usleep((useconds_t)delay_us);
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void killed_at_any_moment_what_was_committed_is_there(void **state)
{
    struct spool *spool = *state;
    uint32_t bytes[KILL_IDS] = { 0 };
    int64_t end_ms = clock_monotonic_ms() + KILL_MS;
    int ledger;

    srand(11);
    for (unsigned seed = 1; clock_monotonic_ms() < end_ms; seed++) {
        spool_close(spool);
        FILE *file = tmpfile();
        assert_non_null(file);
        ledger = fileno(file);
        run_and_kill(spool, seed, 1000 + rand() % 150000, ledger);
        lseek(ledger, 0, SEEK_SET);
        spool_open(spool);
        check_ledger(spool, ledger, bytes);
        assert_int_equal(verify_problems(spool->store), 0);
        fclose(file);
    }
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_setup, spool_teardown)
    static const struct CMUnitTest tests[] = {
        SPOOL_TEST(a_write_error_anywhere_loses_nothing_acknowledged),
        SPOOL_TEST(lasting_write_errors_lose_nothing_acknowledged),
        SPOOL_TEST(a_full_disk_anywhere_is_told_and_nothing_is_written),
        SPOOL_TEST(a_short_write_anywhere_loses_nothing_acknowledged),
        SPOOL_TEST(a_failing_flush_is_never_success),
        SPOOL_TEST(a_store_that_cannot_be_written_does_not_open),
        SPOOL_TEST(killed_at_any_moment_what_was_committed_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
