/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue ids as bytes, eight for each, little-endian: how they travel to the queue role.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum { QUEUE_ID_LIST_MAX = 4096 }; /* ids in one request */

void queue_id_list_add(struct buf *list, uint64_t queue_id);
/* The ids in the arena. False: no whole number of them, or too many. */
bool queue_id_list_parse(struct arena *arena, struct str list, uint64_t **ids, size_t *count);
