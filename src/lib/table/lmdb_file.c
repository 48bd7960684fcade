/* SPDX-License-Identifier: Apache-2.0 */
#include "table/lmdb_file.h"

#include <stdint.h>

static const size_t map_size_bytes = (size_t)64 << 30; /* only address space */

bool lmdb_file_open(struct lmdb_file *file, const char *path, enum lmdb_file_mode mode,
                    struct error *error)
{
    static const unsigned mode_flags[] = {
        [LMDB_FILE_READ] = MDB_RDONLY,
        [LMDB_FILE_WRITE] = MDB_NOSYNC,
        [LMDB_FILE_CACHE] = 0,
    };
    bool may_write = mode != LMDB_FILE_READ;
    unsigned flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS | mode_flags[mode];
    MDB_txn *transaction;

    *file = LMDB_FILE_CLOSED;
    int code = mdb_env_create(&file->env);
    if (code == 0 && may_write)
        code = mdb_env_set_mapsize(file->env, map_size_bytes);
    if (code == 0)
        code = mdb_env_open(file->env, path, flags, 0600);
    if (code == 0)
        code = mdb_env_get_fd(file->env, &file->fd);
    if (code == 0)
        code = mdb_txn_begin(file->env, NULL, may_write ? 0 : MDB_RDONLY, &transaction);
    if (code == 0) {
        code = mdb_dbi_open(transaction, NULL, 0, &file->database);
        if (code == 0)
            code = mdb_txn_commit(transaction);
        else
            mdb_txn_abort(transaction);
    }
    return code == 0 || error_set(error, "open database %s: %s", path, mdb_strerror(code));
}

void lmdb_file_close(struct lmdb_file *file)
{
    if (file->env != NULL)
        mdb_env_close(file->env);
    *file = LMDB_FILE_CLOSED;
}
