/* SPDX-License-Identifier: Apache-2.0 */
#include "store/environment.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/folder.h"
#include "store/structure.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MODE = 0600, LMDB_OLDEST = 24 };
enum { MALLOC_MMAP_BYTES = 4 << 20, MALLOC_TRIM_BYTES = 16 << 20, MALLOC_PAD_BYTES = 1 << 20 };

void environment_tell(const struct store *store, const char *format, ...)
{
    struct error text;
    va_list arguments;

    if (store->options.notice == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(text.message, sizeof text.message, format, arguments);
    va_end(arguments);
    store->options.notice(store->options.notice_argument, text.message);
}

/* LMDB turns a short write into EIO, so EIO with no room left means a full disk. */
static bool is_out_of_room(const struct store *store, int code)
{
    return code == ENOSPC || code == EDQUOT ||
           (code == EIO && folder_is_full(store->options.folder));
}

enum store_outcome environment_outcome(struct store *store, int code, const char *what,
                                       struct error *error)
{
    if (code == MDB_SUCCESS)
        return STORE_OK;
    error_set(error, "%s: %s", what, mdb_strerror(code));
    error->system_errno = code > 0 ? code : 0;
    if (code == MDB_NOTFOUND)
        return STORE_ABSENT;
    if (is_out_of_room(store, code)) {
        error_set(error, "%s: no room left in %s", what, store->options.folder);
        error->system_errno = ENOSPC;
        return STORE_FULL;
    }
    if (code == MDB_MAP_FULL || code == MDB_TXN_FULL)
        return STORE_FULL;
    return STORE_FAILED;
}

/* ---- the self-check record ---- */

int environment_put_self(MDB_txn *txn, MDB_dbi dbi, struct self_record *self)
{
    struct record_key key = record_key_self();
    MDB_val key_value = value_of_key(&key);
    MDB_val value = { SELF_RECORD_BYTES, NULL };

    self->transaction = mdb_txn_id(txn);
    int code = mdb_put(txn, dbi, &key_value, &value, MDB_RESERVE);
    if (code == MDB_SUCCESS)
        self_record_write(self, value.mv_data);
    return code;
}

static bool read_self(MDB_txn *txn, MDB_dbi dbi, struct self_record *self, const char **where,
                      struct error *error)
{
    struct record_key key = record_key_self();
    MDB_val key_value = value_of_key(&key), value;
    int code = mdb_get(txn, dbi, &key_value, &value);

    if (code != MDB_SUCCESS)
        return error_set(error, "the queue's self-check record: %s", mdb_strerror(code));
    if (!self_record_parse(str_of_value(value), self))
        return error_set(error, "the queue's self-check record is damaged");
    *where = value.mv_data;
    return self->transaction == mdb_txn_id(txn) ||
           error_set(error, "the queue's newest commit is torn: its self-check record is of "
                            "another one");
}

/* LMDB does not say where it has mapped the file; a page that knows its own number does. */
static const char *mapping_base(const char *in_page)
{
    const char *page = in_page - (uintptr_t)in_page % PAGE_BYTES;
    uint64_t number;

    memcpy(&number, page, sizeof number);
    return page - number * PAGE_BYTES;
}

static bool get_self(MDB_env *env, MDB_dbi dbi, struct self_record *self, const char **base,
                     struct error *error)
{
    const char *where;
    MDB_txn *txn;
    int code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    if (code != MDB_SUCCESS)
        return error_set(error, "read the queue: %s", mdb_strerror(code));
    bool is_fine = read_self(txn, dbi, self, &where, error);
    if (is_fine)
        *base = mapping_base(where);
    mdb_txn_abort(txn);
    return is_fine;
}

/* ---- opening ---- */

static void structural_damage(MDB_env *env, const char *text)
{
    fprintf(stderr, "fatal: the queue's data file is damaged: %s\n", text);
}

static bool check_version(struct error *error)
{
    int major, minor, patch;
    const char *text = mdb_version(&major, &minor, &patch);

    if (major != 0 || minor != 9 || patch < LMDB_OLDEST)
        return error_set(error, "%s is not supported: install liblmdb 0.9.%d or a later 0.9", text,
                         LMDB_OLDEST);
    return true;
}

static int open_database(MDB_env *env, MDB_dbi *dbi)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(env, NULL, 0, &txn);

    if (code != MDB_SUCCESS)
        return code;
    code = mdb_dbi_open(txn, NULL, 0, dbi);
    if (code == MDB_SUCCESS)
        return mdb_txn_commit(txn); /* empty: writes nothing */
    mdb_txn_abort(txn);
    return code;
}

MDB_env *environment_new(const char *folder, MDB_dbi *dbi, struct error *error)
{
    MDB_env *env;
    int code = mdb_env_create(&env);

    if (code != MDB_SUCCESS) {
        error_set(error, "prepare the queue: %s", mdb_strerror(code));
        return NULL;
    }
    mdb_env_set_assert(env, structural_damage);
    code = mdb_env_set_mapsize(env, map_bytes);
    if (code == MDB_SUCCESS)
        code = mdb_env_open(env, folder, MDB_NOTLS | MDB_NORDAHEAD, FILE_MODE);
    if (code == MDB_SUCCESS)
        code = open_database(env, dbi);
    if (code == MDB_SUCCESS)
        return env;
    error_set(error, "open the queue in %s: %s", folder, mdb_strerror(code));
    mdb_env_close(env);
    return NULL;
}

static bool repair(struct store *store, int fd, struct error *error)
{
    struct error cause = *error;

    if (!store->options.may_repair)
        return error_context(error,
                             "the newest commit in %s is damaged, the one before it is "
                             "not; it takes a repair to go back to that",
                             store->options.folder);
    if (!structure_drop_newest(fd, error))
        return false;
    store->was_repaired = true;
    environment_tell(store, "the queue went back to its last commit but one: %s", cause.message);
    return true;
}

/* A record whose key is damaged cannot be found; what it belonged to is held, not guessed at. */
static void compare_counts(const struct store *store, const struct structure_report *report)
{
    if (report->messages != report->scheduled)
        environment_tell(store,
                         "the queue has %llu messages, but %llu in its schedule: records are "
                         "damaged; mailq shows which messages cannot be read",
                         (unsigned long long)report->messages,
                         (unsigned long long)report->scheduled);
}

static bool check_structure(struct store *store, const char *path, struct error *error)
{
    autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
    struct structure_report report;

    if (fd < 0)
        return error_errno(error, "open %s", path);
    switch (structure_check(fd, &report, error)) {
    case STRUCTURE_SOUND:
        compare_counts(store, &report);
        return true;
    case STRUCTURE_TORN:
        return repair(store, fd, error);
    case STRUCTURE_DAMAGED:
        if (!store->options.may_repair || !rescue_queue(store, fd, path, error))
            return error_context(error, "%s", path);
        store->was_repaired = true;
        return true;
    }
    unreachable();
}

/* Before LMDB touches the file, and with no descriptor of it open afterwards: closing one later
 * would drop LMDB's locks. */
static bool check_file(struct store *store, bool *is_new, struct error *error)
{
    if (!folder_check_data(&store->options, is_new, error))
        return false;
    if (*is_new)
        return folder_set_aside(&store->options, error);
    char *path = folder_path(store->options.folder, "data.mdb");
    bool is_fine = check_structure(store, path, error);
    free(path);
    return is_fine;
}

static bool is_empty(MDB_env *env)
{
    MDB_stat statistics;

    return mdb_env_stat(env, &statistics) == MDB_SUCCESS && statistics.ms_entries == 0;
}

static bool load_self(struct store *store, bool is_new, struct error *error)
{
    struct self_record self = { .is_closed = true };

    if (!(is_new && is_empty(store->env)) &&
        !get_self(store->env, store->dbi, &self, &store->base, error))
        return false;
    store->self = self;
    return true;
}

/* An empty LMDB commit writes nothing; these two renew both meta pages, the only ones that could
 * look written without being on disk after an earlier I/O error. */
static bool prove_writable(struct store *store, struct error *error)
{
    for (int i = 0; i < 2; i++) {
        if (!store_begin(store, error))
            return false;
        if (store_commit(store, error) != STORE_OK)
            return error_context(error, "the queue in %s cannot be written", store->options.folder);
    }
    return store->base != NULL ||
           get_self(store->env, store->dbi, &store->self, &store->base, error);
}

static bool open_env(struct store *store, bool is_new, struct error *error)
{
    store->env = environment_new(store->options.folder, &store->dbi, error);
    if (store->env == NULL)
        return false;
    mdb_env_get_fd(store->env, &store->data_fd);
    return load_self(store, is_new, error);
}

bool environment_open(struct store *store, struct error *error)
{
    bool is_new;

    store->base = NULL;
    store->reserved_bytes = 0;
    if (check_file(store, &is_new, error) && open_env(store, is_new, error)) {
        store->id_mark = store->self.id_mark;
        space_reserve(store);
        return true;
    }
    environment_close(store, false);
    return false;
}

static void say_closed(struct store *store)
{
    struct error ignored;

    if (!store_begin(store, &ignored))
        return;
    store->next.is_closed = true;
    (void)store_commit(store, &ignored);
}

void environment_close(struct store *store, bool is_orderly)
{
    store_abort(store);
    if (store->reader != NULL)
        mdb_txn_abort(store->reader);
    store->reader = NULL;
    if (store->env == NULL)
        return;
    if (is_orderly)
        say_closed(store);
    mdb_env_close(store->env);
    store->env = NULL;
}

void environment_measure(struct store *store)
{
    MDB_stat statistics;
    MDB_envinfo info;

    mdb_env_stat(store->env, &statistics);
    mdb_env_info(store->env, &info);
    atomic_store(&store->message_count, store->self.message_count);
    atomic_store(&store->shown_id_mark, store->self.id_mark);
    atomic_store(&store->used_pages, statistics.ms_branch_pages + statistics.ms_leaf_pages +
                                         statistics.ms_overflow_pages);
    atomic_store(&store->end_page, info.me_last_pgno + 1);
}

/* ---- a store's life ---- */

/* Page buffers come and go with every batch: they must not become an mmap each, nor be given back
 * to the system each time. */
static void tune_malloc(void)
{
    mallopt(M_MMAP_THRESHOLD, MALLOC_MMAP_BYTES);
    mallopt(M_TRIM_THRESHOLD, MALLOC_TRIM_BYTES);
    mallopt(M_TOP_PAD, MALLOC_PAD_BYTES);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error like a full disk */
}

static struct store *store_new(const struct store_options *options)
{
    struct store *store = memory_new(sizeof *store);

    store->options = *options;
    store->options.folder = memory_copy_string(options->folder);
    if (store->options.reserve_bytes == 0)
        store->options.reserve_bytes = DEFAULT_RESERVE_BYTES;
    store->lock_fd = -1;
    ensure(pthread_mutex_init(&store->gate, NULL) == 0);
    return store;
}

static void tell_unclean(const struct store *store)
{
    if (!store->self.is_closed)
        environment_tell(store,
                         "the queue was not closed in order; its structure is sound, with "
                         "%llu messages",
                         (unsigned long long)store->self.message_count);
}

static bool open_and_prove(struct store *store, struct error *error)
{
    if (!environment_open(store, error))
        return false;
    tell_unclean(store);
    if (prove_writable(store, error) && folder_mark(store->options.folder, error) &&
        sweep_orphans(store, error))
        return true;
    environment_close(store, false);
    return false;
}

struct store *store_open(const struct store_options *options, struct error *error)
{
    if (!check_version(error) || !folder_prepare(options, error))
        return NULL;
    tune_malloc();
    struct store *store = store_new(options);
    store->lock_fd = folder_lock(options->folder, options->lock_wait_ms, error);
    if (store->lock_fd >= 0 && open_and_prove(store, error))
        return store;
    store_close(&store);
    return NULL;
}

void store_close(struct store **store_pointer)
{
    struct store *store = *store_pointer;

    if (store == NULL)
        return;
    environment_close(store, true);
    fd_close(&store->lock_fd);
    pthread_mutex_destroy(&store->gate);
    buf_free(&store->portion);
    memory_free(store->leftovers);
    memory_free((char *)(uintptr_t)store->options.folder);
    memory_free(store);
    *store_pointer = NULL;
}

static enum store_outcome reopen(struct store *store, struct error *error)
{
    uint64_t tried = store->tried_commit;

    environment_close(store, false);
    store->leftover_count = 0;
    if (!environment_open(store, error))
        return STORE_FAILED;
    bool is_there = store->self.commit >= tried;
    if (prove_writable(store, error))
        return is_there ? STORE_OK : STORE_ABSENT;
    environment_close(store, false);
    return STORE_FAILED;
}

enum store_outcome store_reopen(struct store *store, struct error *error)
{
    pthread_mutex_lock(&store->gate);
    enum store_outcome outcome = reopen(store, error);
    pthread_mutex_unlock(&store->gate);
    return outcome;
}

bool store_was_repaired(const struct store *store)
{
    return store->was_repaired;
}
