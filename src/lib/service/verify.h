/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the verify role whether mail to an address would be taken (Postfix's verify(8)). A fiber
 * asks and is suspended for the answer, which is what is known now: an address that nobody asked
 * for lately is VERIFY_UNKNOWN, and a probe is on its way.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "loop/fiber.h"

/* The numbers are Postfix's, as its cache has them. */
enum verify_status {
    VERIFY_OK = 0,
    VERIFY_DEFER = 1,   /* cannot be told: some server is away */
    VERIFY_BOUNCE = 2,  /* does not exist */
    VERIFY_UNKNOWN = 3, /* being looked into */
};

struct verify_client;

struct verify_client *verify_client_new(struct loop *loop);
void verify_client_free(struct verify_client **client);
/* A (new) channel to verify; takes over `fd`. */
must_check bool verify_client_attach(struct verify_client *client, int fd, struct error *error);

/* False: nobody answered in time. The reason is copied into the arena. */
bool verify_ask(struct verify_client *client, struct str address, int64_t deadline_ms,
                struct arena *arena, enum verify_status *status, struct str *reason);
