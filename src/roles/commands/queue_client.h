/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command's way to the queue (wire/tools.def): over the queue role's socket, or while the mail
 * system is down by opening the store itself, under its lock. The answers are the same.
 */
#pragma once

#include "mail/queue_format.h"
#include "mail/queue_id.h"
#include "tool.h"
#include "wire/wire.h"

struct store;

struct queue_client {
    const struct tool *tool;
    int fd; /* -1: the store itself */
    struct channel_input input;
    struct store *store; /* NULL: over the socket, unless */
    bool is_empty;       /* there is no store yet */
};

enum queue_access {
    QUEUE_ONLY_WHEN_UP, /* without the queue role there is nothing to do */
    QUEUE_ALSO_WHEN_DOWN,
};

/* False: neither way is open, `error` says why; system_errno is ENOENT or ECONNREFUSED where the
 * mail system is down. */
must_check bool queue_client_open(struct queue_client *client, const struct tool *tool,
                                  enum queue_access when, struct error *error);
/* Sends one request and hands each answer before the end to `answer` (NULL: none is expected).
 * False: the exchange failed. The text of done->reason lives in `arena`. */
must_check bool queue_client_ask(struct queue_client *client, uint16_t number, struct str payload,
                                 bool (*answer)(void *argument, uint16_t number,
                                                struct str payload),
                                 void *argument, struct arena *arena, struct wire_tool_done *done,
                                 struct error *error);
void queue_client_close(struct queue_client *client);

/* A message as the queue lists it. */
struct queue_listed {
    uint64_t queue_id;
    int64_t next_attempt_ms;
    struct envelope envelope;
    struct queue_id_text id;
    struct queue_entry entry; /* points to the two above */
};
/* Whether an answer of a list is about a message that is damaged; that is told then. */
bool queue_listed_is_damaged(const struct tool *tool, uint16_t number, struct str payload);
/* False: the payload is no WIRE_tool_message. Borrows from it, and from `arena`. */
must_check bool queue_listed_decode(const struct tool *tool, struct arena *arena,
                                    struct str payload, struct queue_listed *listed);
