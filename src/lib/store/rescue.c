/* SPDX-License-Identifier: Apache-2.0 */
#include "store/environment.h"

#include "base/file.h"
#include "base/memory.h"
#include "store/folder.h"
#include "store/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORDS_PER_COMMIT = 1000 };

/* The new environment while it is being filled. */
struct rescue {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *txn;
    size_t put_count;
    struct self_record self; /* of the damaged file, or nothing; counts are made anew */
    struct error *error;
};

static bool failed(struct rescue *rescue, int code)
{
    if (rescue->txn != NULL)
        mdb_txn_abort(rescue->txn);
    rescue->txn = NULL;
    return error_set(rescue->error, "write the rescued queue: %s", mdb_strerror(code));
}

/* Every commit has its self-check record, as always. */
static bool commit(struct rescue *rescue)
{
    rescue->self.commit++;
    int code = environment_put_self(rescue->txn, rescue->dbi, &rescue->self);
    if (code != MDB_SUCCESS)
        return failed(rescue, code);
    code = mdb_txn_commit(rescue->txn);
    rescue->txn = NULL;
    return code == MDB_SUCCESS || failed(rescue, code);
}

static bool begin(struct rescue *rescue)
{
    int code = mdb_txn_begin(rescue->env, NULL, 0, &rescue->txn);

    if (code == MDB_SUCCESS)
        return true;
    rescue->txn = NULL;
    return failed(rescue, code);
}

static void note_self(struct rescue *rescue, struct str value)
{
    struct self_record found;

    if (!self_record_parse(value, &found))
        return;
    rescue->self.id_mark = found.id_mark;
    rescue->self.commit += found.commit;
}

static bool put(void *argument, struct str key, struct str value)
{
    struct rescue *rescue = argument;
    MDB_val key_value = { key.len, (void *)(uintptr_t)key.ptr };
    MDB_val data = { value.len, (void *)(uintptr_t)value.ptr };

    if (key.ptr[0] == RECORD_SELF) {
        note_self(rescue, value);
        return true;
    }
    int code = mdb_put(rescue->txn, rescue->dbi, &key_value, &data, MDB_NOOVERWRITE);
    if (code != MDB_SUCCESS && code != MDB_KEYEXIST)
        return failed(rescue, code);
    rescue->self.message_count += code == MDB_SUCCESS && key.ptr[0] == RECORD_MESSAGE;
    return ++rescue->put_count % RECORDS_PER_COMMIT != 0 || (commit(rescue) && begin(rescue));
}

static bool fill(struct rescue *rescue, int damaged_fd, struct salvage_report *report)
{
    if (!begin(rescue))
        return false;
    if (!salvage_records(damaged_fd, put, rescue, report, rescue->error)) {
        if (rescue->txn != NULL)
            mdb_txn_abort(rescue->txn);
        return false;
    }
    return commit(rescue) && begin(rescue) && commit(rescue); /* both meta pages */
}

static bool make_copy(const char *folder, int damaged_fd, struct salvage_report *report,
                      struct error *error)
{
    struct rescue rescue = { .error = error };

    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return error_errno(error, "create %s", folder);
    rescue.env = environment_new(folder, &rescue.dbi, error);
    if (rescue.env == NULL)
        return false;
    bool is_fine = fill(&rescue, damaged_fd, report);
    mdb_env_close(rescue.env);
    return is_fine;
}

/* The damaged file stays under another name; at no moment is there none. */
static bool exchange(const char *damaged, const char *kept, const char *copy, struct error *error)
{
    if (unlink(kept) < 0 && errno != ENOENT)
        return error_errno(error, "remove %s", kept);
    if (link(damaged, kept) < 0)
        return error_errno(error, "keep the damaged file as %s", kept);
    return rename_durably(copy, damaged, error);
}

static void clean(const char *folder)
{
    static const char *const names[] = { "data.mdb", "lock.mdb" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = folder_path(folder, names[i]);
        unlink(path);
        memory_free(path);
    }
    rmdir(folder);
}

bool rescue_queue(struct store *store, int damaged_fd, const char *path, struct error *error)
{
    struct error cause = *error, reason;
    struct salvage_report report;
    char *folder = folder_path(store->options.folder, "rescue");
    char *copy = folder_path(folder, "data.mdb");
    char *kept = folder_path(store->options.folder, "data.mdb.damaged");

    clean(folder);
    bool is_fine =
        make_copy(folder, damaged_fd, &report, &reason) && exchange(path, kept, copy, &reason);
    clean(folder);
    if (is_fine)
        environment_tell(store,
                         "the queue's data file was damaged (%s); rescued %llu records%s, lost "
                         "%llu; the damaged file is kept as %s",
                         cause.message, (unsigned long long)report.records,
                         report.is_of_commit_before ? " as they were one commit before the last"
                                                    : "",
                         (unsigned long long)report.lost, kept);
    else
        error_set(error,
                  "%s; it cannot be rescued (%s): put a copy of the file in its place, or move the "
                  "whole folder away to begin with an empty queue",
                  cause.message, reason.message);
    memory_free(folder);
    memory_free(copy);
    memory_free(kept);
    return is_fine;
}
