/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who decides about logins, smtpd_sasl_type: Dovecot's authentication server, or the sasl role with
 * Cyrus SASL. Used from fibers.
 */
#pragma once

#include "config/config.h"
#include "dovecot.h"
#include "server.h"

struct sasl_server;

/* Before the role is confined; borrows `config`. NULL with `error`. */
struct sasl_server *sasl_server_new(struct service *service, const struct config *config,
                                    struct error *error);
void sasl_server_free(struct sasl_server **sasl);

/* As dovecot_mechanisms. */
must_check bool sasl_server_mechanisms(struct sasl_server *sasl, struct server *server,
                                       int64_t deadline_ms, const struct mechanism **mechanisms,
                                       size_t *count, struct error *error);

/* What a client hears that names a mechanism which it was not offered. */
struct str sasl_server_no_mechanism(const struct sasl_server *sasl, struct str mechanism,
                                    unsigned refused_properties);
/* Clients of smtpd_sasl_exceptions_networks are offered nothing; with Cyrus they may log in. */
bool sasl_server_takes_exceptions(const struct sasl_server *sasl);

struct sasl_server_exchange {
    struct dovecot_exchange dovecot;
    struct cyrus_exchange cyrus;
    bool is_cyrus;
    struct str text, user; /* as dovecot_step says */
};
/* As dovecot_start and what follows it. */
enum dovecot_step sasl_server_start(struct sasl_server *sasl, struct server *server,
                                    struct arena *arena, const struct dovecot_request *request,
                                    int64_t deadline_ms, struct sasl_server_exchange *exchange);
enum dovecot_step sasl_server_continue(struct sasl_server_exchange *exchange, struct str response,
                                       int64_t deadline_ms);
void sasl_server_end(struct sasl_server_exchange *exchange);
