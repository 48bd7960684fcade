/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/ensure.h"
#include "data.h"

/* Where each phase may lead. */
struct phase_moves {
    enum phase from;
    unsigned to;
};

/* clang-format off */
static const struct phase_moves moves[] = {
    { PHASE_NEW,    PHASE_NEW | PHASE_READY | PHASE_MAIL | PHASE_BDAT_FAILED | PHASE_CLOSED },
    { PHASE_READY,  PHASE_NEW | PHASE_READY | PHASE_MAIL | PHASE_BDAT_FAILED | PHASE_CLOSED },
    { PHASE_MAIL,   PHASE_NEW | PHASE_READY | PHASE_RCPT | PHASE_CLOSED },
    { PHASE_RCPT,   PHASE_NEW | PHASE_READY | PHASE_RCPT | PHASE_DATA | PHASE_BDAT | PHASE_CLOSED },
    { PHASE_DATA,   PHASE_NEW | PHASE_READY | PHASE_CLOSED },
    { PHASE_BDAT,   PHASE_NEW | PHASE_READY | PHASE_CLOSED },
    { PHASE_BDAT_FAILED, PHASE_NEW | PHASE_READY | PHASE_CLOSED },
    { PHASE_CLOSED, 0 },
};
/* clang-format on */

const char *phase_name(enum phase phase)
{
    switch (phase) {
#define PHASE(name, bit)                                                                           \
    case PHASE_##name:                                                                             \
        return #name;
        SESSION_PHASES(PHASE)
#undef PHASE
    }
    unreachable();
}

void session_enter(struct session *session, enum phase phase)
{
    for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        if (moves[i].from == session->phase) {
            ensure(moves[i].to & phase);
            session->phase = phase;
            return;
        }
    }
    unreachable();
}

void session_init(struct session *session, struct str client_address, uint16_t client_port)
{
    *session = (struct session){ .phase = PHASE_NEW };
    session->client_name = STR("unknown");
    session->reverse_name = STR("unknown");
    session->client_name_status = PEER_NAME_NONE;
    session->reverse_name_status = PEER_NAME_NONE;
    session->client_address = arena_copy(&session->arena, client_address);
    session->client_port = str_from(arena_printf(&session->arena, "%u", client_port));
    session->where = STR("CONNECT");
}

static void transaction_clear(struct transaction *transaction)
{
    submission_abort(&transaction->submission);
    content_free(&transaction->content);
    arena_clear(&transaction->arena);
    memset(transaction, 0, sizeof(*transaction)); /* padding too, for the comparison below */
}

void session_clear(struct session *session)
{
    transcript_clear(&session->history);
    transaction_clear(&session->transaction);
    buf_free(&session->helo_text);
    arena_clear(&session->arena);
}

void session_reset_transaction(struct session *session)
{
    transaction_clear(&session->transaction);
    if (session->phase != PHASE_CLOSED)
        session_enter(session, str_is_empty(session->helo_name) ? PHASE_NEW : PHASE_READY);
}

void session_refuse_chunks(struct session *session)
{
    session_reset_transaction(session);
    session_enter(session, PHASE_BDAT_FAILED);
}

bool session_has_no_transaction(const struct session *session)
{
    static const struct transaction fresh;

    return memcmp(&session->transaction, &fresh, sizeof(fresh)) == 0 &&
           (session->phase & (PHASE_NEW | PHASE_READY | PHASE_BDAT_FAILED | PHASE_CLOSED)) != 0;
}

bool session_in_transaction(const struct session *session)
{
    return (session->phase & (PHASE_MAIL | PHASE_RCPT | PHASE_DATA | PHASE_BDAT)) != 0;
}

struct log_client session_log_client(const struct session *session)
{
    return (struct log_client){ .name = session->client_name,
                                .address = session->client_address,
                                .port =
                                    session->logs_client_port ? session->client_port : STR("") };
}

struct str session_client_text(struct arena *arena, const struct session *session)
{
    autofree_buf struct buf text = { 0 };

    log_line_put_client(&text, session_log_client(session));
    return arena_copy(arena, buf_str(&text));
}

bool session_is_authenticated(const struct session *session)
{
    return !str_is_empty(session->sasl_method);
}

struct str session_protocol(const struct session *session)
{
    return session->is_esmtp ? STR("ESMTP") : STR("SMTP");
}

/* What could pass for more than a name in a log line or a Received: header. */
static char neutral_byte(char byte)
{
    return !ascii_is_print(byte) || strchr(" <>()\\\";@", byte) ? '?' : byte;
}

struct str session_neutral_name(struct arena *arena, struct str name)
{
    char *copy = arena_new(arena, name.len + 1);

    for (size_t i = 0; i < name.len; i++)
        copy[i] = neutral_byte(name.ptr[i]);
    return str_of(copy, name.len);
}

void session_set_hello(struct session *session, struct str name, bool is_esmtp)
{
    session_reset_transaction(session);
    buf_clear(&session->helo_text);
    for (size_t i = 0; i < name.len; i++)
        buf_append_byte(&session->helo_text, neutral_byte(name.ptr[i]));
    session->helo_name = buf_str(&session->helo_text);
    /* A HELO behind EHLO takes nothing back: the client was told of PIPELINING. */
    session->is_esmtp |= is_esmtp;
    session_enter(session, PHASE_READY);
}

void session_forget_hello(struct session *session)
{
    buf_clear(&session->helo_text);
    session->helo_name = STR("");
    session->is_esmtp = false;
    session_reset_transaction(session);
}
