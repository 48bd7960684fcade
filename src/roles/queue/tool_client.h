/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One command that is connected (tools.h), and what its requests are answered by. The requests run
 * in the client's fiber; a function that returns without an answer was cancelled.
 */
#pragma once

#include "mail/queue_id_list.h"
#include "queue.h"
#include "store/queue_tool.h"
#include "wire/wire.h"

enum { TOOL_PORTION = 64 }; /* messages between two turns of the rest of the loop */

struct tool_client {
    struct queue *queue;
    struct list link;
    struct channel *channel;
    uid_t uid;
    struct fiber *fiber; /* while a request runs */
    uint16_t verb;
    struct arena request; /* the bytes of it, and what is made for the answer */
    struct str payload;
};

/* Waits until the client has read enough of what it was sent. False: it went away, or is to. */
bool tool_client_has_room(struct tool_client *client);
/* The end of an answer. */
void tool_client_done(struct tool_client *client, uint32_t status,
                      const struct queue_tool_counts *counts, struct str reason);

/* A message as it is now: an active one is in memory. STORE_DAMAGED and STORE_FAILED are in the log
 * then, and in `error`. */
enum store_outcome tool_look_at(struct queue *queue, uint64_t queue_id,
                                struct queue_message *message, struct error *error);

/* Sends a message, shortened so that it fits into a frame. */
void tool_client_message(struct tool_client *client, struct queue_message *message);

/* ---- tools_list.c ---- */
void tool_do_list(struct tool_client *client, const struct wire_tool_list *request);
void tool_do_show(struct tool_client *client, const struct wire_tool_show *request);

/* ---- tools_change.c ---- */
void tool_do_change(struct tool_client *client, const struct wire_tool_change *request);
void tool_do_flush(struct tool_client *client, const struct wire_tool_flush *request);

/* ---- tools_status.c ---- */
void tool_do_status(struct tool_client *client, const struct wire_tool_status *request);
