/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One LMDB file as a table holds it or postmap writes it: no lock file, no folder. Private to this
 * folder, because it shows LMDB's types.
 */
#pragma once

#include "base/error.h"

#include <lmdb.h>
#include <stddef.h>

#define LMDB_FILE_SUFFIX ".lmdb"
enum {
    LMDB_FILE_KEY_BYTES_MAX = 511,
    LMDB_FILE_BYTES_MIN = 8192, /* the two pages that describe it */
};

struct lmdb_file {
    MDB_env *env;
    MDB_dbi database;
    int fd;
};
#define LMDB_FILE_CLOSED ((struct lmdb_file){ .env = NULL, .fd = -1 })

enum lmdb_file_mode { LMDB_FILE_READ, LMDB_FILE_WRITE, LMDB_FILE_CACHE };

/* LMDB_FILE_WRITE creates it where missing, unsynced: for a file nobody else sees yet.
 * LMDB_FILE_CACHE too, with every commit synced. Whatever happens, close it afterwards. */
must_check bool lmdb_file_open(struct lmdb_file *file, const char *path, enum lmdb_file_mode mode,
                               struct error *error);
void lmdb_file_close(struct lmdb_file *file);
