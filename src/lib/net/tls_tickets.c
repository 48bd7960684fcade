/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_tickets.h"

#include "base/buf.h"
#include "base/ensure.h"
#include "base/memory.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

enum { SEEDS = TICKET_KEPT_PERIODS + 1, CATCH_UP_PERIODS_MAX = 100 * 1000 };

struct tls_tickets {
    int64_t period;                                /* of seeds[0], the oldest */
    unsigned char seeds[SEEDS][TICKET_SEED_BYTES]; /* one for each period from there on */
};

bool tls_tickets_make_seed(unsigned char seed[TICKET_SEED_BYTES])
{
    return RAND_bytes(seed, TICKET_SEED_BYTES) == 1;
}

int64_t tls_tickets_period(int64_t wall_s)
{
    return wall_s / TICKET_PERIOD_S;
}

static void derive(const unsigned char seed[TICKET_SEED_BYTES], const char *purpose,
                   struct str listener, unsigned char out[TICKET_KEY_BYTES])
{
    autofree_buf struct buf text = { 0 };
    unsigned len = TICKET_KEY_BYTES;

    buf_append_text(&text, purpose);
    buf_append_byte(&text, '\0');
    buf_append(&text, listener);
    ensure(HMAC(EVP_sha256(), seed, TICKET_SEED_BYTES, (const unsigned char *)text.ptr, text.len,
                out, &len) != NULL);
}

/* A seed for each period from the oldest one on, each made of the one before. */
static void fill_from(struct tls_tickets *tickets, size_t first)
{
    for (size_t i = first; i < SEEDS; i++)
        derive(tickets->seeds[i - 1], "next", STR(""), tickets->seeds[i]);
}

struct tls_tickets *tls_tickets_new(const unsigned char seed[TICKET_SEED_BYTES], int64_t period)
{
    struct tls_tickets *tickets = memory_new(sizeof *tickets);

    tickets->period = period;
    memcpy(tickets->seeds[0], seed, TICKET_SEED_BYTES);
    fill_from(tickets, 1);
    return tickets;
}

void tls_tickets_free(struct tls_tickets **tickets)
{
    if (*tickets == NULL)
        return;
    OPENSSL_cleanse(*tickets, sizeof **tickets);
    memory_free(*tickets);
    *tickets = NULL;
}

/* The newest seed is always that of the present period. A clock that goes back changes nothing:
 * what is forgotten stays forgotten. */
static void advance(struct tls_tickets *tickets, int64_t wall_s)
{
    int64_t wanted = tls_tickets_period(wall_s) - TICKET_KEPT_PERIODS;

    if (wanted - tickets->period > CATCH_UP_PERIODS_MAX)
        tickets->period = wanted - 1; /* years at once: old tickets are over in any case */
    while (tickets->period < wanted) {
        memmove(tickets->seeds[0], tickets->seeds[1], (SEEDS - 1) * sizeof tickets->seeds[0]);
        fill_from(tickets, SEEDS - 1);
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

static void make_name(const struct tls_tickets *tickets, size_t at, struct str listener,
                      unsigned char name[TICKET_NAME_BYTES])
{
    unsigned char digest[TICKET_KEY_BYTES];

    derive(tickets->seeds[at], "name", listener, digest);
    memcpy(name, digest, TICKET_NAME_BYTES);
}

static void make_key(const struct tls_tickets *tickets, size_t at, struct str listener,
                     struct tls_ticket_key *key)
{
    make_name(tickets, at, listener, key->name);
    derive(tickets->seeds[at], "cipher", listener, key->cipher_key);
    derive(tickets->seeds[at], "digest", listener, key->digest_key);
}

/* Which of the seeds is that of the present period. */
static size_t current(const struct tls_tickets *tickets, int64_t wall_s)
{
    int64_t at = tls_tickets_period(wall_s) - tickets->period;

    return at < 0 ? 0 : at >= SEEDS ? SEEDS - 1 : (size_t)at;
}

void tls_tickets_current(struct tls_tickets *tickets, struct str listener, int64_t wall_s,
                         struct tls_ticket_key *key)
{
    advance(tickets, wall_s);
    make_key(tickets, current(tickets, wall_s), listener, key);
}

bool tls_tickets_find(struct tls_tickets *tickets, struct str listener, int64_t wall_s,
                      const unsigned char name[TICKET_NAME_BYTES], struct tls_ticket_key *key,
                      bool *is_current)
{
    unsigned char candidate[TICKET_NAME_BYTES];

    advance(tickets, wall_s);
    size_t newest = current(tickets, wall_s);
    for (size_t i = 0; i <= newest; i++) {
        size_t at = newest - i;
        make_name(tickets, at, listener, candidate);
        if (CRYPTO_memcmp(candidate, name, sizeof candidate) != 0)
            continue;
        make_key(tickets, at, listener, key);
        *is_current = i == 0;
        return true;
    }
    return false;
}
