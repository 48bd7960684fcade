/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "net/sasl_client.h"
#include "tls_sessions.h"

enum { EXPECTS_FIRST_CAPACITY = 16 };

#define FROM(name) (1u << PHASE_##name)

/* For each phase, the phases it may be entered from. */
static const unsigned legal_moves[] = {
    [PHASE_GREETING] = 0,
    [PHASE_EHLO] = FROM(GREETING) | FROM(STARTTLS),
    [PHASE_HELO] = FROM(GREETING) | FROM(EHLO),
    [PHASE_LHLO] = FROM(GREETING) | FROM(STARTTLS),
    [PHASE_STARTTLS] = FROM(READY),
    [PHASE_AUTH] = FROM(READY),
    [PHASE_READY] = FROM(STARTTLS) | FROM(EHLO) | FROM(HELO) | FROM(AUTH) | FROM(LHLO) |
                    FROM(FINAL_DOT) | FROM(RSET),
    [PHASE_XFORWARD] = FROM(READY),
    [PHASE_MAIL] = FROM(READY) | FROM(XFORWARD),
    [PHASE_RCPT] = FROM(MAIL) | FROM(RCPT),
    [PHASE_DATA] = FROM(MAIL) | FROM(RCPT),
    [PHASE_CONTENT] = FROM(DATA),
    [PHASE_FINAL_DOT] = FROM(CONTENT) | FROM(DATA),
    [PHASE_RSET] = FROM(XFORWARD) | FROM(MAIL) | FROM(RCPT) | FROM(DATA),
    [PHASE_QUIT] = ~FROM(CLOSED),
    [PHASE_CLOSED] = ~0u,
};

static const char *const phase_texts[] = {
#define PHASE(name, text) text,
    SESSION_PHASES(PHASE)
#undef PHASE
};

const char *session_phase_text(enum session_phase phase)
{
    return phase_texts[phase];
}

void session_enter(struct session *session, enum session_phase phase)
{
    ensure((legal_moves[phase] >> session->phase & 1) != 0);
    session->phase = phase;
}

void target_format(const struct target *target, struct buf *out)
{
    buf_append(out, target->host);
    buf_append_byte(out, '[');
    if (target->path.len > 0) {
        buf_append(out, target->path);
        buf_append_byte(out, ']');
        return;
    }
    net_address_format(&target->address, out);
    buf_append_text(out, "]:");
    buf_append_u64(out, net_address_port(&target->address));
}

struct session *session_new(struct loop *loop, struct stream *stream,
                            const struct transport *transport, const struct target *target)
{
    struct session *session = memory_new(sizeof *session);
    autofree_buf struct buf text = { 0 };

    session->loop = loop;
    session->stream = stream;
    session->transport = transport;
    session->phase = PHASE_GREETING;
    session->transcript.wanted =
        error_classes_parse(transport->config->notify_classes) & ERROR_CLASS_PROTOCOL;
    session->opened_ms = loop_now_ms(loop);
    session->host = arena_copy(&session->arena, target->host);
    session->port = target->path.len > 0 ? 0 : net_address_port(&target->address);
    target_format(target, &text);
    session->relay = arena_copy(&session->arena, buf_str(&text));
    session->name = str_take(session->relay, (size_t)str_find_last_byte(session->relay, ']') + 1);
    size_t open = (size_t)str_find_byte(session->name, '[') + 1;
    session->address = str_of(session->name.ptr + open, session->name.len - open - 1);
    list_init(&session->by_destination);
    return session;
}

static void keep_tls(struct session *session)
{
    struct tls *tls = session->stream != NULL ? stream_tls(session->stream) : NULL;
    struct tls_session *kept =
        tls != NULL && session->tls_key.len > 0 ? tls_session_take(tls) : NULL;

    if (kept != NULL)
        tls_sessions_put(session->tls_sessions, session->tls_key, kept,
                         loop_now_ms(session->loop) + session->tls_lifetime_s * 1000);
}

void session_free(struct session **session)
{
    if (*session == NULL)
        return;
    keep_tls(*session);
    list_remove(&(*session)->by_destination);
    sasl_client_free(&(*session)->login);
    if ((*session)->stream != NULL)
        stream_free(&(*session)->stream);
    reply_free(&(*session)->reply);
    memory_free((*session)->expects);
    transcript_clear(&(*session)->transcript);
    arena_clear(&(*session)->heard);
    arena_clear(&(*session)->arena);
    memory_free(*session);
    *session = NULL;
}

/* What is secret in it was never put into the line. */
void session_trace(struct session *session, char direction, struct str line)
{
    struct str text = line, each;

    if (!session->is_traced && session->transcript.wanted == 0)
        return;
    while (text.len > 0) {
        each = str_trim_end(str_cut(&text, "\n"));
        if (direction == '<')
            transcript_add_in(&session->transcript, each);
        else
            transcript_add_out(&session->transcript, each);
        if (!session->is_traced)
            continue;
        log_info(&session->transport->log, "%c %.*s: %.*s", direction, STR_ARGS(session->relay),
                 STR_ARGS(each));
    }
}

struct str session_hear(struct session *session, struct str line)
{
    struct table_list *filter = session->transport->tables.reply_filter;
    struct str changed;

    session_trace(session, '<', line);
    if (filter == NULL || table_list_is_empty(filter))
        return line;
    arena_clear(&session->heard);
    if (table_list_find_or_warn(filter, line, &session->heard, &changed,
                                &session->transport->log) != LOOKUP_FOUND)
        return line;
    log_info(&session->transport->log, "replacing server reply \"%.*s\" with \"%.*s\"",
             STR_ARGS(line), STR_ARGS(changed));
    return changed;
}

static void grow_expects(struct session *session)
{
    size_t capacity =
        session->expect_capacity > 0 ? session->expect_capacity * 2 : EXPECTS_FIRST_CAPACITY;
    struct expect *expects = memory_new_array(capacity, sizeof *expects);

    for (size_t i = 0; i < session->expect_count; i++)
        expects[i] = session->expects[(session->expect_first + i) & (session->expect_capacity - 1)];
    memory_free(session->expects);
    session->expects = expects;
    session->expect_first = 0;
    session->expect_capacity = capacity;
}

void session_expect_push(struct session *session, enum command_kind kind, uint32_t recipient)
{
    if (session->expect_count == session->expect_capacity)
        grow_expects(session);
    size_t slot =
        (session->expect_first + session->expect_count++) & (session->expect_capacity - 1);
    session->expects[slot] = (struct expect){ kind, recipient };
}

bool session_expect_pop(struct session *session, struct expect *expect)
{
    if (session->expect_count == 0)
        return false;
    *expect = session->expects[session->expect_first];
    session->expect_first = (session->expect_first + 1) & (session->expect_capacity - 1);
    session->expect_count--;
    return true;
}
