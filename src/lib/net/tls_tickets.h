/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that seal TLS session tickets. All smtpd workers get the same seed from the master and
 * make the same keys of it, so each resumes what another began. The seed moves on with the clock
 * through a one-way step: a key whose period is over can be made from nothing that is left. A
 * key also depends on the listener's name, so a ticket of one listener is not worth anything at
 * another one. Keys are made with net/crypto.h, when they are wanted: who only keeps the seed need
 * not have that loaded.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

enum {
    TICKET_SEED_BYTES = 32,
    TICKET_NAME_BYTES = 16,
    TICKET_KEY_BYTES = 32,
    TICKET_PERIOD_S = 3600,  /* a new key begins … */
    TICKET_KEPT_PERIODS = 4, /* … and old ones open tickets for so many periods more */
};

struct tls_tickets;

/* Random; false where the system has no randomness. */
bool tls_tickets_make_seed(unsigned char seed[TICKET_SEED_BYTES]);

/* `period` is the one that `seed` is of: tls_tickets_period() when it was made. */
struct tls_tickets *tls_tickets_new(const unsigned char seed[TICKET_SEED_BYTES], int64_t period);
void tls_tickets_free(struct tls_tickets **tickets);
int64_t tls_tickets_period(int64_t wall_s);
/* Brings it up to now, and gives the oldest seed still held with its period: what a new worker must
 * get so as to open every ticket that is still good. */
void tls_tickets_get_seed(struct tls_tickets *tickets, int64_t wall_s,
                          unsigned char seed[TICKET_SEED_BYTES], int64_t *period);

struct tls_ticket_key {
    unsigned char name[TICKET_NAME_BYTES]; /* stands in the ticket, in clear */
    unsigned char cipher_key[TICKET_KEY_BYTES];
    unsigned char digest_key[TICKET_KEY_BYTES];
};
/* The key to seal with now. False where the library does not make it. */
must_check bool tls_tickets_current(struct tls_tickets *tickets, struct str listener,
                                    int64_t wall_s, struct tls_ticket_key *key);
/* The key of that name; false where it is none of this listener's, or too old. `is_current` tells
 * whether a new ticket would get the same. */
bool tls_tickets_find(struct tls_tickets *tickets, struct str listener, int64_t wall_s,
                      const unsigned char name[TICKET_NAME_BYTES], struct tls_ticket_key *key,
                      bool *is_current);
