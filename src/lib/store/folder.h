/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder around the queue's data file: its file system, its lock and its marker. The marker is
 * a small file that says "a queue lives here": once it is there, a missing or truncated data file
 * is a loss to be told, never a reason to begin anew with an empty queue.
 */
#pragma once

#include "store/store.h"

/* Creates it where allowed; refuses file systems that do not keep what they acknowledge. */
must_check bool folder_prepare(const struct store_options *options, struct error *error);
/* The lock that makes this process the only one, waited for that long; -1 with `error` on failure.
 */
int folder_lock(const char *folder, int64_t wait_ms, struct error *error);
/* Whether the data file may be opened: it is whole as far as its size tells, or nothing was ever
 * stored here (is_new) and may_create. What a first start left that was interrupted, by a loss of
 * power for example, is nothing either; folder_set_aside takes it out of the way. */
must_check bool folder_check_data(const struct store_options *options, bool *is_new,
                                  struct error *error);
must_check bool folder_set_aside(const struct store_options *options, struct error *error);
/* Writes the marker where it is missing, durably, and makes the folder's entries durable. */
must_check bool folder_mark(const char *folder, struct error *error);
/* "folder/name", to be freed. */
char *folder_path(const char *folder, const char *name);
/* True when the file system has no room (or the quota none) for `folder`. */
bool folder_is_full(const char *folder);
