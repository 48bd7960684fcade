/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a server, from its greeting to QUIT: everything that lives from one command to
 * the next. It belongs to one delivery at a time, or idle to the connection cache.
 */
#pragma once

#include "base/list.h"
#include "ehlo.h"
#include "loop/fiber.h"
#include "mail/transcript.h"
#include "net/stream.h"
#include "target.h"

struct delivery;
struct destination;
struct connection_cache;
struct tls_policy;
struct tls_sessions;
struct sasl_client;

/* name, the words behind "while" in Postfix's texts */
#define SESSION_PHASES(PHASE)                                                                      \
    PHASE(GREETING, "receiving the initial server greeting")                                       \
    PHASE(EHLO, "performing the EHLO handshake")                                                   \
    PHASE(HELO, "performing the HELO handshake")                                                   \
    PHASE(LHLO, "performing the LHLO handshake")                                                   \
    PHASE(STARTTLS, "receiving the STARTTLS response")                                             \
    PHASE(READY, "waiting for the next message")                                                   \
    PHASE(AUTH, "performing the EHLO handshake")                                                   \
    PHASE(XFORWARD, "sending XFORWARD command")                                                    \
    PHASE(MAIL, "sending MAIL FROM")                                                               \
    PHASE(RCPT, "sending RCPT TO")                                                                 \
    PHASE(DATA, "sending DATA command")                                                            \
    PHASE(CONTENT, "sending message body")                                                         \
    PHASE(FINAL_DOT, "sending end of data -- message may be sent more than once")                  \
    PHASE(RSET, "sending RSET command")                                                            \
    PHASE(QUIT, "sending QUIT command")                                                            \
    PHASE(CLOSED, "closing the connection")

enum session_phase {
#define PHASE(name, text) PHASE_##name,
    SESSION_PHASES(PHASE)
#undef PHASE
};

enum command_kind {
    COMMAND_GREETING, /* what the server says without being asked */
    COMMAND_EHLO,
    COMMAND_HELO,
    COMMAND_LHLO,
    COMMAND_STARTTLS,
    COMMAND_AUTH,
    COMMAND_XFORWARD,
    COMMAND_MAIL,
    COMMAND_RCPT,
    COMMAND_DATA,
    COMMAND_FINAL_DOT,
    COMMAND_RECIPIENT_DOT, /* the same in LMTP, one for each recipient */
    COMMAND_RSET,
    COMMAND_QUIT,
};

/* For firewalls that show themselves by a greeting of asterisks. */
enum pix_workaround { PIX_DISABLE_ESMTP = 1, PIX_DELAY_DOTCRLF = 2 };

/* A command whose reply has not come yet. */
struct expect {
    enum command_kind kind;
    uint32_t recipient; /* of RCPT: index into the delivery's recipients */
};

struct session {
    struct loop *loop;
    struct stream *stream;
    const struct transport *transport;
    enum session_phase phase;
    struct arena arena; /* as long as the connection */
    struct str host;    /* the server's name */
    struct str name;    /* "mx.example.com[192.0.2.1]" */
    struct str relay;   /* the same with ":25" */
    uint16_t port;
    bool is_backup;     /* there is a server of better preference */
    struct str address; /* "192.0.2.1", or the path of a socket */
    struct offer offer;
    unsigned pix_workarounds;       /* enum pix_workaround bits */
    bool is_traced;                 /* debug_peer_list: the dialogue goes to the log */
    struct transcript transcript;   /* for the postmaster, where something goes wrong */
    bool is_encrypted, is_verified; /* TLS, and with a certificate that was verified */
    bool is_authenticated;
    const struct tls_policy *tls_policy; /* the delivery's, while it is being greeted */
    bool is_tls_granted;                 /* STARTTLS was answered well */
    bool has_tls_failed;                 /* the handshake */
    /* What TLS gave for later connections goes there at the end; an empty key: nowhere. */
    struct tls_sessions *tls_sessions;
    struct str tls_key;
    int64_t tls_lifetime_s;
    struct sasl_client *login; /* while it is under way */
    bool greets_esmtp;         /* the greeting has the word ESMTP */
    struct reply reply;        /* the latest one */
    struct arena heard;        /* a line that was filtered */
    struct expect *expects;    /* ring of expect_capacity, a power of two */
    size_t expect_first, expect_count, expect_capacity;
    unsigned use_count; /* transactions begun */
    int64_t opened_ms;
    const struct failure *refusal; /* why greeting or EHLO came to nothing; the delivery's */
    struct delivery *delivery;     /* in whose transaction it is; NULL between transactions */

    /* The transaction, cleared at its start. */
    bool is_mail_accepted, is_content_wanted, is_content_broken;
    bool is_stale;   /* a reused connection turned out to be over before MAIL was answered */
    bool must_close; /* not fit for another transaction */
    size_t accepted_count;

    struct list by_destination;             /* in the cache; see connection_cache.h */
    struct destination *destination;        /* in whose idle list it is */
    struct connection_cache *closing_cache; /* while its fiber says QUIT; and that fiber */
    struct fiber *closing_fiber;
};

/* Takes over the stream. */
struct session *session_new(struct loop *loop, struct stream *stream,
                            const struct transport *transport, const struct target *target);
void session_free(struct session **session); /* closes at once, without QUIT */

/* Appends "mx.example.com[192.0.2.1]:25" or "relay.example.com[path/of/socket]". */
void target_format(const struct target *target, struct buf *out);

/* The only way to change the phase; the move must be a legal one. */
void session_enter(struct session *session, enum session_phase phase);
/* "receiving the initial server greeting" */
const char *session_phase_text(enum session_phase phase);

/* A line of the dialogue, for the transcript, and for the log where the peer is in debug_peer_list:
 * '<' came, '>' went. */
void session_trace(struct session *session, char direction, struct str line);
/* A line as it came: to the log, and through smtp_reply_filter. What counts borrows from `line` or
 * from the session, until the next one. */
struct str session_hear(struct session *session, struct str line);

void session_expect_push(struct session *session, enum command_kind kind, uint32_t recipient);
bool session_expect_pop(struct session *session, struct expect *expect);
