/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can still be read of a data file whose structure is damaged: the newest commit's tree is
 * followed as far as its pages make sense, and every record that passes its own checks is kept.
 * Where that finds nothing, as its root is lost, the same with the commit before it, whose pages
 * LMDB has not used again yet.
 * Runs none of LMDB's code; writes nothing.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct salvage_report {
    uint64_t records; /* handed out */
    uint64_t lost;    /* records and pages that could not be read */
    bool is_of_commit_before;
};

/* Calls `found` for each sound record, in no particular order, until it returns false. Fails where
 * not even the beginning of a tree can be found, or `found` said no (`error` is then its own). */
must_check bool salvage_records(int fd,
                                bool (*found)(void *argument, struct str key, struct str value),
                                void *argument, struct salvage_report *report, struct error *error);
