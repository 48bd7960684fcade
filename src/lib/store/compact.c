/* SPDX-License-Identifier: Apache-2.0 */
#include "store/environment.h"

#include "base/file.h"
#include "base/memory.h"
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct paths {
    char *folder;   /* where the copy is made */
    char *copy;     /* its data file */
    char *lock;     /* its lock file */
    char *original; /* the data file that it replaces */
};

static void remove_copy(const struct paths *paths)
{
    unlink(paths->copy);
    unlink(paths->lock);
    rmdir(paths->folder);
}

static void fsync_file(const char *path, bool *is_fine, struct error *error)
{
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

    *is_fine = fd >= 0 ? fd_sync(fd, path, error) : error_errno(error, "open %s", path);
}

/* A compact copy counts its transactions anew, so its self-check record must be written anew; both
 * meta pages of the copy are renewed that way as well. */
static bool renew_self(struct store *store, const struct paths *paths, struct error *error)
{
    struct self_record self = store->self;
    MDB_dbi dbi;
    MDB_env *env = environment_new(paths->folder, &dbi, error);
    int code = MDB_SUCCESS;

    for (int i = 0; env != NULL && code == MDB_SUCCESS && i < 2; i++) {
        MDB_txn *txn;
        code = mdb_txn_begin(env, NULL, 0, &txn);
        if (code != MDB_SUCCESS)
            break;
        self.commit++;
        code = environment_put_self(txn, dbi, &self);
        if (code == MDB_SUCCESS)
            code = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    if (env != NULL)
        mdb_env_close(env);
    return env != NULL && (code == MDB_SUCCESS ||
                           error_set(error, "write %s: %s", paths->copy, mdb_strerror(code)));
}

/* Readers and the old file are not touched. */
static bool make_copy(struct store *store, const struct paths *paths, struct error *error)
{
    bool is_fine;

    remove_copy(paths);
    if (mkdir(paths->folder, 0700) < 0)
        return error_errno(error, "create %s", paths->folder);
    int code = mdb_env_copy2(store->env, paths->folder, MDB_CP_COMPACT);
    if (code != MDB_SUCCESS)
        return error_set(error, "copy the queue to %s: %s", paths->folder, mdb_strerror(code));
    if (!renew_self(store, paths, error))
        return false;
    fsync_file(paths->copy, &is_fine, error);
    return is_fine;
}

static bool exchange(struct store *store, const struct paths *paths, struct error *error)
{
    pthread_mutex_lock(&store->gate);
    environment_close(store, false);
    bool is_renamed = rename_durably(paths->copy, paths->original, error);
    struct error reason = *error;
    bool is_open = environment_open(store, error);
    pthread_mutex_unlock(&store->gate);
    if (is_open && !is_renamed)
        *error = reason;
    return is_open && is_renamed;
}

static bool compact(struct store *store, const struct paths *paths, struct error *error)
{
    uint64_t before_bytes = atomic_load(&store->end_page) * PAGE_BYTES;

    if (!make_copy(store, paths, error) || !exchange(store, paths, error)) {
        remove_copy(paths);
        return error_context(error, "compact the queue");
    }
    remove_copy(paths);
    environment_tell(store, "compacted the queue from %llu to %llu MiB",
                     (unsigned long long)before_bytes >> 20,
                     (unsigned long long)(atomic_load(&store->end_page) * PAGE_BYTES) >> 20);
    return true;
}

bool store_compact(struct store *store, struct error *error)
{
    struct paths paths;

    if (store->env == NULL)
        return error_set(error, "the queue is closed");
    paths.folder = folder_path(store->options.folder, "compact");
    paths.copy = folder_path(paths.folder, "data.mdb");
    paths.lock = folder_path(paths.folder, "lock.mdb");
    paths.original = folder_path(store->options.folder, "data.mdb");
    bool is_fine = compact(store, &paths, error);
    memory_free(paths.folder);
    memory_free(paths.copy);
    memory_free(paths.lock);
    memory_free(paths.original);
    return is_fine;
}
