/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a message into a file or a maildir, durably. Runs in a child that has become the user
 * whose mail it is (child.h): it may block, sleep for a lock, and end at any point. What a crash
 * leaves of a message in a file, the next delivery sets apart by an empty line.
 */
#pragma once

#include "copy.h"
#include "outcome.h"

#include <sys/types.h>

enum mailbox_lock { MAILBOX_LOCK_FCNTL = 1, MAILBOX_LOCK_FLOCK = 2, MAILBOX_LOCK_DOTLOCK = 4 };

struct mailbox {
    const char *path;
    struct copy copy; /* its flags are set here */
    bool has_delivered_to;
    unsigned locks;           /* enum mailbox_lock bits */
    bool may_lack_dotlock;    /* where the folder is not writable: /file of an alias */
    bool is_any_file;         /* /file: no executables, /dev/null is fine */
    bool must_be_owner;       /* strict_mailbox_ownership */
    int lock_attempts;        /* deliver_lock_attempts */
    int64_t lock_delay_s;     /* deliver_lock_delay */
    int64_t stale_lock_s;     /* stale_lock_time */
    int64_t size_limit_bytes; /* 0: none */
    const char *host_name;    /* for the names of files in a maildir */
    const char *biff_name;    /* whom comsat is told of; NULL: nobody */
};

/* The names in mailbox_delivery_lock; false for one that is unknown or an empty list. */
bool mailbox_locks_parse(struct str text, unsigned *locks);

void mailbox_append(const struct mailbox *mailbox, struct outcome *outcome);
/* `path` ends with '/'. Folders that are missing are made. */
void maildir_add(const struct mailbox *mailbox, struct outcome *outcome);
