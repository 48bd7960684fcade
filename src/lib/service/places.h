/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places of a service: how many conversations it has at once, over all processes that serve it.
 * They are a table in memory that the master makes and every worker maps; each place says which
 * worker holds it. So a claim is one compare-and-swap, there are never more conversations than
 * places, and of a worker that died none stay taken: the master gives back what is in its name.
 *
 * The memory is shared with roles that may be in a stranger's hands. Whoever reads it takes nothing
 * in it for an index, a length or an address; a worker that writes what it likes spoils the limits
 * of its own service, and nothing else.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PLACES_MAX = 1024 * 1024,          /* also where there is no limit */
    OVERLOAD_WARNING_MS = 1000 * 1000, /* Postfix's pause between two warnings */
};

/* As one process sees them. Used in its loop alone. */
struct places;

/* ---- the master's ---- */
/* NULL with `error` on failure. */
struct places *places_new(struct error *error);
/* The memory, for places_open in a worker; stays the places'. */
int places_fd(const struct places *places);
/* How many there may be from now on, for all workers at once; 0 = no limit. */
void places_set_limit(struct places *places, uint32_t limit);
/* What `worker` holds is free again: it has ended. */
void places_forget(struct places *places, uint32_t worker);

/* ---- a worker's ---- */
/* Maps the memory behind `fd`, which is closed whatever comes of it. */
struct places *places_open(int fd, uint32_t worker, struct error *error);
/* Takes a place before a connection is accepted. False: there is none. */
must_check bool places_claim(struct places *places, size_t *place);
/* A conversation has it now. Until then the claim does not count as load. */
void places_confirm(struct places *places, size_t place);
void places_release(struct places *places, size_t place);

/* Says that a worker waits for a place, before it looks for one the last time. */
void places_wait(struct places *places);
/* After a release: whether somebody is to be told. True once for any number of waiting workers. */
must_check bool places_someone_waits(struct places *places);

/* Whether each place within the limit has a conversation. */
bool places_are_all_taken(const struct places *places);
/* How many there are at most; 0 = no limit. */
uint32_t places_limit(const struct places *places);
/* How many are taken, over all workers. */
size_t places_count(const struct places *places);

/* ---- overload: known to all workers at once; times are monotonic ---- */
void places_note_overload(struct places *places, int64_t now_ms);
/* Whether some worker noted it within the last `duration_ms`. */
bool places_had_overload(const struct places *places, int64_t now_ms, int64_t duration_ms);
/* True for one worker in OVERLOAD_WARNING_MS: it is the one that warns. */
must_check bool places_may_warn(struct places *places, int64_t now_ms);

void places_free(struct places **places);
