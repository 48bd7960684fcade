/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver of a server conversation: greet, then one step for each command until the client or
 * a limit ends it. While the client is silent between commands the conversation parks: its fiber
 * and buffers go back, and the next byte brings a fiber. A conversation belongs to its server's
 * loop and frees itself at its end.
 */
#pragma once

#include "net/address.h"
#include "net/stream.h"
#include "policy.h"
#include "replies.h"
#include "server.h"
#include "session.h"

/* What a step or a handler of a command leads to. */
enum next {
    NEXT_COMMAND, /* read on */
    NEXT_PARK,    /* nothing to read: wait without a fiber */
    NEXT_CLOSE,   /* the end of the connection */
};

struct line; /* line.h */

/* A connection that was accepted. */
struct arrival {
    int fd;
    struct net_address peer;
    struct line *line; /* NULL: nobody counts */
    size_t place;      /* its place with the line, given back at the end */
};

struct conversation {
    struct list link;
    struct server *server;
    struct line *own_line; /* of master.cf, and the place it holds of that line's */
    size_t place;
    const struct policy *policy;
    struct stream *stream;
    struct net_address peer;
    struct session session;
    struct arena scratch;  /* for one command */
    struct buf line;       /* a log line or reply in the making; empty between uses */
    unsigned reply_code;   /* of the command that is being handled; 0 = not answered yet */
    bool is_error_excused; /* its refusal does not count against the client */
    bool is_greeted;
    bool is_parked;
    bool has_timed_out; /* while it was parked */
};

/* Takes over the descriptor and the place. The first step greets the client. */
void conversation_start(struct server *server, const struct policy *policy,
                        const struct arrival *arrival);
/* Ends it with 421 where it waits for a command outside of a transaction; else its next step
 * does (server->is_closing). */
void conversation_close_if_idle(struct conversation *conversation);

/* ---- for the handlers ---- */
/* The greeting, or what smtpd_client_restrictions have in its place. */
enum next conversation_welcome(struct conversation *conversation);
enum next reply(struct conversation *conversation, enum reply_name name);
enum next reply_verdict(struct conversation *conversation, const struct verdict *verdict);
/* `text` without its line end; `code` is what it begins with. */
enum next reply_text(struct conversation *conversation, unsigned code, struct str text);
/* A whole multi-line reply, with its line ends. */
enum next reply_lines(struct conversation *conversation, unsigned code, struct str lines);
/* smtpd_forbid_bare_newline = reject. */
enum next reply_bare_newline(struct conversation *conversation);
/* Replies, and the connection ends whatever comes of it. */
enum next reply_and_close(struct conversation *conversation, enum reply_name name);
/* The stream failed while waiting for `where`: logs it in Postfix's words, on a timeout says
 * 421. */
enum next conversation_lost(struct conversation *conversation, enum stream_outcome outcome,
                            struct str where);
/* When the client must have sent its next command, or read our output. */
int64_t conversation_deadline_ms(const struct conversation *conversation);
/* An empty buffer for a log line, and the end of it: written, emptied. */
struct buf *conversation_log_start(struct conversation *conversation);
void conversation_log_end(struct conversation *conversation, enum severity severity);
/* "ID: reject: RCPT from …: reply; from=<…> …". `recipient` may be NULL. */
void conversation_log_reject(struct conversation *conversation, const char *where, struct str reply,
                             const struct str *recipient);
/* The same for other actions than "reject": "warn", "hold". */
void conversation_log_action(struct conversation *conversation, const char *action,
                             const char *where, struct str text, const struct str *recipient);
/* The queue id's text, or empty while there is none. */
struct str conversation_queue_id(const struct conversation *conversation);
