/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One session of bench-load, over as many connections as it takes: a client's side of SMTP.
 */
#pragma once

#include "base/buf.h"
#include "load.h"

enum phase {
    PHASE_CLOSED,
    PHASE_BANNER,
    PHASE_EHLO,
    PHASE_STARTTLS,
    PHASE_HANDSHAKE,
    PHASE_READY,
    PHASE_ENVELOPE, /* MAIL, RCPT and DATA, in one piece or one by one */
    PHASE_CONTENT,
    PHASE_RSET,
    PHASE_QUIT,
};

struct client {
    struct connection connection;
    struct load *load;
    enum phase phase;
    bool is_idle; /* it only stays: no message */
    bool has_message;
    bool has_pipelining, has_starttls;
    uint32_t connection_number;
    uint32_t sent; /* messages over this connection */
    int64_t connect_us;
    struct mark mark;
    struct buf commands; /* the envelope's; from `unsent` on they are still to be sent */
    size_t unsent;
    uint32_t answered; /* 0 = MAIL's reply is next, then the recipients', then DATA's */
    bool is_mail_accepted;
    unsigned char *accepted; /* for each recipient */
    uint32_t accepted_count;
    struct content_frame frame;
    struct buf carry; /* a reply's line that is not whole */
    struct client *next;
    int64_t resume_us;
};

void client_init(struct client *client, struct load *load);
/* Closes what is open. */
void client_clear(struct client *client);

/* Sends this message, over the open connection or a new one. */
void client_send(struct client *client, const struct mark *mark);
/* Tries again to get a connection for the message it has. */
void client_resume(struct client *client);
/* Connects, says EHLO and stays. */
void client_stay(struct client *client);
/* QUIT, where a connection awaits commands. */
void client_quit(struct client *client);
/* What epoll told of it. */
void client_ready(struct client *client);
