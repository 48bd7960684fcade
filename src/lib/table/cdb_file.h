/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One constant database file (D. J. Bernstein's cdb format): a header of 256 hash tables' places,
 * the records, the hash tables. It is read with pread, so a file that is cut short while it is open
 * is an error and no signal; nothing in it is trusted. Private to this folder.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "table/table.h"

#include <stdint.h>

#define CDB_FILE_SUFFIX ".cdb"

enum lookup_outcome cdb_file_find(int fd, struct str key, struct arena *arena, struct str *value,
                                  struct error *error);

struct cdb_writer;

/* Writes to `path`, which it creates. */
struct cdb_writer *cdb_writer_new(const char *path, struct error *error);
must_check bool cdb_writer_add(struct cdb_writer *writer, struct str key, struct str value,
                               struct error *error);
/* Writes the hash tables and syncs. Of several records with one key the first is found, or the
 * last. */
must_check bool cdb_writer_finish(struct cdb_writer *writer, bool last_wins, struct error *error);
void cdb_writer_free(struct cdb_writer **writer);
