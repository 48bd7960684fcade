/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the anvil role, which counts for all smtpd workers what each client does: open
 * connections, and connections, messages, recipients, logins within anvil_rate_time_unit. A fiber
 * asks and is suspended. While there is no anvil nothing is limited.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"
#include "loop/fiber.h"

enum anvil_event {
    ANVIL_CONNECTION,
    ANVIL_MESSAGE,
    ANVIL_RECIPIENT,
    ANVIL_NEW_TLS,
    ANVIL_LOGIN,
    ANVIL_EVENT_COUNT,
};

struct anvil_counts {
    unsigned connections; /* open now */
    unsigned rate;        /* of the event */
};

struct anvil_client;

struct anvil_client *anvil_client_new(struct loop *loop);
void anvil_client_free(struct anvil_client **client);
/* A (new) channel to anvil; takes over `fd`. */
must_check bool anvil_client_attach(struct anvil_client *client, int fd, struct error *error);

/* Counts the event. `who` is "service:address". False: nobody answered in time; it is not limited.
 * A connection that was counted is to be ended with anvil_end. */
bool anvil_count(struct anvil_client *client, enum anvil_event event, struct str who,
                 int64_t deadline_ms, struct anvil_counts *counts);
/* The same numbers without an event. */
bool anvil_look(struct anvil_client *client, enum anvil_event event, struct str who,
                int64_t deadline_ms, struct anvil_counts *counts);
void anvil_end(struct anvil_client *client, struct str who);
