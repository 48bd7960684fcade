/* SPDX-License-Identifier: Apache-2.0 */
#include "authentication.h"

#include "base/memory.h"
#include "encryption.h"
#include "sasl_server.h"
#include "table/match_list.h"
#include "trace.h"

enum { SERVER_PATIENCE_MS = 10 * 1000, SERVER_DECIDES_MS = 100 * 1000 };

/* smtpd_sasl_security_options, smtpd_sasl_tls_security_options. */
struct wishes {
    unsigned refused;  /* enum mechanism_property bits that are not wanted … */
    unsigned required; /* … and that must be there */
};

struct authentication {
    const struct config *config; /* the policy's */
    struct log_context log;
    struct sasl_server *server;
    struct match_list *exceptions; /* clients that are offered nothing */
    struct match_list *filter;     /* mechanisms that may be offered */
    struct wishes in_clear, under_tls;
};

static const struct security_option {
    const char *name;
    unsigned refused, required;
} security_options[] = {
    { "noplaintext", MECHANISM_PLAINTEXT, 0 },
    { "noactive", MECHANISM_ACTIVE, 0 },
    { "nodictionary", MECHANISM_DICTIONARY, 0 },
    { "noanonymous", MECHANISM_ANONYMOUS, 0 },
    { "mutual_auth", 0, MECHANISM_MUTUAL },
    { "forward_secrecy", 0, MECHANISM_FORWARD_SECRECY },
};

static bool add_option(struct wishes *wishes, struct str word, struct error *error)
{
    for (size_t i = 0; i < sizeof security_options / sizeof *security_options; i++) {
        const struct security_option *option = &security_options[i];
        if (!str_equal_fold(word, str_from(option->name)))
            continue;
        wishes->refused |= option->refused;
        wishes->required |= option->required;
        return true;
    }
    return error_set(error,
                     "\"%.*s\"; the options are "
                     "noplaintext, noactive, nodictionary, noanonymous, forward_secrecy and "
                     "mutual_auth",
                     STR_ARGS(word));
}

static bool set_options(struct wishes *wishes, const char *parameter, struct str options,
                        struct error *error)
{
    struct str word;

    while (str_next_word(&options, " \t\r\n,", &word))
        if (!add_option(wishes, word, error))
            return error_context(error, "parameter %s", parameter);
    return true;
}

static void warn(void *argument, const char *text)
{
    const struct authentication *authentication = argument;

    log_warning(&authentication->log, "%s", text);
}

static bool set_lists(struct authentication *authentication, const struct config *config,
                      struct error *error)
{
    struct match_list_options options = { .name = STR("smtpd_sasl_exceptions_networks"),
                                          .warning = warn,
                                          .argument = authentication };

    authentication->exceptions =
        match_list_new(config->smtpd_sasl_exceptions_networks, &options, error);
    options.name = STR("smtpd_sasl_mechanism_filter");
    if (authentication->exceptions != NULL)
        authentication->filter =
            match_list_new(config->smtpd_sasl_mechanism_filter, &options, error);
    return authentication->filter != NULL;
}

static bool fill(struct authentication *authentication, struct service *service,
                 struct error *error)
{
    const struct config *config = authentication->config;

    if (!set_options(&authentication->in_clear, "smtpd_sasl_security_options",
                     config->smtpd_sasl_security_options, error) ||
        !set_options(&authentication->under_tls, "smtpd_sasl_tls_security_options",
                     config->smtpd_sasl_tls_security_options, error) ||
        !set_lists(authentication, config, error))
        return false;
    authentication->server = sasl_server_new(service, config, error);
    return authentication->server != NULL;
}

struct authentication *authentication_new(struct service *service, const struct config *config,
                                          const struct log_context *log, struct error *error)
{
    struct authentication *authentication = memory_new(sizeof *authentication);

    authentication->config = config;
    authentication->log = *log;
    if (!fill(authentication, service, error))
        authentication_free(&authentication);
    return authentication;
}

void authentication_free(struct authentication **authentication)
{
    if (*authentication == NULL)
        return;
    sasl_server_free(&(*authentication)->server);
    match_list_free(&(*authentication)->exceptions);
    match_list_free(&(*authentication)->filter);
    memory_free(*authentication);
    *authentication = NULL;
}

/* ---- EHLO ---- */

static const struct wishes *wishes_for(const struct conversation *conversation)
{
    const struct authentication *authentication = conversation->policy->authentication;

    return conversation->session.tls != NULL ? &authentication->under_tls
                                             : &authentication->in_clear;
}

static bool is_wanted(const struct conversation *conversation, const struct mechanism *mechanism)
{
    const struct authentication *authentication = conversation->policy->authentication;
    const struct wishes *wishes = wishes_for(conversation);
    struct error error;

    return (mechanism->properties & wishes->refused) == 0 &&
           (mechanism->properties & wishes->required) == wishes->required &&
           match_list_find_name(authentication->filter, mechanism->name, &error) == MATCH_FOUND;
}

static struct str offer(struct conversation *conversation)
{
    const struct authentication *authentication = conversation->policy->authentication;
    int64_t deadline_ms = loop_now_ms(conversation->server->loop) + SERVER_PATIENCE_MS;
    const struct mechanism *mechanisms;
    const char *text = "";
    struct error error;
    size_t count;

    if (!sasl_server_mechanisms(authentication->server, conversation->server, deadline_ms,
                                &mechanisms, &count, &error)) {
        log_warning(&authentication->log, "SASL: %s; AUTH is not offered", error.message);
        return STR("");
    }
    for (size_t i = 0; i < count; i++)
        if (is_wanted(conversation, &mechanisms[i]))
            text = arena_printf(&conversation->scratch, "%s%s%.*s", text, *text == '\0' ? "" : " ",
                                STR_ARGS(mechanisms[i].name));
    return str_from(text);
}

/* A list that cannot answer excepts nobody: to offer AUTH gives nothing away. */
static bool is_excepted(const struct conversation *conversation)
{
    const struct session *session = &conversation->session;
    struct error error;

    return match_list_find_client(conversation->policy->authentication->exceptions,
                                  session->client_name, session->client_address,
                                  &error) == MATCH_FOUND;
}

struct str authentication_offer(struct conversation *conversation)
{
    if (conversation->policy->authentication == NULL ||
        encryption_must_precede_authentication(conversation) || is_excepted(conversation))
        return STR("");
    return offer(conversation);
}

/* ---- AUTH ---- */

static struct str upper_case(struct arena *arena, struct str name)
{
    char *copy = arena_new(arena, name.len + 1);

    for (size_t i = 0; i < name.len; i++) {
        bool is_lower = ascii_is_alpha(name.ptr[i]) && name.ptr[i] >= 'a';
        copy[i] = is_lower ? (char)(name.ptr[i] - 'a' + 'A') : name.ptr[i];
    }
    return str_of(copy, name.len);
}

/* "AUTH mechanism [initial-response]". */
static bool parse(struct conversation *conversation, struct str argument,
                  struct dovecot_request *request)
{
    struct str name, rest;

    if (!str_next_word(&argument, " \t", &name))
        return false;
    request->has_initial = str_next_word(&argument, " \t", &request->initial);
    if (request->has_initial && str_equal(request->initial, STR("=")))
        request->initial = STR(""); /* RFC 4954: an initial response of no bytes */
    request->mechanism = upper_case(&conversation->scratch, name);
    return !str_next_word(&argument, " \t", &rest);
}

static bool is_offered(struct str list, struct str mechanism)
{
    struct str word;

    while (str_next_word(&list, " ", &word))
        if (str_equal(word, mechanism))
            return true;
    return false;
}

static void log_failure(struct conversation *conversation, struct str mechanism, const char *what,
                        struct str user)
{
    struct str client = session_client_text(&conversation->scratch, &conversation->session);

    log_warning(&conversation->policy->log, "%.*s: SASL %.*s authentication %s, sasl_username=%.*s",
                STR_ARGS(client), STR_ARGS(str_take(mechanism, 100)), what, STR_ARGS(user));
}

static enum next refuse(struct conversation *conversation, const struct dovecot_request *request,
                        struct str reason, struct str user, bool is_temporary)
{
    struct arena *scratch = &conversation->scratch;

    if (str_is_empty(reason))
        reason = STR("(reason unavailable)");
    log_failure(conversation, request->mechanism,
                arena_printf(scratch, "failed: %.*s", STR_ARGS(reason)),
                str_is_empty(user) ? STR("(unavailable)") : user);
    struct verdict verdict = {
        .code = is_temporary ? 454 : 535,
        .enhanced = is_temporary ? "4.7.0" : "5.7.8",
        .text = arena_printf(scratch,
                             is_temporary ? "Temporary authentication failure: %.*s"
                                          : "Error: authentication failed: %.*s",
                             STR_ARGS(reason)),
    };
    return reply_verdict(conversation, &verdict);
}

/* Sends the challenge and reads the client's answer. Anything but NEXT_COMMAND: it is gone. */
static enum next ask_client(struct conversation *conversation, struct str challenge,
                            struct str *answer)
{
    const struct config *config = conversation->policy->config;
    int64_t deadline_ms = conversation_deadline_ms(conversation);
    struct str line;

    enum next next =
        reply_text(conversation, 334,
                   str_from(arena_printf(&conversation->scratch, "334 %.*s", STR_ARGS(challenge))));
    if (next != NEXT_COMMAND)
        return next;
    enum stream_outcome outcome = stream_read_line(
        conversation->stream, (size_t)config->smtpd_sasl_response_limit, deadline_ms, &line, NULL);
    if (outcome == STREAM_TOO_LONG)
        return reply_and_close(conversation, REPLY_AUTH_LINE_TOO_LONG);
    if (outcome != STREAM_OK)
        return conversation_lost(conversation, outcome, conversation->session.where);
    trace_secret(conversation);
    *answer = arena_copy(&conversation->scratch, line);
    return NEXT_COMMAND;
}

static enum next abort_exchange(struct conversation *conversation,
                                const struct dovecot_request *request)
{
    struct str client = session_client_text(&conversation->scratch, &conversation->session);

    log_warning(&conversation->policy->log, "%.*s: SASL %.*s authentication aborted",
                STR_ARGS(client), STR_ARGS(request->mechanism));
    return reply(conversation, REPLY_AUTH_ABORTED);
}

static enum next conclude(struct conversation *conversation, const struct dovecot_request *request,
                          enum dovecot_step step, const struct sasl_server_exchange *exchange)
{
    struct session *session = &conversation->session;

    if (step != DOVECOT_ACCEPTS)
        return refuse(conversation, request, exchange->text, exchange->user, step == DOVECOT_FAILS);
    session->sasl_method = arena_copy(&session->arena, request->mechanism);
    session->sasl_username = arena_copy(&session->arena, exchange->user);
    return reply(conversation, REPLY_AUTHENTICATED);
}

/* Server and client in turn, until one of them ends it. */
static enum next exchange_words(struct conversation *conversation,
                                const struct dovecot_request *request)
{
    struct authentication *authentication = conversation->policy->authentication;
    struct loop *loop = conversation->server->loop;
    struct sasl_server_exchange exchange;
    struct str answer;

    enum dovecot_step step =
        sasl_server_start(authentication->server, conversation->server, &conversation->scratch,
                          request, loop_now_ms(loop) + SERVER_DECIDES_MS, &exchange);
    while (step == DOVECOT_CONTINUES) {
        enum next next = ask_client(conversation, exchange.text, &answer);
        bool is_aborted = next == NEXT_COMMAND && str_equal(answer, STR("*"));
        if (next != NEXT_COMMAND || is_aborted) {
            sasl_server_end(&exchange);
            return is_aborted ? abort_exchange(conversation, request) : next;
        }
        step = sasl_server_continue(&exchange, answer, loop_now_ms(loop) + SERVER_DECIDES_MS);
    }
    return conclude(conversation, request, step, &exchange);
}

static bool is_base64(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && strchr("+/=", text.ptr[i]) == NULL)
            return false;
    return true;
}

enum next authentication_run(struct conversation *conversation, struct str argument)
{
    const struct session *session = &conversation->session;
    struct authentication *authentication = conversation->policy->authentication;
    struct dovecot_request request = { .service = conversation->policy->config->smtpd_sasl_service,
                                       .client_address = session->client_address,
                                       .is_secured = session->tls != NULL };

    if (authentication == NULL)
        return reply(conversation, REPLY_NO_AUTHENTICATION);
    if (session_in_transaction(session))
        return reply(conversation, REPLY_IN_MAIL);
    if (encryption_must_precede_authentication(conversation))
        return reply(conversation, REPLY_AUTH_NEEDS_TLS);
    if (session_is_authenticated(session))
        return reply(conversation, REPLY_ALREADY_AUTHENTICATED);
    if (!parse(conversation, argument, &request))
        return reply(conversation, REPLY_AUTH_SYNTAX);
    struct str offered = sasl_server_takes_exceptions(authentication->server)
                             ? offer(conversation)
                             : authentication_offer(conversation);
    if (!is_offered(offered, request.mechanism))
        return refuse(conversation, &request,
                      sasl_server_no_mechanism(authentication->server, request.mechanism,
                                               wishes_for(conversation)->refused),
                      STR(""), false);
    if (!is_base64(request.initial))
        return refuse(conversation, &request, STR("Invalid base64 data in initial response"),
                      STR(""), false);
    return exchange_words(conversation, &request);
}
