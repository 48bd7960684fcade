/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each client did: its open connections, and how often it did what within the time unit. As in
 * Postfix the unit begins with a client's first event, and all its rates begin again together.
 * Memory is bounded: beyond that new clients are not limited. Pure; time is the caller's.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "service/anvil.h"

enum { CLIENTS_MAX = 200000, CLIENT_BYTES_MAX = 512 };

struct counts;
/* Whose connections they are: a worker of smtpd, which may die with all of them. */
struct counts_holder;

struct counts *counts_new(void);
void counts_free(struct counts **counts);

struct counts_holder *counts_holder_new(struct counts *counts);
/* Its connections have ended. */
void counts_holder_free(struct counts_holder **holder);

/* An event at `now_s` (wall clock), in time units of `unit_s`. */
struct anvil_counts counts_add(struct counts_holder *holder, enum anvil_event event,
                               struct str client, int64_t now_s, int64_t unit_s);
/* What they are, without an event. */
struct anvil_counts counts_look(const struct counts *counts, enum anvil_event event,
                                struct str client, int64_t now_s, int64_t unit_s);
void counts_end_connection(struct counts_holder *holder, struct str client);
/* Forgets the clients without a connection whose unit is over. */
void counts_sweep(struct counts *counts, int64_t now_s, int64_t unit_s);
size_t counts_client_count(const struct counts *counts);

/* The most since the last call, one line of Postfix's statistics for each; gives the next line, or
 * false at the end, and then begins again. */
bool counts_next_statistic(struct counts *counts, int64_t unit_s, struct buf *line);
