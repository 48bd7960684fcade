/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server conversation remembers from one command to the next, and nothing else. It outlives
 * the fiber that runs a command: an idle connection is just this, its stream and a timer.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "mail/envelope.h"
#include "mail/log_line.h"
#include "mail/message_actions.h"
#include "mail/queue_id.h"
#include "mail/transcript.h"
#include "net/tls.h"
#include "replies.h"
#include "service/submission.h"

/* PHASE(name, bit): where a conversation is. */
#define SESSION_PHASES(PHASE)                                                                      \
    PHASE(NEW, 1)          /* connected, no HELO or EHLO yet */                                    \
    PHASE(READY, 2)        /* greeted each other */                                                \
    PHASE(MAIL, 4)         /* has a sender */                                                      \
    PHASE(RCPT, 8)         /* and at least one recipient */                                        \
    PHASE(DATA, 16)        /* content is arriving */                                               \
    PHASE(BDAT, 32)        /* content is arriving in chunks, with commands between them */         \
    PHASE(BDAT_FAILED, 64) /* a chunk was refused: those up to the last one are thrown away */     \
    PHASE(CLOSED, 128)     /* nothing more is read */

enum phase {
#define PHASE(name, bit) PHASE_##name = (bit),
    SESSION_PHASES(PHASE)
#undef PHASE
};

struct content; /* data.h */

/* XFORWARD: where the mail came from before the client had it. */
struct forwarded_client {
    bool is_set, is_local;
    struct str name, address, port, helo_name, protocol, queue_id; /* empty: not known */
};

/* What the DNS says of the client's name. */
enum peer_name {
    PEER_NAME_OK,
    PEER_NAME_TRY_AGAIN, /* no answer just now */
    PEER_NAME_NONE,      /* there is none, or it does not lead back */
};

/* A refusal that takes effect only where nothing else refuses (defer_if_permit), or where something
 * does (defer_if_reject). */
struct deferral {
    bool is_active;
    struct verdict verdict;
};

/* One MAIL … end of data. Everything in here is gone after transaction_reset. */
struct transaction {
    struct arena arena;
    struct envelope envelope;  /* its strings live in the arena */
    struct str sender_as_sent; /* for the logs of refusals */
    struct str sasl_sender;    /* MAIL's AUTH=, of an authenticated client */
    bool has_queue_id;
    uint64_t queue_id;
    struct queue_id_text queue_id_text;
    struct forwarded_client forwarded;    /* said before MAIL */
    uint64_t announced_bytes;             /* MAIL's SIZE=; 0: none */
    uint64_t content_bytes;               /* what came, once it is all here */
    struct deferral deferred_sender;      /* smtpd_delay_reject = no */
    unsigned overshoot;                   /* RCPT commands beyond smtpd_recipient_limit */
    struct message_actions actions;       /* HOLD, FILTER and so on */
    struct submission_message submission; /* begun only while content is sent */
    struct content *content;              /* what arrived of it; NULL: nothing asked for yet */
};

struct session {
    /* ---- for the connection's life; strings live in `arena` ---- */
    struct arena arena;
    struct str client_name; /* "unknown" where it did not verify */
    struct str client_address;
    struct str client_port; /* digits, or "unknown" */
    bool logs_client_port;  /* smtpd_client_port_logging */
    bool may_xclient, may_xforward, may_verp;
    struct transcript history; /* for the postmaster, see history.h */
    struct str abort_reason;   /* "timeout"; empty: it was not aborted */
    struct str reverse_name;   /* what its address's PTR record says, true or not; or "unknown" */
    enum peer_name client_name_status, reverse_name_status;
    uint64_t number;       /* of this worker's connections */
    int64_t connected_us;  /* wall clock */
    bool is_traced;        /* debug_peer_list */
    struct str counted_as; /* by anvil, "service:address"; empty: not counted */
    bool is_denied;        /* smtpd_client_restrictions, without smtpd_delay_reject */
    struct deferral deferred_client, deferred_helo; /* smtpd_delay_reject = no */
    bool is_local_client;                           /* connects from one of our own addresses */
    enum phase phase;
    struct str where; /* the last command, for "lost connection after …" */
    struct command_counts counts;
    unsigned error_count;
    unsigned junk_count;    /* commands without mail: NOOP, RSET, … */
    bool has_pipelined;     /* illegally; it is logged once */
    struct str sasl_method; /* empty: not authenticated */
    struct str sasl_username;
    struct tls_facts *tls; /* NULL: in clear */

    /* ---- from HELO or EHLO ---- */
    unsigned discarded_keywords; /* of EHLO, for this client: ehlo.h */
    struct str helo_name;        /* empty: none yet; neutralised for logs */
    struct buf helo_text;        /* holds it */
    bool is_esmtp;

    struct transaction transaction;
};

void session_init(struct session *session, struct str client_address, uint16_t client_port);
void session_clear(struct session *session);

/* The one place where the phase changes; the move must be a legal one. */
void session_enter(struct session *session, enum phase phase);
const char *phase_name(enum phase phase);

/* A chunk of BDAT was refused and more of them follow: ends the transaction as below, and until
 * RSET, HELO, EHLO or the last chunk nothing begins a new one. */
void session_refuse_chunks(struct session *session);

/* The one end of every transaction (sent, refused, RSET, HELO, EHLO, disconnect): as if MAIL had
 * never been. What was sent of its content is taken back. */
void session_reset_transaction(struct session *session);
/* Whether nothing is left of any transaction: equal to a fresh session's. */
bool session_has_no_transaction(const struct session *session);

bool session_in_transaction(const struct session *session);
struct log_client session_log_client(const struct session *session);
/* The same as text: "name[address]". */
struct str session_client_text(struct arena *arena, const struct session *session);
bool session_is_authenticated(const struct session *session);
/* "ESMTP" or "SMTP". */
struct str session_protocol(const struct session *session);
/* A HELO name as it may stand in logs and headers. */
struct str session_neutral_name(struct arena *arena, struct str name);
/* HELO or EHLO was answered: neutralises the name and ends any transaction. */
void session_set_hello(struct session *session, struct str name, bool is_esmtp);
/* As if it had not been. */
void session_forget_hello(struct session *session);
