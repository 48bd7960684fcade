/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk to which a record (write_log.h) happens step by step, and which can lose power after any
 * step: what it holds then is all that was made durable, and any part of the rest. Writes are lost
 * and torn in sectors of 512 bytes, in no order; names change in their order, as the journals of
 * ext4 and xfs have it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;

/* What of the writes that are not durable is on the disk. */
enum disk_loss {
    LOSS_ALL,        /* nothing */
    LOSS_NONE,       /* everything */
    LOSS_OF_LAST,    /* everything but the last write */
    LOSS_BUT_LAST,   /* the last write alone */
    LOSS_TEARS_LAST, /* everything, but of the last write some sectors */
    LOSS_OF_PAGES,   /* some pages of each */
    LOSS_OF_SECTORS, /* some sectors of each */
    LOSS_OF_WRITES,  /* some of them, each whole */
    LOSS_KIND_COUNT,
    LOSS_TEARS_SECTOR = LOSS_KIND_COUNT, /* LOSS_NONE, but the last is cut within its sector */
};

struct disk *disk_new(void); /* as it was when the record began */
void disk_free(struct disk **disk);
/* The next entry of the record happens; false at its end. */
bool disk_advance(struct disk *disk);
/* Whether the entry that happened last is a meta page's write, under way. */
bool disk_is_in_meta_write(const struct disk *disk);
size_t disk_mark(const struct disk *disk); /* the last mark passed, 0 before */

/* Decides what is left after a loss of power now; two states with the same files and the same mark
 * have the same number. `chance` is the state of the random numbers. */
uint64_t disk_lose_power(struct disk *disk, enum disk_loss loss, uint64_t *chance);
/* Makes the files of that state below `folder`, and removes all others. */
void disk_write_files(const struct disk *disk, const char *folder);

uint64_t chance_below(uint64_t *chance, uint64_t limit);
