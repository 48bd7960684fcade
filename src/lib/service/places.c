/* SPDX-License-Identifier: Apache-2.0 */
#include "service/places.h"

#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 0 };

/* In a place: claimed, and no conversation has it yet. */
static const uint32_t unconfirmed = 1u << 31;

struct shared {
    atomic_uint_fast32_t is_waited_for;
    atomic_int_fast64_t overload_ms, warning_ms; /* 0 = never */
    atomic_uint_least32_t limit;                 /* 0 = none */
    /* All places that are or were taken are below it, so that only a few pages are ever touched. */
    atomic_uint_least32_t extent;
    atomic_uint_least32_t holders[PLACES_MAX];
};

struct places {
    struct shared *shared;
    int fd;          /* the master's; -1 in a worker */
    uint32_t holder; /* what stands in the places of this worker */
    size_t hint;     /* a free place may be here; those below were not free lately */
};

static uint32_t holder_of(uint32_t worker)
{
    return (worker + 1) & ~unconfirmed;
}

static struct places *map(int fd, struct error *error)
{
    void *shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (shared == MAP_FAILED) {
        error_errno(error, "map the places of a service");
        return NULL;
    }
    struct places *places = memory_new(sizeof *places);
    places->shared = shared;
    places->fd = -1;
    return places;
}

struct places *places_new(struct error *error)
{
    autoclose int fd = memfd_create("waypost-places", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, sizeof(struct shared)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        error_errno(error, "make the places of a service");
        return NULL;
    }
    struct places *places = map(fd, error);
    if (places != NULL)
        places->fd = fd_take(&fd);
    return places;
}

int places_fd(const struct places *places)
{
    return places->fd;
}

struct places *places_open(int fd, uint32_t worker, struct error *error)
{
    autoclose int memory = fd;
    struct stat status;

    if (fstat(memory, &status) < 0) {
        error_errno(error, "stat the places of a service");
        return NULL;
    }
    if (status.st_size != sizeof(struct shared)) {
        error_set(error, "the places of a service have an impossible size");
        return NULL;
    }
    struct places *places = map(memory, error);
    if (places == NULL)
        return NULL;
    places->holder = holder_of(worker);
    return places;
}

void places_set_limit(struct places *places, uint32_t limit)
{
    atomic_store(&places->shared->limit, limit);
}

uint32_t places_limit(const struct places *places)
{
    return atomic_load(&places->shared->limit);
}

static size_t extent_of(const struct places *places)
{
    size_t extent = atomic_load(&places->shared->extent);

    return extent < PLACES_MAX ? extent : PLACES_MAX;
}

static uint32_t holder_at(const struct places *places, size_t place)
{
    return atomic_load_explicit(&places->shared->holders[place], memory_order_relaxed);
}

/* A place below this one may be taken. It is the limit, but where the limit was higher once, and
 * places beyond the present one are still held, each of them counts: the highest `end` for which
 * `end` and the taken places from there on are no more than the limit. Who claims below it can only
 * make that sum smaller for others, so that it holds also for those who looked earlier. */
static size_t end_of_free(const struct places *places)
{
    size_t limit = places_limit(places), end = extent_of(places), taken = 0;

    if (limit == 0 || limit > PLACES_MAX)
        limit = PLACES_MAX;
    if (end <= limit)
        return limit;
    for (; end > 0 && end + taken > limit; end--)
        taken += holder_at(places, end - 1) != NOBODY;
    return end + taken > limit ? 0 : end;
}

/* Before the place is taken: who adds up the places must see it. */
static void extend_to(struct places *places, size_t place)
{
    uint_least32_t extent = atomic_load(&places->shared->extent);

    while (extent <= place && !atomic_compare_exchange_weak(&places->shared->extent, &extent,
                                                            (uint_least32_t)place + 1)) {
    }
}

static bool claim_between(struct places *places, size_t begin, size_t end, size_t *place)
{
    for (size_t at = begin; at < end; at++) {
        uint_least32_t nobody = NOBODY;
        if (holder_at(places, at) != NOBODY)
            continue;
        extend_to(places, at);
        if (!atomic_compare_exchange_strong(&places->shared->holders[at], &nobody,
                                            places->holder | unconfirmed))
            continue;
        *place = at;
        places->hint = at + 1;
        return true;
    }
    return false;
}

bool places_claim(struct places *places, size_t *place)
{
    size_t end = end_of_free(places);
    size_t hint = places->hint < end ? places->hint : end;

    return claim_between(places, hint, end, place) || claim_between(places, 0, hint, place);
}

void places_confirm(struct places *places, size_t place)
{
    atomic_store(&places->shared->holders[place], places->holder);
}

void places_release(struct places *places, size_t place)
{
    atomic_store(&places->shared->holders[place], NOBODY);
    if (place < places->hint)
        places->hint = place;
}

void places_forget(struct places *places, uint32_t worker)
{
    uint32_t holder = holder_of(worker);
    size_t extent = extent_of(places);

    for (size_t at = 0; at < extent; at++) {
        uint_least32_t found = holder_at(places, at);
        if ((found & ~unconfirmed) == holder)
            atomic_compare_exchange_strong(&places->shared->holders[at], &found, NOBODY);
    }
}

void places_wait(struct places *places)
{
    atomic_store(&places->shared->is_waited_for, 1);
    /* Whoever releases a place that is not seen free from here on sees that somebody waits. */
    atomic_thread_fence(memory_order_seq_cst);
}

bool places_someone_waits(struct places *places)
{
    return atomic_exchange(&places->shared->is_waited_for, 0) != 0;
}

static bool is_held(uint32_t holder)
{
    return holder != NOBODY && (holder & unconfirmed) == 0;
}

bool places_are_all_taken(const struct places *places)
{
    size_t end = end_of_free(places);
    size_t hint = places->hint < end ? places->hint : end;

    if (places_limit(places) == 0)
        return false;
    for (size_t at = hint; at < end; at++)
        if (!is_held(holder_at(places, at)))
            return false;
    for (size_t at = 0; at < hint; at++)
        if (!is_held(holder_at(places, at)))
            return false;
    return true;
}

size_t places_count(const struct places *places)
{
    size_t extent = extent_of(places), count = 0;

    for (size_t at = 0; at < extent; at++)
        count += is_held(holder_at(places, at));
    return count;
}

void places_note_overload(struct places *places, int64_t now_ms)
{
    atomic_store(&places->shared->overload_ms, now_ms);
}

/* How long ago a time of the shared memory was; another worker's clock may be a little ahead. */
static int64_t age_ms(int64_t time_ms, int64_t now_ms)
{
    if (time_ms <= 0)
        return INT64_MAX;
    return time_ms < now_ms ? now_ms - time_ms : 0;
}

bool places_had_overload(const struct places *places, int64_t now_ms, int64_t duration_ms)
{
    return age_ms(atomic_load(&places->shared->overload_ms), now_ms) < duration_ms;
}

bool places_may_warn(struct places *places, int64_t now_ms)
{
    int_fast64_t before_ms = atomic_load(&places->shared->warning_ms);

    return age_ms(before_ms, now_ms) > OVERLOAD_WARNING_MS &&
           atomic_compare_exchange_strong(&places->shared->warning_ms, &before_ms, now_ms);
}

void places_free(struct places **places)
{
    if (*places == NULL)
        return;
    munmap((*places)->shared, sizeof(struct shared));
    fd_close(&(*places)->fd);
    memory_free(*places);
    *places = NULL;
}
