/* SPDX-License-Identifier: Apache-2.0 */
#include "encryption.h"

#include "base/memory.h"
#include "ehlo.h"
#include "limits.h"
#include "mail/tls_line.h"
#include "service/keys.h"

struct encryption {
    const struct config *config;
    const struct log_context *log; /* the policy's */
    enum tls_level level;          /* none, may or encrypt */
    bool asks_for_certificate, needs_certificate;
    unsigned log_bits;           /* enum tls_log */
    struct keys_client *keys;    /* the worker's; NULL: there are none */
    struct tls_context *context; /* NULL: the certificates do not work; 454 */
    struct arena arena;
};

/* ---- what the configuration wants ---- */

static void warn(void *argument, const char *text)
{
    const struct encryption *encryption = argument;

    log_warning(encryption->log, "%s", text);
}

static void unknown_log_word(void *argument, struct str word)
{
    const struct encryption *encryption = argument;

    log_warning(encryption->log, "unknown smtpd_tls_loglevel value \"%.*s\" in \"%.*s\"",
                STR_ARGS(word), STR_ARGS(encryption->config->smtpd_tls_loglevel));
}

static bool set_level(struct encryption *encryption, struct error *error)
{
    const struct config *config = encryption->config;
    struct str word = config->smtpd_tls_security_level;

    if (word.len > 0 && !tls_level_parse(word, &encryption->level))
        return error_set(error,
                         "parameter smtpd_tls_security_level: Invalid TLS level \"%.*s\"; the "
                         "levels are none, may and encrypt",
                         STR_ARGS(word));
    if (word.len == 0)
        encryption->level = config->smtpd_enforce_tls ? TLS_LEVEL_ENCRYPT
                            : config->smtpd_use_tls   ? TLS_LEVEL_MAY
                                                      : TLS_LEVEL_NONE;
    if (encryption->level > TLS_LEVEL_ENCRYPT) {
        log_warning(encryption->log,
                    "smtpd_tls_security_level: unsupported TLS level \"%.*s\", using \"encrypt\"",
                    STR_ARGS(word));
        encryption->level = TLS_LEVEL_ENCRYPT;
    }
    if (config->smtpd_tls_wrappermode)
        encryption->level = TLS_LEVEL_ENCRYPT;
    return true;
}

static void set_certificate_wishes(struct encryption *encryption)
{
    const struct config *config = encryption->config;
    bool is_needed = config->smtpd_tls_req_ccert;

    if (is_needed && encryption->level == TLS_LEVEL_MAY)
        log_warning(encryption->log, "Can't require client certs unless TLS is required");
    encryption->needs_certificate = is_needed && encryption->level == TLS_LEVEL_ENCRYPT;
    encryption->asks_for_certificate = is_needed || config->smtpd_tls_ask_ccert;
}

static struct str curves(struct encryption *encryption)
{
    const struct config *config = encryption->config;

    if (str_equal_fold(config->smtpd_tls_eecdh_grade, STR("strong")))
        return config->tls_eecdh_strong_curve;
    if (str_equal_fold(config->smtpd_tls_eecdh_grade, STR("ultra")))
        return config->tls_eecdh_ultra_curve;
    return str_from(arena_printf(&encryption->arena, "%.*s %.*s",
                                 STR_ARGS(config->tls_eecdh_auto_curves),
                                 STR_ARGS(config->tls_ffdhe_auto_groups)));
}

static bool set_agreement(struct encryption *encryption, struct tls_context_options *options)
{
    const struct config *config = encryption->config;
    bool is_mandatory = encryption->level == TLS_LEVEL_ENCRYPT;
    struct str protocols =
        is_mandatory ? config->smtpd_tls_mandatory_protocols : config->smtpd_tls_protocols;
    struct str grade =
        is_mandatory ? config->smtpd_tls_mandatory_ciphers : config->smtpd_tls_ciphers;
    const struct str exclusions[] = {
        config->smtpd_tls_exclude_ciphers,
        is_mandatory ? config->smtpd_tls_mandatory_exclude_ciphers : STR(""),
        encryption->asks_for_certificate ? STR("aNULL") : STR(""),
    };
    struct error error;

    if (!tls_protocols_parse(protocols, &options->protocols)) {
        log_warning(encryption->log, "Invalid TLS protocol list \"%.*s\": disabling TLS support",
                    STR_ARGS(protocols));
        return false;
    }
    if (!tls_ciphers_make(&encryption->arena, config, grade, exclusions,
                          sizeof exclusions / sizeof exclusions[0], &options->cipher_list,
                          &error)) {
        log_warning(encryption->log, "%s: disabling TLS support", error.message);
        return false;
    }
    return true;
}

static struct str service_name(const struct config *config)
{
    return config->service != NULL ? config->service->name : STR("smtpd");
}

static enum tls_chain_outcome find_chain(void *argument, struct str name, struct buf *chain)
{
    const struct encryption *encryption = argument;

    return keys_client_find_chain(encryption->keys, service_name(encryption->config),
                                  encryption->config->tls_server_sni_maps, name, chain);
}

static void make_context(struct encryption *encryption, struct service *service)
{
    const struct config *config = encryption->config;
    bool has_sni_maps =
        encryption->keys != NULL && !str_is_empty(str_trim(config->tls_server_sni_maps));
    struct tls_context_options options = {
        .is_server = true,
        .files = tls_files_of_server(config),
        .key_owner = service_name(config),
        .holder = encryption->keys != NULL ? keys_client_holder(encryption->keys) : NULL,
        .curves = curves(encryption),
        .fingerprint_digest = config->smtpd_tls_fingerprint_digest,
        .verify_depth = config->smtpd_tls_ccert_verifydepth,
        .asks_for_certificate = encryption->asks_for_certificate,
        .prefers_own_ciphers = config->tls_preempt_cipherlist,
        .session_lifetime_s = config->smtpd_tls_session_cache_timeout,
        .tickets = service != NULL ? service->tickets : NULL,
        .listener = service_name(config),
        .find_chain = has_sni_maps ? find_chain : NULL,
        .argument = encryption,
        .warning = { .say = warn, .argument = encryption },
    };

    if (set_agreement(encryption, &options))
        encryption->context = tls_context_new(&options);
}

struct encryption *encryption_new(const struct encryption_options *options, struct error *error)
{
    struct encryption *encryption = memory_new(sizeof *encryption);
    const struct config *config = options->config;

    encryption->config = config;
    encryption->log = options->log;
    encryption->keys = options->keys;
    if (!set_level(encryption, error)) {
        encryption_free(&encryption);
        return NULL;
    }
    if (encryption->level == TLS_LEVEL_NONE)
        return encryption;
    encryption->log_bits = tls_log_parse(config->smtpd_tls_loglevel, unknown_log_word, encryption);
    set_certificate_wishes(encryption);
    if (!encryption->needs_certificate)
        encryption->log_bits &= ~(unsigned)TLS_LOG_UNTRUSTED;
    make_context(encryption, options->service);
    return encryption;
}

void encryption_free(struct encryption **encryption)
{
    if (*encryption == NULL)
        return;
    tls_context_free(&(*encryption)->context);
    arena_clear(&(*encryption)->arena);
    memory_free(*encryption);
    *encryption = NULL;
}

/* ---- questions ---- */

static bool is_active(const struct conversation *conversation)
{
    return conversation->session.tls != NULL;
}

bool encryption_is_offered(const struct conversation *conversation)
{
    return conversation->policy->encryption->level > TLS_LEVEL_NONE && !is_active(conversation) &&
           !ehlo_discards(conversation, STR("STARTTLS"));
}

bool encryption_is_missing(const struct conversation *conversation)
{
    return conversation->policy->encryption->level == TLS_LEVEL_ENCRYPT && !is_active(conversation);
}

/* Now: the process that has the keys may be away, or may have found them of no use. */
static bool can_start(const struct encryption *encryption)
{
    return encryption->context != NULL &&
           (encryption->keys == NULL ||
            keys_client_has(encryption->keys, service_name(encryption->config),
                            encryption->context));
}

bool encryption_must_precede_authentication(const struct conversation *conversation)
{
    /* Mandatory TLS includes passwords: smtpd_tls_security_level in postconf(5). */
    return (conversation->policy->config->smtpd_tls_auth_only && !is_active(conversation)) ||
           encryption_is_missing(conversation);
}

/* ---- the handshake ---- */

static struct str peer_text(struct conversation *conversation)
{
    return session_client_text(&conversation->scratch, &conversation->session);
}

static void log_failure(struct conversation *conversation, enum stream_outcome outcome)
{
    const struct log_context *log = &conversation->policy->log;
    struct str peer = peer_text(conversation);
    struct str rest = tls_problem(stream_tls(conversation->stream));
    const char *what = outcome == STREAM_TIMEOUT  ? "Connection timed out"
                       : outcome == STREAM_FAILED ? "-1"
                                                  : "lost connection";
    struct str line;

    log_info(log, "SSL_accept error from %.*s: %s", STR_ARGS(peer), what);
    while (str_next_word(&rest, "\n", &line))
        log_warning(log, "TLS library problem: %.*s", STR_ARGS(line));
}

static void log_name_trouble(struct conversation *conversation, const struct tls *tls)
{
    const struct log_context *log = &conversation->policy->log;
    struct str peer = peer_text(conversation);
    struct str name;

    switch (tls_name_trouble(tls, &name)) {
    case TLS_NAME_FINE:
        return;
    case TLS_NAME_INVALID:
        log_warning(log, "TLS SNI from %.*s is invalid: %.*s", STR_ARGS(peer), STR_ARGS(name));
        return;
    case TLS_NAME_UNMATCHED:
        log_info(log, "TLS SNI %.*s from %.*s not matched, using default chain", STR_ARGS(name),
                 STR_ARGS(peer));
        return;
    case TLS_NAME_BROKEN:
        log_warning(log,
                    "error loading private keys and certificates from: SNI data for %.*s: aborting "
                    "TLS handshake",
                    STR_ARGS(name));
        return;
    }
}

static void log_success(struct conversation *conversation)
{
    const struct encryption *encryption = conversation->policy->encryption;
    struct tls_line line = { .is_server = true,
                             .peer = peer_text(conversation),
                             .facts = conversation->session.tls };

    if ((encryption->log_bits & TLS_LOG_UNTRUSTED) && line.facts->verify_problem.len > 0) {
        tls_line_unverified(&line, conversation_log_start(conversation));
        conversation_log_end(conversation, SEVERITY_INFO);
    }
    if ((encryption->log_bits & TLS_LOG_MATCH) && line.facts->has_certificate) {
        tls_line_certificate(&line, conversation_log_start(conversation));
        conversation_log_end(conversation, SEVERITY_INFO);
    }
    if (encryption->log_bits & TLS_LOG_SUMMARY) {
        tls_line_established(&line, conversation_log_start(conversation));
        conversation_log_end(conversation, SEVERITY_INFO);
    }
}

/* Client certificates are demanded: no mail without one that an authority vouches for. */
static enum next check_certificate(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    const struct tls_facts *facts = conversation->session.tls;
    const char *problem = facts->has_certificate ? "Client certificate not trusted"
                                                 : "No client certificate presented";

    if (!policy->encryption->needs_certificate || facts->is_trusted)
        return NEXT_COMMAND;
    log_info(&policy->log, "NOQUEUE: abort: TLS from %.*s: %s", STR_ARGS(peer_text(conversation)),
             problem);
    (void)reply_verdict(conversation,
                        &(struct verdict){
                            .code = 421,
                            .enhanced = "4.7.1",
                            .text = arena_printf(&conversation->scratch, "%.*s Error: %s",
                                                 STR_ARGS(policy->myhostname), problem),
                        });
    conversation->reply_code = 220; /* STARTTLS itself was fine, say the counts of the session */
    return NEXT_CLOSE;
}

static enum next shake_hands(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    struct session *session = &conversation->session;
    int64_t deadline_ms =
        loop_now_ms(conversation->server->loop) + policy->config->smtpd_starttls_timeout * 1000;
    struct error error;
    struct tls *tls = tls_new_server(policy->encryption->context, &error);

    if (policy->encryption->log_bits & TLS_LOG_VERBOSE)
        log_info(&policy->log, "setting up TLS connection from %.*s",
                 STR_ARGS(peer_text(conversation)));
    enum stream_outcome outcome = stream_start_tls(conversation->stream, &tls, deadline_ms);
    if (stream_tls(conversation->stream) != NULL)
        log_name_trouble(conversation, stream_tls(conversation->stream));
    if (outcome != STREAM_OK) {
        log_failure(conversation, outcome);
        conversation->reply_code = 421; /* counts as refused */
        return conversation_lost(conversation, STREAM_CLOSED, session->where);
    }
    session->tls = arena_new(&session->arena, sizeof *session->tls);
    tls_get_facts(stream_tls(conversation->stream), &session->arena, session->tls);
    log_success(conversation);
    if (!session->tls->is_resumed && !limits_allow_new_tls(conversation)) {
        conversation->reply_code = 220; /* of STARTTLS, for the counts of the session */
        return NEXT_CLOSE;
    }
    return check_certificate(conversation);
}

enum next encryption_start(struct conversation *conversation, struct str argument)
{
    struct session *session = &conversation->session;

    if (!str_is_empty(argument))
        return reply(conversation, REPLY_STARTTLS_SYNTAX);
    if (is_active(conversation))
        return reply(conversation, REPLY_TLS_ACTIVE);
    if (!encryption_is_offered(conversation))
        return reply(conversation, REPLY_NOT_IMPLEMENTED);
    if (session_in_transaction(session))
        return reply(conversation, REPLY_IN_MAIL);
    if (!can_start(conversation->policy->encryption))
        return reply(conversation, REPLY_NO_TLS);
    /* Words in clear that came along could pass for words inside: nobody honest sends them. */
    if (!str_is_empty(stream_pending(conversation->stream))) {
        log_line_pipelining(session->where, session_log_client(session),
                            str_take(stream_pending(conversation->stream), 100),
                            conversation_log_start(conversation));
        conversation_log_end(conversation, SEVERITY_INFO);
        return reply_and_close(conversation, REPLY_NOT_SYNCHRONOUS);
    }
    if (!limits_allow_handshake(conversation))
        return NEXT_COMMAND;
    enum next next = reply(conversation, REPLY_READY_FOR_TLS);
    if (next == NEXT_COMMAND)
        next = shake_hands(conversation);
    session_forget_hello(session);
    session->sasl_method = session->sasl_username = STR("");
    return next;
}

enum next encryption_wrap(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    struct str name = policy->config->service != NULL ? policy->config->service->name : STR("");

    if (!policy->config->smtpd_tls_wrappermode)
        return NEXT_COMMAND;
    if (can_start(policy->encryption))
        return limits_allow_wrapper(conversation) ? shake_hands(conversation) : NEXT_CLOSE;
    log_warning(&policy->log,
                "Wrapper-mode request dropped from %.*s for service %.*s. TLS context "
                "initialization failed. For details see earlier warnings in your logs.",
                STR_ARGS(peer_text(conversation)), STR_ARGS(name));
    return NEXT_CLOSE;
}

struct str encryption_received_comment(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    autofree_buf struct buf text = { 0 };

    if (!is_active(conversation) || !policy->config->smtpd_tls_received_header)
        return STR("");
    tls_line_received(conversation->session.tls, policy->encryption->asks_for_certificate, &text);
    return arena_copy(&conversation->scratch, buf_str(&text));
}
