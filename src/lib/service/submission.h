/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asking end of wire/submit.def: how smtpd and pickup hand new mail to the queue role. One for
 * each worker; its fibers share it. It leases blocks of queue ids, sends content inline or in
 * chunks with back-pressure, waits for the commit, and survives the queue role's restarts: what
 * had no answer by then is SUBMISSION_LOST, never accepted.
 */
#pragma once

#include "base/buf.h"
#include "loop/fiber.h"
#include "store/store.h"

enum {
    /* The most content that submission_finish may be given; what is larger goes before it, with
     * submission_send, in portions of exactly SUBMISSION_CHUNK_BYTES. */
    SUBMISSION_INLINE_MAX = 64 * 1024,
    SUBMISSION_CHUNK_BYTES = STORE_CHUNK_BYTES,
};

struct submission;

struct submission *submission_new(struct loop *loop);
/* Fibers that still wait are told SUBMISSION_LOST; they must have ended before this. */
void submission_free(struct submission **submission);
/* A (new) channel to the queue role, to its process `worker`; takes over `fd`. All that was open on
 * an older one is lost. */
must_check bool submission_attach(struct submission *submission, uint32_t worker, int fd,
                                  struct error *error);

/* A whole SMTP reply that the queue gives instead of taking mail. Texts are NUL-terminated. */
struct submission_reply {
    unsigned code;
    char enhanced[12];
    char text[256];
};

/* Whether new mail is taken at all; where it is not (disk full), `reply` says what to answer. While
 * there is no queue it is taken: the queue may be back before it is needed. `reply` may be NULL. */
bool submission_is_open(const struct submission *submission, struct submission_reply *reply);

/* Deferred mail for the domain is due now. False: there is no queue to tell. */
must_check bool submission_flush(struct submission *submission, struct str site);

/* A queue id that nobody else will ever get; suspends the fiber when none is in stock. False when
 * none came by the deadline. */
must_check bool submission_take_id(struct submission *submission, int64_t deadline_ms,
                                   uint64_t *queue_id);

/* One message on its way; the caller embeds it, and every begin is ended by finish or abort (abort
 * is also safe on { 0 }). */
struct submission_message {
    struct submission *submission; /* NULL: not begun */
    uint64_t queue_id;
    uint64_t transaction;
    uint64_t generation; /* of the channel that it began on */
    bool has_chunks;
    struct fiber *waiter; /* in submission_finish */
    int answer;           /* enum submission_outcome, or 0 while there is none */
    struct submission_reply reply;
};

enum submission_outcome {
    SUBMISSION_ACCEPTED = 1, /* durable: answer 250 */
    SUBMISSION_REFUSED,      /* `reply` says why */
    SUBMISSION_LOST, /* no answer: the queue went away, or the deadline passed. It may or may
                        not have been committed; the client must keep its copy: 451 */
};

void submission_begin(struct submission *submission, uint64_t queue_id,
                      struct submission_message *message);
/* One chunk of SUBMISSION_CHUNK_BYTES; waits while the channel is full. False when the message can
 * no longer be submitted (the queue went away, the deadline passed, the fiber was cancelled). */
must_check bool submission_send(struct submission_message *message, struct str chunk,
                                int64_t deadline_ms);
/* The rest of the content and the envelope (envelope_encode's bytes); waits for the answer. On
 * SUBMISSION_REFUSED message->reply is filled. The message is over. */
enum submission_outcome submission_finish(struct submission_message *message, struct str envelope,
                                          struct str content, int64_t deadline_ms);
void submission_abort(struct submission_message *message);

/* Mail for the postmaster (transcript.h), from its From: header on. Nobody waits for it: while
 * there is no queue it is lost. */
void submission_send_notice(struct submission *submission, struct str recipient,
                            struct str content);
