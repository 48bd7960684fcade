/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not as they were written: never a crash, never wrong mail, never a new empty queue
 * in place of a lost one. */
#include "spool.h"

#include "base/file.h"
#include "base/memory.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, MESSAGE_COUNT = 40, FLIPS_PER_PAGE = 2, FILE_MAX = 16 << 20 };

static size_t size_of(uint64_t id)
{
    static const size_t sizes[] = { 100, 1500, 3000, 9000, 40000, 70000 };

    return sizes[id % (sizeof sizes / sizeof *sizes)];
}

static void data_path(const struct spool *spool, char path[128])
{
    snprintf(path, 128, "%s/data.mdb", spool->folder);
}

static struct buf read_data(const struct spool *spool)
{
    struct buf bytes = { 0 };
    struct error error;
    char path[128];

    data_path(spool, path);
    assert_true(file_read(path, FILE_MAX, &bytes, &error));
    return bytes;
}

static void write_data(const struct spool *spool, struct str bytes)
{
    char path[128];

    data_path(spool, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    fclose(file);
}

/* In memory where the system has such a folder: these tests open hundreds of stores. */
static int memory_setup(void **state)
{
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    if (spool_setup(state) != 0)
        return -1;
    struct spool *spool = *state;
    for (uint64_t id = 0; id < MESSAGE_COUNT; id++)
        spool_put(spool, id, size_of(id), (int64_t)id);
    for (uint64_t id = 0; id < MESSAGE_COUNT; id += 5)
        spool_update(spool, id, "an update", 1000 + (int64_t)id);
    for (uint64_t id = 3; id < MESSAGE_COUNT; id += 10)
        spool_delete(spool, id);
    spool_close(spool);
    return 0;
}

static bool was_deleted(uint64_t id)
{
    return id % 10 == 3;
}

/* What a reader gets is right or reported. */
static bool reads_are_honest(struct store *store)
{
    for (uint64_t id = 0; id < MESSAGE_COUNT; id++) {
        autofree_buf struct buf expected = message_envelope(id), found = { 0 };
        struct error error;
        bool is_same;

        if (message_check(store, id, size_of(id), &is_same) == STORE_OK &&
            (!is_same || was_deleted(id)))
            return false;
        if (store_read_envelope(store, id, &found, NULL, &error) == STORE_OK &&
            !str_equal(buf_str(&found), id % 5 == 0 ? STR("an update") : buf_str(&expected)))
            return false;
    }
    return true;
}

/* And the others can still be removed and added to. */
static bool changes_are_survived(struct store *store)
{
    struct error error;

    for (uint64_t id = 0; id < MESSAGE_COUNT + 5; id++) {
        if (!store_begin(store, &error))
            return false;
        enum store_outcome outcome = id < MESSAGE_COUNT
                                         ? store_delete_message(store, id, &error)
                                         : message_put(store, id + 100, 20000, 1, &error);
        if (outcome == STORE_FULL || outcome == STORE_FAILED ||
            store_commit(store, &error) != STORE_OK) {
            store_abort(store);
            return true;
        }
    }
    return true;
}

enum fate { FATE_FINE = 10, FATE_REFUSED, FATE_WRONG_READ, FATE_WRONG_WRITE };

static enum fate try_store(struct spool *spool)
{
    struct store_due due[100];

    if (!spool_try_open(spool))
        return spool->error.message[0] != '\0' ? FATE_REFUSED : FATE_WRONG_READ;
    store_scan_due(spool->store, (struct store_due){ 0, 0 }, due, 100);
    if (!reads_are_honest(spool->store))
        return FATE_WRONG_READ;
    store_verify(spool->store, NULL, NULL);
    return changes_are_survived(spool->store) ? FATE_FINE : FATE_WRONG_WRITE;
}

static enum fate try_in_child(struct spool *spool)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        alarm(20);
        _exit((int)try_store(spool));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        fail_msg("killed by signal %d", WTERMSIG(status));
    return (enum fate)WEXITSTATUS(status);
}

/* Half of the flips hit the first bytes of a page, where its structure is. */
static size_t flip_at(size_t page, int flip)
{
    size_t within = flip % 2 == 0 ? (size_t)rand() % 64 : (size_t)rand() % PAGE;

    return page * PAGE + within;
}

static size_t used_pages(struct str bytes)
{
    size_t count = bytes.len / PAGE;

    while (count > 0 && bytes.ptr[(count - 1) * PAGE] == 0 &&
           memcmp(bytes.ptr + (count - 1) * PAGE, bytes.ptr + (count - 1) * PAGE + 1, PAGE - 1) ==
               0)
        count--;
    return count;
}

static void forget_damaged(struct spool *spool)
{
    char path[128];

    snprintf(path, sizeof path, "%s/data.mdb.damaged", spool->folder);
    unlink(path);
}

static void flip_everywhere(struct spool *spool, size_t first_page)
{
    autofree_buf struct buf bytes = read_data(spool);
    size_t pages = used_pages(buf_str(&bytes)), refused = 0, tried = 0;

    assert_true(pages > 100);
    for (size_t page = first_page; page < pages; page++)
        for (int flip = 0; flip < FLIPS_PER_PAGE; flip++) {
            size_t at = flip_at(page, flip);
            char bit = (char)(1 << rand() % 8);

            bytes.ptr[at] = (char)(bytes.ptr[at] ^ bit);
            write_data(spool, buf_str(&bytes));
            bytes.ptr[at] = (char)(bytes.ptr[at] ^ bit);
            enum fate fate = try_in_child(spool);
            if (fate != FATE_FINE && fate != FATE_REFUSED)
                fail_msg("byte %zu of page %zu, bit %d: fate %d", at % PAGE, page, bit, fate);
            refused += fate == FATE_REFUSED;
            tried++;
            forget_damaged(spool);
        }
    printf("%zu flips in %zu pages: %zu refused at the start, others survived\n", tried, pages,
           refused);
    assert_true(refused == 0 || !spool->options.may_repair);
    write_data(spool, buf_str(&bytes));
    spool_open(spool);
    assert_true(reads_are_honest(spool->store));
}

static void a_flipped_bit_anywhere_never_crashes_nor_changes_mail(void **state)
{
    srand(3);
    flip_everywhere(*state, 0);
}

/* But for the two meta pages, without which there is no beginning. */
static void a_flipped_bit_anywhere_can_be_repaired(void **state)
{
    struct spool *spool = *state;

    srand(4);
    spool->options.may_repair = true;
    flip_everywhere(spool, 2);
}

/* Every page of the tree in turn is overwritten. */
static void all_but_a_lost_page_is_rescued(void **state)
{
    struct spool *spool = *state;
    autofree_buf struct buf bytes = read_data(spool);
    size_t rescued_most = 0;

    spool->options.may_repair = true;
    for (size_t page = 2; page < used_pages(buf_str(&bytes)); page++) {
        if (bytes.ptr[page * PAGE + 10] != 2) /* only leaves */
            continue;
        autofree_buf struct buf garbled = { 0 };
        buf_append(&garbled, buf_str(&bytes));
        memset(garbled.ptr + page * PAGE, 0xa5, PAGE);
        write_data(spool, buf_str(&garbled));
        spool->notices[0] = '\0';
        spool_open(spool);
        assert_true(reads_are_honest(spool->store));
        if (store_was_repaired(spool->store) && store_message_count(spool->store) > rescued_most)
            rescued_most = store_message_count(spool->store);
        spool_close(spool);
        forget_damaged(spool);
    }
    assert_true(rescued_most >= MESSAGE_COUNT / 2);
}

static void damaged_content_is_told_and_can_be_removed(void **state)
{
    struct spool *spool = *state;
    autofree_buf struct buf bytes = read_data(spool);
    char part[64];
    bool is_same;

    content_fill(4, 30000, part, sizeof part); /* within a chunk of a message of 40,000 bytes */
    ptrdiff_t at = str_find(buf_str(&bytes), str_of(part, sizeof part));
    assert_true(at > 0);
    bytes.ptr[at] ^= 1;
    write_data(spool, buf_str(&bytes));
    spool_open(spool);
    assert_int_equal(message_check(spool->store, 4, size_of(4), &is_same), STORE_DAMAGED);
    for (uint64_t id = 0; id < MESSAGE_COUNT; id++)
        if (id != 4 && !was_deleted(id))
            assert_int_equal(message_check(spool->store, id, size_of(id), &is_same), STORE_OK);
    assert_true(store_verify(spool->store, NULL, NULL) > 0);
    spool_delete(spool, 4);
    assert_int_equal(verify_problems(spool->store), 0);
}

static void a_missing_or_short_data_file_is_never_made_anew(void **state)
{
    struct spool *spool = *state;
    autofree_buf struct buf bytes = read_data(spool);
    size_t pages = used_pages(buf_str(&bytes));
    const size_t lengths[] = { 0, 1, PAGE, 2 * PAGE, (pages - 1) * PAGE, pages * PAGE - 1 };
    char path[128];

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_data(spool, str_of(bytes.ptr, lengths[i]));
        assert_int_equal(try_in_child(spool), FATE_REFUSED);
        autofree_buf struct buf left = read_data(spool);
        assert_int_equal(left.len, lengths[i]);
    }
    data_path(spool, path);
    unlink(path);
    assert_false(spool_try_open(spool));
    assert_non_null(strstr(spool->error.message, "missing or truncated"));
    assert_int_equal(access(path, F_OK), -1);
}

/* As LMDB leaves it before our first commit, or a part of that: without the marker, which the first
 * start writes last, nothing was ever stored. */
static void what_an_interrupted_first_start_left_is_begun_anew(void **state)
{
    struct spool *spool = *state;
    char marker[128], blank[3 * PAGE] = { 0 }, path[128], kept[140];
    const size_t lengths[] = { 0, 1, PAGE, 2 * PAGE, sizeof blank };

    snprintf(marker, sizeof marker, "%s/queue.marker", spool->folder);
    data_path(spool, path);
    snprintf(kept, sizeof kept, "%s.damaged", path);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_data(spool, str_of(blank, lengths[i]));
        unlink(marker);
        spool->notices[0] = '\0';
        spool_open(spool);
        assert_non_null(strstr(spool->notices, "was interrupted"));
        assert_int_equal(access(kept, F_OK), 0);
        spool_put(spool, 1, 3000, 1);
        spool_reopen(spool);
        assert_int_equal(store_message_count(spool->store), 1);
        spool_close(spool);
    }
}

static void a_queue_that_only_lost_its_marker_is_not_taken_for_an_interrupted_start(void **state)
{
    struct spool *spool = *state;
    autofree_buf struct buf bytes = read_data(spool);
    char marker[128];

    snprintf(marker, sizeof marker, "%s/queue.marker", spool->folder);
    unlink(marker);
    spool_reopen(spool);
    assert_true(reads_are_honest(spool->store));
    spool_close(spool);
    unlink(marker);
    memset(bytes.ptr, 0, PAGE);
    write_data(spool, buf_str(&bytes));
    assert_false(spool_try_open(spool));
    autofree_buf struct buf left = read_data(spool);
    assert_true(str_equal(buf_str(&left), buf_str(&bytes)));
}

static void something_else_in_the_data_file_is_refused(void **state)
{
    struct spool *spool = *state;
    autofree_buf struct buf bytes = read_data(spool);

    memset(bytes.ptr, 'x', bytes.len);
    write_data(spool, buf_str(&bytes));
    assert_false(spool_try_open(spool));
    assert_non_null(strstr(spool->error.message, "not a queue"));
    memset(bytes.ptr, 0, bytes.len);
    write_data(spool, buf_str(&bytes));
    assert_false(spool_try_open(spool));
}

static void a_garbled_or_missing_lock_file_is_made_anew(void **state)
{
    struct spool *spool = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/lock.mdb", spool->folder);
    unlink(path);
    spool_reopen(spool);
    spool_close(spool);
    assert_int_equal(truncate(path, 0), 0);
    spool_reopen(spool);
    assert_true(reads_are_honest(spool->store));
}

static void a_queue_of_another_version_is_refused(void **state)
{
    struct spool *spool = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/queue.marker", spool->folder);
    FILE *file = fopen(path, "w");
    fputs("waypost queue 2\n", file);
    fclose(file);
    assert_false(spool_try_open(spool));
    assert_non_null(strstr(spool->error.message, "not of this version"));
}

/* The newer meta page: the one with the higher transaction number. */
static size_t newest_meta(struct str bytes)
{
    uint64_t numbers[2];

    for (size_t i = 0; i < 2; i++)
        memcpy(&numbers[i], bytes.ptr + i * PAGE + 144, sizeof numbers[i]);
    return numbers[1] > numbers[0];
}

static void a_torn_commit_is_refused_and_repaired_on_request(void **state)
{
    struct spool *spool = *state;
    struct buf before = read_data(spool), after;

    spool_open(spool);
    spool_put(spool, 500, 3000, 1);
    pid_t child = fork(); /* leaves without the orderly last commit */
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    after = read_data(spool);
    spool_close(spool);
    /* The tail of the newest meta page did not reach the disk: the number of the commit is new, its
     * tree is that of two commits before. */
    size_t newest = newest_meta(buf_str(&after));
    memcpy(after.ptr + newest * PAGE + 16, before.ptr + newest * PAGE + 16, 120);
    write_data(spool, buf_str(&after));
    assert_false(spool_try_open(spool));
    assert_non_null(strstr(spool->error.message, "the one before it is not"));
    spool->options.may_repair = true;
    spool_open(spool);
    assert_true(store_was_repaired(spool->store));
    assert_true(reads_are_honest(spool->store));
    assert_int_equal(verify_problems(spool->store), 0);
    buf_free(&before);
    buf_free(&after);
}

/* The last commit was acknowledged; a page that it wrote has gone bad since. The commit before it
 * is whole, but to go back to that would lose mail. */
static void damage_to_the_newest_commit_is_not_taken_for_a_torn_one(void **state)
{
    static const char key[] = { 'M', 0, 0, 0, 0, 0, 0, 1, (char)0xf4 };
    struct spool *spool = *state;
    bool is_same;

    spool_open(spool);
    spool_put(spool, 500, 3000, 1);
    autofree_buf struct buf bytes = read_data(spool);
    spool_close(spool);
    size_t upper_at = 0;
    for (size_t at = 2 * PAGE; at + sizeof key < bytes.len; at++)
        if (memcmp(bytes.ptr + at, key, sizeof key) == 0)
            upper_at = at / PAGE * PAGE + 14;
    assert_true(upper_at > 0);
    bytes.ptr[upper_at] ^= 4;
    write_data(spool, buf_str(&bytes));
    assert_false(spool_try_open(spool));
    spool->options.may_repair = true;
    spool_open(spool);
    assert_int_equal(message_check(spool->store, 500, 3000, &is_same), STORE_OK);
    assert_true(reads_are_honest(spool->store));
    forget_damaged(spool);
}

/* Of the newest commit, or the one before it. */
static uint64_t root_page(struct str bytes, bool is_newest)
{
    enum { ROOT_AT = 16 + 24 + 48 + 40 }; /* of the second tree, in a meta page */
    size_t meta = is_newest ? newest_meta(bytes) : 1 - newest_meta(bytes);
    uint64_t page;

    memcpy(&page, bytes.ptr + meta * PAGE + ROOT_AT, sizeof page);
    return page;
}

/* Its page says no more how much is in it. (One that is not even the page that it should be was
 * never written: that is a torn commit.) */
static void garble_root(struct buf *bytes, bool is_newest)
{
    enum { LOWER_AT = 12 };

    memset(bytes->ptr + root_page(buf_str(bytes), is_newest) * PAGE + LOWER_AT, 0, 2);
}

/* And each leaf in turn, so that the commit before it is not whole either. */
static void without_its_root_the_commit_before_is_rescued(void **state)
{
    struct spool *spool = *state;
    size_t rescued_most = 0;
    bool is_same;

    spool_open(spool);
    spool_put(spool, 500, 3000, 1);
    autofree_buf struct buf bytes = read_data(spool);
    spool_close(spool);
    garble_root(&bytes, true);
    spool->options.may_repair = true;
    for (size_t page = 2; page < used_pages(buf_str(&bytes)); page++) {
        if (bytes.ptr[page * PAGE + 10] != 2 || page == root_page(buf_str(&bytes), false))
            continue;
        autofree_buf struct buf garbled = { 0 };
        buf_append(&garbled, buf_str(&bytes));
        memset(garbled.ptr + page * PAGE, 0xa5, PAGE);
        write_data(spool, buf_str(&garbled));
        spool->notices[0] = '\0';
        spool_open(spool);
        assert_true(reads_are_honest(spool->store));
        assert_int_equal(message_check(spool->store, 500, 3000, &is_same), STORE_ABSENT);
        if (strstr(spool->notices, "one commit before the last") != NULL &&
            store_message_count(spool->store) > rescued_most)
            rescued_most = store_message_count(spool->store);
        spool_close(spool);
        forget_damaged(spool);
    }
    assert_true(rescued_most >= MESSAGE_COUNT / 2);
}

static void without_either_root_it_is_refused_and_says_what_to_do(void **state)
{
    struct spool *spool = *state;
    autofree_buf struct buf bytes = read_data(spool);

    garble_root(&bytes, true);
    garble_root(&bytes, false);
    write_data(spool, buf_str(&bytes));
    spool->options.may_repair = true;
    assert_false(spool_try_open(spool));
    assert_non_null(strstr(spool->error.message, "no record of the queue can be read"));
    assert_non_null(strstr(spool->error.message, "to begin with an empty queue"));
    autofree_buf struct buf left = read_data(spool);
    assert_true(str_equal(buf_str(&left), buf_str(&bytes)));
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, spool_teardown)
    static const struct CMUnitTest tests[] = {
        SPOOL_TEST(a_flipped_bit_anywhere_never_crashes_nor_changes_mail),
        SPOOL_TEST(a_flipped_bit_anywhere_can_be_repaired),
        SPOOL_TEST(all_but_a_lost_page_is_rescued),
        SPOOL_TEST(without_its_root_the_commit_before_is_rescued),
        SPOOL_TEST(without_either_root_it_is_refused_and_says_what_to_do),
        SPOOL_TEST(damaged_content_is_told_and_can_be_removed),
        SPOOL_TEST(a_missing_or_short_data_file_is_never_made_anew),
        SPOOL_TEST(what_an_interrupted_first_start_left_is_begun_anew),
        SPOOL_TEST(a_queue_that_only_lost_its_marker_is_not_taken_for_an_interrupted_start),
        SPOOL_TEST(something_else_in_the_data_file_is_refused),
        SPOOL_TEST(a_garbled_or_missing_lock_file_is_made_anew),
        SPOOL_TEST(a_queue_of_another_version_is_refused),
        SPOOL_TEST(damage_to_the_newest_commit_is_not_taken_for_a_torn_one),
        SPOOL_TEST(a_torn_commit_is_refused_and_repaired_on_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
