/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for the calls with which the store's library writes (pwrite, write,
 * writev and fdatasync are defined by the test program), so that the Nth of them can fail. */
#pragma once

enum fault_kind {
    FAULT_NONE,
    FAULT_WRITE_EIO,
    FAULT_WRITE_ENOSPC,
    FAULT_WRITE_SHORT, /* half of it is written */
    FAULT_SYNC_EIO,
};

/* The `at`-th (from 1) matching call from now on fails; with `is_for_ever` all later ones too. */
void faults_arm(enum fault_kind kind, int at, int is_for_ever);
void faults_clear(void);
int faults_hit_count(void); /* how many calls failed since faults_arm */
