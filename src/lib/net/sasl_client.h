/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging in to a server by SASL, the client's side: PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1 and
 * SCRAM-SHA-256. Pure: challenges in, responses out, without base64. Whoever made it frees it; the
 * password is wiped then.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* What a mechanism must not be, or must do (smtp_sasl_security_options). */
enum sasl_demand {
    SASL_NO_PLAINTEXT = 1,
    SASL_NO_ACTIVE = 2,
    SASL_NO_DICTIONARY = 4,
    SASL_NO_ANONYMOUS = 8,
    SASL_FORWARD_SECRECY = 16,
    SASL_MUTUAL_AUTH = 32,
};
/* "noplaintext, noanonymous"; the error names a word nobody knows. */
must_check bool sasl_demands_parse(struct str text, unsigned *demands, struct error *error);

struct sasl_client;

struct sasl_login {
    struct str mechanisms; /* what the server offers, separated by blanks */
    unsigned demands;      /* enum sasl_demand bits */
    struct str user, password;
    bool sends_authorization; /* the user also as whom it acts for */
};
/* The best mechanism that both sides have; NULL where there is none. */
struct sasl_client *sasl_client_new(const struct sasl_login *login);
void sasl_client_free(struct sasl_client **client);

/* Lent until it is freed. */
struct str sasl_client_user(const struct sasl_client *client);
struct str sasl_client_password(const struct sasl_client *client);
const char *sasl_client_mechanism(const struct sasl_client *client);
/* The response to send with AUTH itself; false where the server speaks first. */
bool sasl_client_begin(struct sasl_client *client, struct buf *response);
/* The response to a challenge; false where the challenge cannot be: give up. */
bool sasl_client_respond(struct sasl_client *client, struct str challenge, struct buf *response);
/* The server says that it is done. False where it did not prove what the mechanism wants proved. */
bool sasl_client_is_satisfied(const struct sasl_client *client);
/* For buffers that held a secret: overwrites and empties. */
void sasl_wipe(struct buf *buf);
/* The same for memory that is ours, such as an arena's. */
void sasl_wipe_text(struct str text);
