/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at the data file as bytes, before LMDB maps it: LMDB trusts its pages, and a damaged one
 * would crash the process or be believed. Reads every tree page and the free list, without running
 * any of LMDB's code; the contents of records are left to their checksums.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

enum structure_state {
    STRUCTURE_SOUND,
    STRUCTURE_TORN,    /* the newest commit is not whole, the one before it is */
    STRUCTURE_DAMAGED, /* `error` says what and where */
};

struct structure_report {
    uint64_t end_page;     /* the first page that was never used */
    uint64_t tree_pages;   /* in use */
    uint64_t free_pages;   /* in the free list */
    uint64_t unused_pages; /* in neither: leaked, harmless */
    uint64_t messages;     /* counted by their keys */
    uint64_t scheduled;    /* entries of the schedule */
};

/* `error` is filled unless sound; `report` (may be NULL) describes the newest sound commit. */
enum structure_state structure_check(int fd, struct structure_report *report, struct error *error);
/* After STRUCTURE_TORN: makes the last commit but one the newest, durably. */
must_check bool structure_drop_newest(int fd, struct error *error);
