/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that fills up: a small ext4 file system of its own, seen by this process alone. Skipped
 * where it cannot be mounted. */
#include "spool.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    DISK_BYTES = 48 << 20,
    RESERVE_BYTES = 4 << 20,
    MESSAGE_BYTES = 20000,
    LIVE_MAX = 4000,
    BATCH = 50
};

static bool run(const char *const arguments[])
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    return waitpid(child, &status, 0) == child && status == 0;
}

static bool make_image(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_fine = fd >= 0 && ftruncate(fd, DISK_BYTES) == 0;

    close(fd);
    return is_fine;
}

/* The folder of the spool becomes a mount point. */
static bool mount_disk(const char *folder, char image[64])
{
    snprintf(image, 64, "%s.image", folder);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    const char *const format[] = { "/sbin/mkfs.ext4", "-q", "-F", "-m", "0", image, NULL };
    const char *const attach[] = { "mount", "-o", "loop", image, folder, NULL };
    bool is_fine = make_image(image) && run(format) && run(attach);
    unlink(image);
    return is_fine;
}

static int disk_setup(void **state)
{
    static char image[64];

    if (spool_setup(state) != 0)
        return -1;
    struct spool *spool = *state;
    spool_close(spool);
    spool->options.reserve_bytes = RESERVE_BYTES;
    spool->options.is_any_filesystem = false; /* this one is ext4 */
    if (mount_disk(spool->folder, image))
        spool_open(spool);
    return 0;
}

static int disk_teardown(void **state)
{
    struct spool *spool = *state;

    spool_close(spool);
    umount2(spool->folder, MNT_DETACH);
    return spool_teardown(state);
}

static bool is_low(struct spool *spool)
{
    struct store_space space;

    store_space(spool->store, 0, &space);
    return space.is_low;
}

static void commit(struct spool *spool)
{
    if (store_commit(spool->store, &spool->error) != STORE_OK)
        fail_msg("%s", spool->error.message);
}

/* As the committer does it: until the store says that room is low. */
static uint64_t fill(struct spool *spool)
{
    uint64_t next_id = 0;

    while (!is_low(spool) && next_id < LIVE_MAX) {
        assert_true(store_begin(spool->store, &spool->error));
        for (int i = 0; i < BATCH; i++, next_id++)
            assert_int_equal(
                message_put(spool->store, next_id, MESSAGE_BYTES, (int64_t)next_id, &spool->error),
                STORE_OK);
        commit(spool);
    }
    return next_id;
}

static void update_all(struct spool *spool, uint64_t end)
{
    for (uint64_t id = 0; id < end; id++) {
        if (id % BATCH == 0)
            assert_true(store_begin(spool->store, &spool->error));
        assert_int_equal(store_update_message(spool->store, id, STR("deferred: the disk is full"),
                                              9, &spool->error),
                         STORE_OK);
        if (id % BATCH == BATCH - 1)
            commit(spool);
    }
}

static void delete_all(struct spool *spool, uint64_t end)
{
    for (uint64_t id = 0; id < end; id++) {
        if (id % BATCH == 0)
            assert_true(store_begin(spool->store, &spool->error));
        assert_int_equal(store_delete_message(spool->store, id, &spool->error), STORE_OK);
        if (id % BATCH == BATCH - 1)
            commit(spool);
    }
}

/* Somebody else takes all that the disk still has. */
static void fill_rest(struct spool *spool, char path[128])
{
    static const char bytes[65536];

    snprintf(path, 128, "%s/other", spool->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    size_t len = sizeof bytes;
    while (len > 0)
        if (write(fd, bytes, len) < 0)
            len /= 2;
    close(fd);
}

static void assert_all_there(struct spool *spool, uint64_t from, uint64_t end)
{
    bool is_same;

    for (uint64_t id = from; id < end; id++) {
        assert_int_equal(message_check(spool->store, id, MESSAGE_BYTES, &is_same), STORE_OK);
        assert_true(is_same);
    }
}

static void results_and_deletions_proceed_on_a_full_disk(void **state)
{
    struct spool *spool = *state;
    char path[128];

    if (spool->store == NULL)
        skip();
    for (int round = 0; round < 3; round++) {
        uint64_t end = fill(spool);
        assert_in_range(end, 300, LIVE_MAX - 1);
        fill_rest(spool, path);
        spool_reopen(spool);
        assert_true(is_low(spool));
        update_all(spool, end);
        assert_all_there(spool, 0, end);
        delete_all(spool, end);
        assert_int_equal(store_message_count(spool->store), 0);
        assert_int_equal(verify_problems(spool->store), 0);
        assert_false(is_low(spool)); /* what was freed serves new mail */
        unlink(path);
    }
}

static void past_the_last_byte_nothing_acknowledged_is_lost(void **state)
{
    struct spool *spool = *state;
    enum store_outcome outcome = STORE_OK;
    char path[128];
    uint64_t end = 0;

    if (spool->store == NULL)
        skip();
    end = fill(spool);
    fill_rest(spool, path);
    while (outcome == STORE_OK) { /* ignoring is_low, until the reserve is gone as well */
        assert_true(store_begin(spool->store, &spool->error));
        outcome = message_put(spool->store, end, MESSAGE_BYTES, 1, &spool->error);
        if (outcome == STORE_OK)
            outcome = store_commit(spool->store, &spool->error);
        else
            store_abort(spool->store);
        end += outcome == STORE_OK;
    }
    assert_int_equal(outcome, STORE_FULL);
    assert_non_null(strstr(spool->error.message, "no room left"));
    assert_all_there(spool, 0, end);
    unlink(path);
    assert_all_there(spool, 0, end);
    spool_delete(spool, 0);
    spool_put(spool, end, MESSAGE_BYTES, 1);
    spool_reopen(spool);
    assert_all_there(spool, 1, end + 1);
    assert_int_equal(verify_problems(spool->store), 0);
}

int main(void)
{
#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)
    static const struct CMUnitTest tests[] = {
        DISK_TEST(results_and_deletions_proceed_on_a_full_disk),
        DISK_TEST(past_the_last_byte_nothing_acknowledged_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
