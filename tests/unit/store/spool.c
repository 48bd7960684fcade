/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include "base/memory.h"

#include <ftw.h>

static void note(void *argument, const char *text)
{
    struct spool *spool = argument;
    size_t len = strlen(spool->notices);

    snprintf(spool->notices + len, sizeof spool->notices - len, "%s\n", text);
}

bool spool_try_open(struct spool *spool)
{
    spool->store = store_open(&spool->options, &spool->error);
    return spool->store != NULL;
}

void spool_open(struct spool *spool)
{
    if (!spool_try_open(spool))
        fail_msg("%s", spool->error.message);
}

void spool_close(struct spool *spool)
{
    store_close(&spool->store);
}

void spool_reopen(struct spool *spool)
{
    spool_close(spool);
    spool_open(spool);
}

int spool_setup_closed(void **state)
{
    struct spool *spool = memory_new(sizeof *spool);
    const char *parent = getenv("TMPDIR");

    snprintf(spool->folder, sizeof spool->folder, "%s/store-XXXXXX",
             parent != NULL && strlen(parent) < 40 ? parent : "/tmp");
    if (mkdtemp(spool->folder) == NULL)
        return -1;
    spool->options = (struct store_options){
        .folder = spool->folder,
        .may_create = true,
        .is_any_filesystem = true,
        .reserve_bytes = 1 << 20,
        .notice = note,
        .notice_argument = spool,
    };
    *state = spool;
    return 0;
}

int spool_setup(void **state)
{
    if (spool_setup_closed(state) < 0)
        return -1;
    spool_open(*state);
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

int folder_remove(const char *path)
{
    return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int spool_teardown(void **state)
{
    struct spool *spool = *state;

    spool_close(spool);
    int code = folder_remove(spool->folder);
    memory_free(spool);
    return code;
}

void content_fill(uint64_t queue_id, size_t offset, char *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t mixed =
            (queue_id + 1) * 0x9e3779b97f4a7c15 + (offset + i) / 8 * 0x2545f4914f6cdd1d;
        out[i] = (char)(mixed >> ((offset + i) % 8 * 8));
    }
}

struct buf message_envelope(uint64_t queue_id)
{
    struct buf envelope = { 0 };

    buf_printf(&envelope, "envelope of %llu from <sender@example.com> to <rcpt@example.net>",
               (unsigned long long)queue_id);
    return envelope;
}

enum store_outcome message_put(struct store *store, uint64_t queue_id, size_t content_bytes,
                               int64_t due_ms, struct error *error)
{
    autofree_buf struct buf envelope = message_envelope(queue_id);
    char *content = memory_new(content_bytes);
    struct store_message message = { .queue_id = queue_id,
                                     .envelope = buf_str(&envelope),
                                     .due_ms = due_ms };
    enum store_outcome outcome = STORE_OK;
    size_t offset = 0;

    content_fill(queue_id, 0, content, content_bytes);
    for (; content_bytes - offset > STORE_INLINE_MAX && outcome == STORE_OK;
         offset += STORE_CHUNK_BYTES)
        outcome = store_put_chunk(store, queue_id, message.chunk_count++,
                                  str_of(content + offset, STORE_CHUNK_BYTES), error);
    message.content = str_of(content + offset, content_bytes - offset);
    if (outcome == STORE_OK)
        outcome = store_put_message(store, &message, error);
    memory_free(content);
    return outcome;
}

static void commit(struct spool *spool, enum store_outcome outcome)
{
    assert_int_equal(outcome, STORE_OK);
    assert_int_equal(store_commit(spool->store, &spool->error), STORE_OK);
}

void spool_put(struct spool *spool, uint64_t queue_id, size_t content_bytes, int64_t due_ms)
{
    assert_true(store_begin(spool->store, &spool->error));
    commit(spool, message_put(spool->store, queue_id, content_bytes, due_ms, &spool->error));
}

void spool_update(struct spool *spool, uint64_t queue_id, const char *envelope, int64_t due_ms)
{
    assert_true(store_begin(spool->store, &spool->error));
    commit(spool,
           store_update_message(spool->store, queue_id, str_from(envelope), due_ms, &spool->error));
}

void spool_delete(struct spool *spool, uint64_t queue_id)
{
    assert_true(store_begin(spool->store, &spool->error));
    commit(spool, store_delete_message(spool->store, queue_id, &spool->error));
}

struct comparison {
    uint64_t queue_id;
    size_t offset;
    bool is_same;
};

static bool compare(void *argument, struct str bytes)
{
    struct comparison *comparison = argument;
    char *expected = memory_new(bytes.len);

    content_fill(comparison->queue_id, comparison->offset, expected, bytes.len);
    comparison->is_same = comparison->is_same && memcmp(expected, bytes.ptr, bytes.len) == 0;
    comparison->offset += bytes.len;
    memory_free(expected);
    return true;
}

enum store_outcome message_check(struct store *store, uint64_t queue_id, size_t content_bytes,
                                 bool *is_same)
{
    struct comparison comparison = { queue_id, 0, true };
    struct error error;
    enum store_outcome outcome = store_read_content(store, queue_id, compare, &comparison, &error);

    *is_same = comparison.is_same && comparison.offset == content_bytes;
    return outcome;
}

static void print_problem(void *argument, const char *text)
{
    printf("problem: %s\n", text);
}

size_t verify_problems(struct store *store)
{
    return store_verify(store, print_problem, NULL);
}
