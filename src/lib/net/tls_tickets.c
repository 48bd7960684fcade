/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_tickets.h"

#include "base/buf.h"
#include "base/ensure.h"
#include "base/memory.h"
#include "net/crypto.h"

#include <string.h>
#include <sys/random.h>

enum { SEEDS = TICKET_KEPT_PERIODS + 1, CATCH_UP_PERIODS_MAX = 100 * 1000 };

struct tls_tickets {
    int64_t period; /* of seeds[0], the oldest */
    size_t count;   /* how many are made: those behind the first when they are wanted */
    unsigned char seeds[SEEDS][TICKET_SEED_BYTES]; /* one for each period from there on */
};

bool tls_tickets_make_seed(unsigned char seed[TICKET_SEED_BYTES])
{
    return getrandom(seed, TICKET_SEED_BYTES, 0) == TICKET_SEED_BYTES;
}

int64_t tls_tickets_period(int64_t wall_s)
{
    return wall_s / TICKET_PERIOD_S;
}

static bool derive(const unsigned char seed[TICKET_SEED_BYTES], const char *purpose,
                   struct str listener, unsigned char out[TICKET_KEY_BYTES])
{
    autofree_buf struct buf text = { 0 };

    buf_append_text(&text, purpose);
    buf_append_byte(&text, '\0');
    buf_append(&text, listener);
    return crypto_mac(CRYPTO_SHA256, str_of((const char *)seed, TICKET_SEED_BYTES), buf_str(&text),
                      out);
}

/* A seed for each period up to the `wanted` one, each made of the one before. */
static bool make_seeds(struct tls_tickets *tickets, size_t wanted)
{
    for (; tickets->count <= wanted; tickets->count++)
        if (!derive(tickets->seeds[tickets->count - 1], "next", STR(""),
                    tickets->seeds[tickets->count]))
            return false;
    return true;
}

struct tls_tickets *tls_tickets_new(const unsigned char seed[TICKET_SEED_BYTES], int64_t period)
{
    struct tls_tickets *tickets = memory_new(sizeof *tickets);

    tickets->period = period;
    memcpy(tickets->seeds[0], seed, TICKET_SEED_BYTES);
    tickets->count = 1;
    return tickets;
}

void tls_tickets_free(struct tls_tickets **tickets)
{
    if (*tickets == NULL)
        return;
    explicit_bzero(*tickets, sizeof **tickets);
    memory_free(*tickets);
    *tickets = NULL;
}

/* The newest seed that there can be is always that of the present period. A clock that goes back
 * changes nothing: what is forgotten stays forgotten. Where the library is missing everything
 * stays as it is: whoever gets the old seed makes the same new ones of it. */
static void advance(struct tls_tickets *tickets, int64_t wall_s)
{
    int64_t wanted = tls_tickets_period(wall_s) - TICKET_KEPT_PERIODS;

    if (wanted - tickets->period > CATCH_UP_PERIODS_MAX)
        tickets->period = wanted - 1; /* years at once: old tickets are over in any case */
    while (tickets->period < wanted && make_seeds(tickets, 1)) {
        tickets->count--;
        memmove(tickets->seeds[0], tickets->seeds[1], tickets->count * sizeof tickets->seeds[0]);
        explicit_bzero(tickets->seeds[tickets->count], sizeof tickets->seeds[0]);
        tickets->period++;
    }
}

void tls_tickets_get_seed(struct tls_tickets *tickets, int64_t wall_s,
                          unsigned char seed[TICKET_SEED_BYTES], int64_t *period)
{
    advance(tickets, wall_s);
    memcpy(seed, tickets->seeds[0], TICKET_SEED_BYTES);
    *period = tickets->period;
}

static bool make_name(const struct tls_tickets *tickets, size_t at, struct str listener,
                      unsigned char name[TICKET_NAME_BYTES])
{
    unsigned char digest[TICKET_KEY_BYTES];

    if (!derive(tickets->seeds[at], "name", listener, digest))
        return false;
    memcpy(name, digest, TICKET_NAME_BYTES);
    return true;
}

static bool make_key(const struct tls_tickets *tickets, size_t at, struct str listener,
                     struct tls_ticket_key *key)
{
    return make_name(tickets, at, listener, key->name) &&
           derive(tickets->seeds[at], "cipher", listener, key->cipher_key) &&
           derive(tickets->seeds[at], "digest", listener, key->digest_key);
}

/* Which of the seeds is that of the present period. */
static size_t current(const struct tls_tickets *tickets, int64_t wall_s)
{
    int64_t at = tls_tickets_period(wall_s) - tickets->period;

    return at < 0 ? 0 : at >= SEEDS ? SEEDS - 1 : (size_t)at;
}

bool tls_tickets_current(struct tls_tickets *tickets, struct str listener, int64_t wall_s,
                         struct tls_ticket_key *key)
{
    advance(tickets, wall_s);
    size_t at = current(tickets, wall_s);
    return make_seeds(tickets, at) && make_key(tickets, at, listener, key);
}

bool tls_tickets_find(struct tls_tickets *tickets, struct str listener, int64_t wall_s,
                      const unsigned char name[TICKET_NAME_BYTES], struct tls_ticket_key *key,
                      bool *is_current)
{
    unsigned char candidate[TICKET_NAME_BYTES];

    advance(tickets, wall_s);
    size_t newest = current(tickets, wall_s);
    if (!make_seeds(tickets, newest))
        return false;
    for (size_t i = 0; i <= newest; i++) {
        size_t at = newest - i;
        if (!make_name(tickets, at, listener, candidate) ||
            !crypto_is_equal(candidate, name, sizeof candidate))
            continue;
        *is_current = i == 0;
        return make_key(tickets, at, listener, key);
    }
    return false;
}
