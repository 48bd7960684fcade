/* SPDX-License-Identifier: Apache-2.0 */
#include "authentication.h"

#include "failed_logins.h"
#include "mail/address.h"
#include "net/sasl_client.h"

static struct failure *fail_here(const struct session *session, struct failure *failure)
{
    failure->relay = arena_copy(&session->delivery->job.arena, session->relay);
    return failure;
}

const struct failure *authentication_impossible(const struct session *session, const char *reason)
{
    return fail_here(session,
                     failure_new(&session->delivery->job.arena, "4.7.0",
                                 "SASL authentication failed; cannot authenticate to server %.*s: "
                                 "%s",
                                 STR_ARGS(session->name), reason));
}

static const struct failure *refusal_new(const struct session *session, const char *intro,
                                         struct str server, struct str dsn, struct str reply)
{
    struct arena *arena = &session->delivery->job.arena;
    bool is_soft = session->transport->config->smtp_sasl_auth_soft_bounce || dsn.ptr[0] != '5';
    const char *status =
        is_soft ? arena_printf(arena, "4%.*s", STR_ARGS(str_skip(dsn, 1))) : arena_text(arena, dsn);
    struct failure *failure = failure_new(arena, status, "%s; server %.*s said: %.*s", intro,
                                          STR_ARGS(server), STR_ARGS(reply));

    failure->remote_mta = arena_copy(arena, session->host);
    failure->smtp_reply = arena_copy(arena, reply);
    return fail_here(session, failure);
}

const struct failure *authentication_refused(const struct session *session)
{
    autofree_buf struct buf text = { 0 };

    failed_login_keep(session);
    reply_format(&session->reply, &text);
    return refusal_new(session, "SASL authentication failed", session->name,
                       reply_status(&session->reply), buf_str(&text));
}

/* ---- whose login ---- */

static enum lookup_outcome find_login_for(const struct session *session, struct str key,
                                          struct str *login)
{
    if (key.len == 0)
        return LOOKUP_ABSENT;
    return table_list_find_or_warn(session->transport->tables.passwords, key,
                                   &session->delivery->job.arena, login, &session->transport->log);
}

/* The sender as it is, without its extension, and its domain with an "@". */
static enum lookup_outcome find_login_of_sender(const struct session *session, struct str *login)
{
    struct delivery *delivery = session->delivery;
    struct str sender = delivery->job.envelope.sender;
    struct str delimiters = session->transport->config->recipient_delimiter;
    struct str local = address_local(sender), rest = str_skip(sender, local.len);
    enum lookup_outcome outcome = find_login_for(session, sender, login);

    for (size_t i = 1; outcome == LOOKUP_ABSENT && i < local.len; i++) {
        if (str_find_byte(delimiters, local.ptr[i]) < 0)
            continue;
        outcome =
            find_login_for(session,
                           str_from(arena_printf(&delivery->job.arena, "%.*s%.*s",
                                                 STR_ARGS(str_take(local, i)), STR_ARGS(rest))),
                           login);
        break;
    }
    return outcome == LOOKUP_ABSENT ? find_login_for(session, rest, login) : outcome;
}

/* The sender first where that is wanted, then the server's name, then the next hop as it is
 * written, with its brackets and port. */
static enum lookup_outcome find_login(const struct session *session, struct str *login)
{
    enum lookup_outcome outcome = LOOKUP_ABSENT;

    if (session->transport->config->smtp_sender_dependent_authentication &&
        session->delivery->job.envelope.sender.len > 0)
        outcome = find_login_of_sender(session, login);
    if (outcome == LOOKUP_ABSENT)
        outcome = find_login_for(session, session->host, login);
    if (outcome == LOOKUP_ABSENT)
        outcome = find_login_for(session, session->delivery->tried_nexthop, login);
    return outcome;
}

/* ---- which mechanism ---- */

/* smtp_sasl_mechanism_filter: names, "!name", tables; the first that matches decides. */
static bool is_allowed(const struct session *session, struct str mechanism)
{
    struct match_list *filter = session->transport->sasl_mechanism_filter;
    struct error error;

    return filter == NULL || match_list_is_empty(filter) ||
           match_list_find_name(filter, mechanism, &error) == MATCH_FOUND;
}

static struct str allowed_mechanisms(const struct session *session)
{
    struct str rest = session->offer.mechanisms, word;
    autofree_buf struct buf list = { 0 };

    while (str_next_word(&rest, " \t=", &word)) {
        if (!is_allowed(session, word))
            continue;
        buf_append_text(&list, list.len > 0 ? " " : "");
        buf_append(&list, word);
    }
    if (list.len == 0 && str_trim(session->offer.mechanisms).len == 0)
        log_warning(&session->transport->log, "%.*s offered null AUTH mechanism list",
                    STR_ARGS(session->relay));
    else if (list.len == 0)
        log_warning(&session->transport->log, "%.*s offered no supported AUTH mechanisms: '%.*s'",
                    STR_ARGS(session->relay), STR_ARGS(session->offer.mechanisms));
    return arena_copy(&session->delivery->job.arena, buf_str(&list));
}

static unsigned demands_on(const struct session *session)
{
    const struct transport *transport = session->transport;

    if (session->is_encrypted)
        return session->is_verified ? transport->sasl_tls_verified_demands
                                    : transport->sasl_tls_demands;
    return transport->sasl_demands;
}

/* A login that comes from a table: "user:password", cut at the first delimiter. */
static enum authentication_plan plan_login(struct session *session, struct str login,
                                           const struct failure **failure)
{
    struct str mechanisms = allowed_mechanisms(session);
    const struct config *config = session->transport->config;
    const char *delimiters =
        arena_text(&session->delivery->job.arena, config->smtp_sasl_password_result_delimiter);

    if (mechanisms.len == 0) {
        *failure = fail_here(
            session, failure_new(&session->delivery->job.arena, "4.7.0",
                                 "SASL authentication failed: server %.*s offered no compatible "
                                 "authentication mechanisms for this type of connection security",
                                 STR_ARGS(session->name)));
        return AUTHENTICATION_FAILED;
    }
    struct str password = login;
    struct str user = str_cut(&password, delimiters);
    struct failed_login known = failed_login_find(session, user, password);
    if (known.reply.len > 0) {
        *failure = refusal_new(session, "SASL [CACHED] authentication failed", session->host,
                               known.dsn, known.reply);
        return AUTHENTICATION_FAILED;
    }
    session->login = sasl_client_new(
        &(struct sasl_login){ .mechanisms = mechanisms,
                              .demands = demands_on(session),
                              .sends_authorization = config->send_cyrus_sasl_authzid,
                              .user = user,
                              .password = password });
    if (session->login != NULL)
        return AUTHENTICATION_READY;
    *failure = authentication_impossible(session, "no mechanism available");
    return AUTHENTICATION_FAILED;
}

enum authentication_plan authentication_plan(struct session *session,
                                             const struct failure **failure)
{
    enum authentication_plan plan = AUTHENTICATION_FAILED;
    struct str login = STR("");

    if (!session->transport->config->smtp_sasl_auth_enable ||
        (session->offer.features & FEATURE_AUTH) == 0)
        return AUTHENTICATION_NONE;
    switch (find_login(session, &login)) {
    case LOOKUP_ABSENT:
        return AUTHENTICATION_NONE;
    case LOOKUP_FAILED:
        *failure = fail_here(session, failure_new(&session->delivery->job.arena, "4.3.0",
                                                  "smtp_sasl_password_maps: table lookup problem"));
        return AUTHENTICATION_FAILED;
    case LOOKUP_FOUND:
        plan = plan_login(session, login, failure);
        sasl_wipe_text(login);
        return plan;
    }
    return plan;
}

void authentication_end(struct session *session)
{
    sasl_client_free(&session->login);
}
