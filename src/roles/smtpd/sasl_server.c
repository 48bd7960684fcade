/* SPDX-License-Identifier: Apache-2.0 */
#include "sasl_server.h"

#include "base/ensure.h"
#include "base/memory.h"

enum { LIST_LIFETIME_MS = 60 * 1000, MECHANISMS_MAX = 50 };

struct sasl_server {
    const struct config *config;
    struct dovecot *dovecot; /* NULL: Cyrus */
    struct arena arena;      /* of the list that the sasl role gave last */
    struct mechanism *mechanisms;
    size_t count;
    int64_t expires_ms;
};

struct sasl_server *sasl_server_new(struct service *service, const struct config *config,
                                    struct error *error)
{
    struct sasl_server *sasl = memory_new(sizeof *sasl);

    sasl->config = config;
    if (str_equal_fold(config->smtpd_sasl_type, STR("cyrus")))
        return sasl;
    if (str_equal_fold(config->smtpd_sasl_type, STR("dovecot"))) {
        struct endpoint *endpoint = endpoint_new(service, config->smtpd_sasl_path, error);
        if (endpoint != NULL) {
            sasl->dovecot = dovecot_new(endpoint);
            return sasl;
        }
        error_context(error, "parameter smtpd_sasl_path");
    } else {
        error_set(error, "parameter smtpd_sasl_type: \"%.*s\"; the types are cyrus and dovecot",
                  STR_ARGS(config->smtpd_sasl_type));
    }
    sasl_server_free(&sasl);
    return NULL;
}

void sasl_server_free(struct sasl_server **sasl)
{
    if (*sasl == NULL)
        return;
    dovecot_free(&(*sasl)->dovecot);
    arena_clear(&(*sasl)->arena);
    memory_free(*sasl);
    *sasl = NULL;
}

/* ---- what is offered ---- */

/* What Cyrus's plugins say of themselves. Of one that is not known the worst is assumed. */
static unsigned properties_of(struct str name)
{
    static const struct {
        struct str name;
        unsigned properties;
    } known[] = {
        { STR_INIT("ANONYMOUS"), MECHANISM_ANONYMOUS | MECHANISM_ACTIVE | MECHANISM_DICTIONARY },
        { STR_INIT("CRAM-MD5"), MECHANISM_ACTIVE | MECHANISM_DICTIONARY },
        { STR_INIT("DIGEST-MD5"), MECHANISM_ACTIVE | MECHANISM_DICTIONARY | MECHANISM_MUTUAL },
        { STR_INIT("NTLM"), MECHANISM_ACTIVE | MECHANISM_DICTIONARY },
        { STR_INIT("GSSAPI"), MECHANISM_MUTUAL },
        { STR_INIT("GSS-SPNEGO"), MECHANISM_MUTUAL },
        { STR_INIT("SCRAM-SHA-1"), MECHANISM_DICTIONARY | MECHANISM_MUTUAL },
        { STR_INIT("SCRAM-SHA-224"), MECHANISM_DICTIONARY | MECHANISM_MUTUAL },
        { STR_INIT("SCRAM-SHA-256"), MECHANISM_DICTIONARY | MECHANISM_MUTUAL },
        { STR_INIT("SCRAM-SHA-384"), MECHANISM_DICTIONARY | MECHANISM_MUTUAL },
        { STR_INIT("SCRAM-SHA-512"), MECHANISM_DICTIONARY | MECHANISM_MUTUAL },
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_equal(name, known[i].name))
            return known[i].properties;
    return MECHANISM_PLAINTEXT | MECHANISM_ACTIVE | MECHANISM_DICTIONARY;
}

static bool ask_cyrus(struct sasl_server *sasl, struct server *server, int64_t deadline_ms,
                      struct error *error)
{
    struct arena arena = { 0 };
    struct str names, word;

    if (server->cyrus == NULL || !cyrus_mechanisms(server->cyrus, &arena, deadline_ms, &names)) {
        arena_clear(&arena);
        return error_set(error, "the sasl role does not answer");
    }
    arena_clear(&sasl->arena);
    sasl->arena = arena;
    sasl->mechanisms = arena_new_array(&sasl->arena, MECHANISMS_MAX, sizeof *sasl->mechanisms);
    sasl->count = 0;
    while (sasl->count < MECHANISMS_MAX && str_next_word(&names, " ", &word))
        sasl->mechanisms[sasl->count++] = (struct mechanism){ word, properties_of(word) };
    sasl->expires_ms = loop_now_ms(server->loop) + LIST_LIFETIME_MS;
    return true;
}

bool sasl_server_mechanisms(struct sasl_server *sasl, struct server *server, int64_t deadline_ms,
                            const struct mechanism **mechanisms, size_t *count, struct error *error)
{
    if (sasl->dovecot != NULL)
        return dovecot_mechanisms(sasl->dovecot, deadline_ms, mechanisms, count, error);
    if ((sasl->mechanisms == NULL || sasl->expires_ms <= loop_now_ms(server->loop)) &&
        !ask_cyrus(sasl, server, deadline_ms, error))
        return false;
    *mechanisms = sasl->mechanisms;
    *count = sasl->count;
    return true;
}

bool sasl_server_takes_exceptions(const struct sasl_server *sasl)
{
    return sasl->dovecot == NULL;
}

struct str sasl_server_no_mechanism(const struct sasl_server *sasl, struct str mechanism,
                                    unsigned refused_properties)
{
    if (sasl->dovecot != NULL)
        return STR("Invalid authentication mechanism");
    for (size_t i = 0; i < sasl->count; i++)
        if (str_equal(sasl->mechanisms[i].name, mechanism) &&
            (sasl->mechanisms[i].properties & refused_properties & MECHANISM_PLAINTEXT) != 0)
            return STR("encryption needed to use mechanism");
    return STR("no mechanism available");
}

/* ---- exchanges ---- */

static enum dovecot_step from_cyrus(struct sasl_server_exchange *exchange, enum cyrus_step step)
{
    exchange->text = exchange->cyrus.text;
    exchange->user = exchange->cyrus.user;
    switch (step) {
    case CYRUS_CONTINUES:
        return DOVECOT_CONTINUES;
    case CYRUS_ACCEPTS:
        return DOVECOT_ACCEPTS;
    case CYRUS_REFUSES:
        return DOVECOT_REFUSES;
    case CYRUS_FAILS:
        return DOVECOT_FAILS;
    }
    unreachable();
}

static enum dovecot_step from_dovecot(struct sasl_server_exchange *exchange, enum dovecot_step step)
{
    exchange->text = exchange->dovecot.text;
    exchange->user = exchange->dovecot.user;
    return step;
}

enum dovecot_step sasl_server_start(struct sasl_server *sasl, struct server *server,
                                    struct arena *arena, const struct dovecot_request *request,
                                    int64_t deadline_ms, struct sasl_server_exchange *exchange)
{
    const struct cyrus_request words = { .service = request->service,
                                         .host = sasl->config->myhostname,
                                         .realm = sasl->config->smtpd_sasl_local_domain,
                                         .mechanism = request->mechanism,
                                         .has_initial = request->has_initial,
                                         .initial = request->initial };

    *exchange = (struct sasl_server_exchange){ .is_cyrus = sasl->dovecot == NULL };
    if (!exchange->is_cyrus)
        return from_dovecot(exchange, dovecot_start(sasl->dovecot, arena, request, deadline_ms,
                                                    &exchange->dovecot));
    return from_cyrus(exchange,
                      cyrus_start(server->cyrus, arena, &words, deadline_ms, &exchange->cyrus));
}

enum dovecot_step sasl_server_continue(struct sasl_server_exchange *exchange, struct str response,
                                       int64_t deadline_ms)
{
    if (!exchange->is_cyrus)
        return from_dovecot(exchange, dovecot_continue(&exchange->dovecot, response, deadline_ms));
    return from_cyrus(exchange, cyrus_continue(&exchange->cyrus, response, deadline_ms));
}

void sasl_server_end(struct sasl_server_exchange *exchange)
{
    if (exchange->is_cyrus)
        cyrus_end(&exchange->cyrus);
    else
        dovecot_end(&exchange->dovecot);
}
