/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers the requests of wire/tools.def from the store itself, while the mail system is down. For
 * queue_client alone.
 */
#pragma once

#include "config/config.h"
#include "wire/wire.h"

struct store;

/* Opens the store as mail_owner, so that no file there becomes root's. NULL on failure. */
struct store *queue_direct_open(const struct config *config, struct error *error);
/* As queue_client_ask; `done->reason` is constant text or lives in `arena`. */
must_check bool queue_direct_ask(struct store *store, uint16_t number, struct str payload,
                                 bool (*answer)(void *argument, uint16_t number,
                                                struct str payload),
                                 void *argument, struct arena *arena, struct wire_tool_done *done,
                                 struct error *error);
