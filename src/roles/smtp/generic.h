/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_generic_maps: addresses that mean something here become others while mail leaves, in the
 * envelope and in the headers. What is logged and told to the queue keeps the addresses of here.
 */
#pragma once

#include "client_tables.h"
#include "net/own_addresses.h"

struct delivery;
struct generic;

/* NULL where nothing is to be mapped, or with `error`. `config` is borrowed. */
struct generic *generic_new(const struct config *config, const struct log_context *log,
                            struct error *error);
void generic_free(struct generic **generic);
/* Fills in what the delivery sends in place of its sender, recipients and content. False where a
 * table cannot answer: the mail waits. */
must_check bool generic_map(const struct generic *generic, struct delivery *delivery,
                            struct error *error);
