/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's tests share: a folder of their own, and messages whose bytes follow from their
 * id, so that any test can check any message. */
#pragma once

#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct spool {
    char folder[64];
    struct store_options options;
    struct store *store;
    struct error error;
    char notices[4096];
};

/* A new folder and an open store in it; for cmocka's setup and teardown. */
int spool_setup(void **state);
int spool_teardown(void **state);
int spool_setup_closed(void **state); /* the folder alone */
int folder_remove(const char *path);  /* with all that is in it */
void spool_close(struct spool *spool);
void spool_open(struct spool *spool); /* asserts that it opens */
bool spool_try_open(struct spool *spool);
void spool_reopen(struct spool *spool);

/* In a batch of its own, asserting success. */
void spool_put(struct spool *spool, uint64_t queue_id, size_t content_bytes, int64_t due_ms);
void spool_update(struct spool *spool, uint64_t queue_id, const char *envelope, int64_t due_ms);
void spool_delete(struct spool *spool, uint64_t queue_id);

/* Within the caller's batch. */
enum store_outcome message_put(struct store *store, uint64_t queue_id, size_t content_bytes,
                               int64_t due_ms, struct error *error);
struct buf message_envelope(uint64_t queue_id);
/* Whether the content in the store is that of message_put. */
enum store_outcome message_check(struct store *store, uint64_t queue_id, size_t content_bytes,
                                 bool *is_same);
/* Fills bytes that follow from the id and the offset. */
void content_fill(uint64_t queue_id, size_t offset, char *out, size_t len);
size_t verify_problems(struct store *store); /* prints them */
