/* SPDX-License-Identifier: Apache-2.0 */
#include "starttls.h"

#include "blame.h"
#include "mail/tls_line.h"
#include "tls_sessions.h"

__attribute__((format(printf, 3, 4))) static bool give_up(struct session *session, const char *dsn,
                                                          const char *format, ...)
{
    struct arena *arena = &session->delivery->job.arena;
    autofree_buf struct buf text = { 0 };
    va_list arguments;

    va_start(arguments, format);
    buf_vprintf(&text, format, arguments);
    va_end(arguments);
    struct failure *failure = failure_new(arena, dsn, "%s", buf_text(&text));
    failure->relay = arena_copy(arena, session->relay);
    session->refusal = failure;
    session->must_close = true;
    return false;
}

bool starttls_check_offer(struct session *session, bool *is_wanted)
{
    const struct tls_policy *policy = session->tls_policy;
    bool is_offered = (session->offer.features & FEATURE_STARTTLS) != 0;

    *is_wanted = false;
    if (stream_tls(session->stream) != NULL)
        return true;
    if (is_offered && policy->level == TLS_LEVEL_NONE && policy->notes_offer)
        log_info(&session->transport->log, "Host offered STARTTLS: [%.*s]",
                 STR_ARGS(session->host));
    if (policy->level == TLS_LEVEL_NONE)
        return true;
    *is_wanted = is_offered && tls_policy_can_start(session->transport->tls, policy);
    if (*is_wanted || policy->level == TLS_LEVEL_MAY)
        return true;
    if (!is_offered)
        return give_up(session, "4.7.4", "TLS is required, but was not offered by host %.*s",
                       STR_ARGS(session->name));
    return give_up(session, "4.7.5", "TLS is required, but our TLS engine is unavailable");
}

bool starttls_accept_refusal(struct session *session)
{
    struct arena *arena = &session->delivery->job.arena;
    autofree_buf struct buf text = { 0 };

    if (session->tls_policy->level <= TLS_LEVEL_MAY)
        return true;
    /* A server that will not today may tomorrow. */
    struct str status = reply_status(&session->reply);
    const char *dsn = arena_printf(arena, "4.%.*s", STR_ARGS(str_skip(status, 2)));
    reply_format(&session->reply, &text);
    return give_up(session, dsn, "TLS is required, but host %.*s refused to start TLS: %s",
                   STR_ARGS(session->name), buf_text(&text));
}

/* ---- the handshake ---- */

/* Only the same server, asked for the same, is asked to go on with a session. Whether it is who the
 * TLSA records say is not looked at again then, so they are part of it. */
static struct str session_key(struct session *session)
{
    const struct tls_policy *policy = session->tls_policy;
    const struct tls_client_options *options = &policy->options;
    autofree_buf struct buf key = { 0 };

    buf_printf(&key, "%.*s\n%.*s\n%d\n%.*s\n%.*s\n%u", STR_ARGS(session->transport->name),
               STR_ARGS(session->relay), (int)policy->level, STR_ARGS(options->servername),
               STR_ARGS(options->cipher_list), options->protocols.allowed);
    for (size_t i = 0; i < options->tlsa_count; i++) {
        const struct tls_tlsa *record = &options->tlsa[i];
        buf_printf(&key, "\n%u %u %u %zu ", record->usage, record->selector, record->matching_type,
                   record->data.len);
        buf_append(&key, record->data);
    }
    for (size_t i = 0; options->check == TLS_CHECK_DANE && i < options->name_count; i++)
        buf_printf(&key, "\n%.*s", STR_ARGS(options->names[i]));
    return arena_copy(&session->arena, buf_str(&key));
}

static void log_failure(const struct session *session, enum stream_outcome outcome)
{
    const struct log_context *log = &session->transport->log;
    struct str rest = tls_problem(stream_tls(session->stream));
    const char *what = outcome == STREAM_TIMEOUT  ? "Connection timed out"
                       : outcome == STREAM_FAILED ? "-1"
                                                  : "lost connection";
    struct str line;

    log_info(log, "SSL_connect error to %.*s: %s", STR_ARGS(session->relay), what);
    while (str_next_word(&rest, "\n", &line))
        log_warning(log, "TLS library problem: %.*s", STR_ARGS(line));
}

static void log_success(const struct session *session, const struct tls_facts *facts)
{
    const struct log_context *log = &session->transport->log;
    unsigned bits = session->tls_policy->log_bits;
    struct tls_line line = { .peer = session->relay, .facts = facts };
    autofree_buf struct buf text = { 0 };

    if ((bits & TLS_LOG_MATCH) && facts->has_certificate) {
        tls_line_certificate(&line, &text);
        log_write_text(log, SEVERITY_INFO, buf_str(&text));
        buf_clear(&text);
    }
    if ((bits & TLS_LOG_UNTRUSTED) && facts->verify_problem.len > 0) {
        tls_line_unverified(&line, &text);
        log_write_text(log, SEVERITY_INFO, buf_str(&text));
        buf_clear(&text);
    }
    if (bits & TLS_LOG_SUMMARY) {
        tls_line_established(&line, &text);
        log_write_text(log, SEVERITY_INFO, buf_str(&text));
    }
}

/* The connection is of no use, but the server may be: a later attempt, or for mail that may go so
 * another connection in clear. */
static bool fail_handshake(struct session *session)
{
    session->has_tls_failed = true;
    session_enter(session, PHASE_CLOSED);
    return give_up(session, "4.7.5", "Cannot start TLS: handshake failure");
}

static struct tls *make_tls(struct session *session)
{
    const struct tls_policy *policy = session->tls_policy;
    struct tls_client_options options = policy->options;
    struct error error;
    struct tls *tls = NULL;

    if (policy->problem.len == 0) {
        options.session =
            tls_sessions_find(session->tls_sessions, session->tls_key, loop_now_ms(session->loop));
        tls = tls_new_client(policy->context, &options, &error);
    }
    if (tls == NULL)
        log_warning(&session->transport->log, "%.*s: %.*s", STR_ARGS(session->relay),
                    STR_ARGS(policy->problem.len > 0 ? policy->problem : str_from(error.message)));
    return tls;
}

static bool check_certificate(struct session *session)
{
    struct tls_facts facts;
    bool is_missed = session->tls_policy->options.check != TLS_CHECK_NOTHING;

    tls_get_facts(stream_tls(session->stream), &session->arena, &facts);
    is_missed &= !facts.is_matched;
    facts.is_matched &= !session->tls_policy->is_half_dane;
    log_success(session, &facts);
    session->offer = (struct offer){ 0 };
    session->is_encrypted = true;
    session->is_verified = facts.is_matched;
    session->must_close |= !session->tls_policy->may_reuse;
    return !is_missed || give_up(session, "4.7.5", "Server certificate not verified");
}

bool starttls_shake_hands(struct session *session)
{
    const struct tls_policy *policy = session->tls_policy;
    int64_t seconds = session->transport->config->smtp_starttls_timeout;
    int64_t deadline_ms =
        seconds > 0 ? loop_now_ms(session->loop) + seconds * 1000 : DEADLINE_NEVER;

    /* Words in clear behind the 220 could pass for words inside: somebody put them there. */
    if (!str_is_empty(stream_pending(session->stream))) {
        log_warning(&session->transport->log,
                    "host %.*s sent plaintext behind its reply to STARTTLS; is somebody in "
                    "between?",
                    STR_ARGS(session->name));
        session_enter(session, PHASE_CLOSED);
        return give_up(session, "4.7.5", "host %.*s sent plaintext behind its reply to STARTTLS",
                       STR_ARGS(session->name));
    }
    if (!tls_policy_can_start(session->transport->tls, policy))
        return give_up(session, "4.7.5", "TLS is required, but our TLS engine is unavailable");
    if (policy->keeps_sessions) {
        session->tls_key = session_key(session);
        session->tls_lifetime_s = policy->session_lifetime_s;
    }
    struct tls *tls = make_tls(session);
    if (tls == NULL)
        return fail_handshake(session);
    if (policy->log_bits & TLS_LOG_VERBOSE)
        log_info(&session->transport->log, "setting up TLS connection to %.*s",
                 STR_ARGS(session->relay));
    enum stream_outcome outcome = stream_start_tls(session->stream, &tls, deadline_ms);
    if (outcome == STREAM_CANCELLED) {
        session_enter(session, PHASE_CLOSED);
        session->refusal = NULL;
        return false;
    }
    if (outcome == STREAM_OK)
        return check_certificate(session);
    log_failure(session, outcome);
    return fail_handshake(session);
}
