/* SPDX-License-Identifier: Apache-2.0 */
#include "sink_session.h"
#include "base/clock.h"
#include "base/memory.h"

#include <unistd.h>

enum {
    COMMAND_MAX_BYTES = 4096,
    TAIL_BYTES = 64,           /* holds a mark's line, and the last line with the dot */
    MARK_WITHIN_BYTES = 65536, /* relays put headers in front of it */
};

enum step { STEP_NEXT, STEP_NEED_INPUT, STEP_WAIT, STEP_CLOSE };

static void session_free(struct session *session)
{
    session->sink->open_connections--;
    connection_close(&session->connection);
    buf_free(&session->carry);
    buf_free(&session->output);
    memory_free(session->recipients);
    memory_free(session);
}

static void reset_transaction(struct session *session)
{
    session->has_mail = false;
    session->recipient_count = 0;
    session->has_foreign_recipient = false;
    session->is_marked = false;
    session->content_bytes = 0;
}

/* The reply at a stage: whether it is a positive one. It is added to the output. */
static bool reply_at(struct session *session, enum stage stage, const char *positive)
{
    struct refusal *refusal = &session->sink->refusals[stage];

    if (refusal->every == 0 || ++refusal->seen % refusal->every != 0) {
        buf_append_text(&session->output, positive);
        return true;
    }
    buf_append(&session->output, buf_str(&refusal->text));
    session->sink->refused++;
    return false;
}

/* Parks the session until its reply may go, where replies at this stage are delayed. */
static enum step delay_at(struct session *session, enum stage stage)
{
    struct sink *sink = session->sink;

    if (sink->delays_us[stage] == 0)
        return STEP_NEXT;
    session->resume_us = clock_monotonic_us() + sink->delays_us[stage];
    session->next = NULL;
    if (sink->delayed.last != NULL)
        sink->delayed.last->next = session;
    else
        sink->delayed.first = session;
    sink->delayed.last = session;
    connection_pause(&session->connection, true);
    return STEP_WAIT;
}

static enum step reply(struct session *session, const char *text)
{
    buf_append_text(&session->output, text);
    return STEP_NEXT;
}

static enum step on_ehlo(struct session *session, struct str argument)
{
    reset_transaction(session);
    buf_append_text(&session->output, "250-sink." MARK_DOMAIN "\r\n");
    if (session->sink->has_pipelining)
        buf_append_text(&session->output, "250-PIPELINING\r\n");
    if (session->sink->tls != NULL && session->connection.ssl == NULL)
        buf_append_text(&session->output, "250-STARTTLS\r\n");
    return reply(session, "250 8BITMIME\r\n");
}

static enum step on_helo(struct session *session, struct str argument)
{
    reset_transaction(session);
    return reply(session, "250 sink." MARK_DOMAIN "\r\n");
}

static enum step on_mail(struct session *session, struct str argument)
{
    if (session->has_mail)
        return reply(session, "503 nested MAIL\r\n");
    session->has_mail = reply_at(session, STAGE_MAIL, "250 ok\r\n");
    return delay_at(session, STAGE_MAIL);
}

/* The number in TO:<u17@…>; false where it is not one of the generator's addresses. */
static bool parse_ordinal(struct str argument, uint32_t *ordinal)
{
    static const struct str start = STR_INIT("TO:<u");
    ptrdiff_t end = str_find_byte(argument, '@');
    uint64_t value;

    if (!str_starts_with_fold(argument, start) || end < (ptrdiff_t)start.len ||
        !str_to_u64(str_skip(str_take(argument, (size_t)end), start.len), &value) ||
        value >= MARK_RECIPIENTS_MAX)
        return false;
    *ordinal = (uint32_t)value;
    return true;
}

static void add_recipient(struct session *session, struct str argument)
{
    uint32_t ordinal = 0;

    if (!parse_ordinal(argument, &ordinal))
        session->has_foreign_recipient = true;
    if (session->recipient_count == session->recipient_capacity) {
        session->recipient_capacity = session->recipient_capacity * 2 + 4;
        session->recipients = memory_resize(session->recipients, session->recipient_capacity *
                                                                     sizeof *session->recipients);
    }
    session->recipients[session->recipient_count++] = ordinal;
}

static enum step on_rcpt(struct session *session, struct str argument)
{
    if (!session->has_mail || session->recipient_count >= MARK_RECIPIENTS_MAX)
        return reply(session, session->has_mail ? "452 too many\r\n" : "503 no MAIL\r\n");
    if (reply_at(session, STAGE_RCPT, "250 ok\r\n"))
        add_recipient(session, argument);
    return delay_at(session, STAGE_RCPT);
}

static enum step on_data(struct session *session, struct str argument)
{
    if (session->recipient_count == 0)
        return reply(session, "503 no recipient\r\n");
    session->phase = SINK_CONTENT;
    return reply(session, "354 go on\r\n");
}

static enum step on_rset(struct session *session, struct str argument)
{
    reset_transaction(session);
    return reply(session, "250 ok\r\n");
}

static enum step on_noop(struct session *session, struct str argument)
{
    return reply(session, "250 ok\r\n");
}

static enum step on_starttls(struct session *session, struct str argument)
{
    if (session->sink->tls == NULL || session->connection.ssl != NULL)
        return reply(session, "502 no TLS here\r\n");
    session->phase = SINK_HANDSHAKE;
    return reply(session, "220 go on\r\n");
}

static enum step on_quit(struct session *session, struct str argument)
{
    session->phase = SINK_QUIT;
    return reply(session, "221 bye\r\n");
}

static const struct command {
    struct str verb;
    enum step (*handler)(struct session *session, struct str argument);
} commands[] = {
    { STR_INIT("MAIL"), on_mail }, { STR_INIT("RCPT"), on_rcpt },
    { STR_INIT("DATA"), on_data }, { STR_INIT("EHLO"), on_ehlo },
    { STR_INIT("HELO"), on_helo }, { STR_INIT("RSET"), on_rset },
    { STR_INIT("QUIT"), on_quit }, { STR_INIT("STARTTLS"), on_starttls },
    { STR_INIT("NOOP"), on_noop },
};

/* One command at the beginning of the input. */
static enum step take_command(struct session *session, struct str *input)
{
    ptrdiff_t end = str_find_byte(*input, '\n');

    if (end < 0)
        return input->len > COMMAND_MAX_BYTES ? STEP_CLOSE : STEP_NEED_INPUT;
    struct str argument = str_trim_end(str_take(*input, (size_t)end));
    struct str verb = str_cut(&argument, " ");
    *input = str_skip(*input, (size_t)end + 1);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (str_equal_fold(verb, commands[i].verb))
            return commands[i].handler(session, argument);
    return reply(session, "502 what?\r\n");
}

/* The place of the dot that ends the content, or -1. Of the many dots in mail hardly one begins a
 * line. */
static ptrdiff_t find_end(struct str input, bool is_start)
{
    size_t at = 0;

    for (;;) {
        ptrdiff_t found = str_find_byte(str_skip(input, at), '.');
        if (found < 0)
            return -1;
        at += (size_t)found;
        if (str_starts_with(str_skip(input, at), STR(".\r\n")) &&
            (at >= 2 ? input.ptr[at - 1] == '\n' && input.ptr[at - 2] == '\r'
                     : at == 0 && is_start))
            return (ptrdiff_t)at;
        at++;
    }
}

static void count_copies(struct session *session)
{
    struct sink *sink = session->sink;

    for (size_t i = 0; i < session->recipient_count; i++)
        if (!copy_set_add(&sink->copies, mark_copy(&session->mark, session->recipients[i])))
            sink->duplicates++;
}

/* The message is whole; `end` are its last bytes. */
static void count_message(struct session *session, struct str end)
{
    struct sink *sink = session->sink;
    int64_t now_us = clock_monotonic_us();

    if (sink->messages++ == 0)
        sink->first_us = now_us;
    sink->last_us = now_us;
    sink->bytes += session->content_bytes;
    if (!session->is_marked || session->has_foreign_recipient) {
        sink->foreign++;
        return;
    }
    if (!mark_ends(end, &session->mark)) {
        sink->damaged++;
        return;
    }
    histogram_add(&sink->latency, now_us - session->mark.due_us);
    count_copies(session);
}

/* Content up to its end, or up to a tail that may hold the beginning of something. */
static enum step take_content(struct session *session, struct str *input)
{
    ptrdiff_t end = find_end(*input, session->content_bytes == 0);
    size_t whole_len = end >= 0 ? (size_t)end : input->len;

    if (!session->is_marked && session->content_bytes < MARK_WITHIN_BYTES)
        session->is_marked = mark_find(str_take(*input, whole_len), &session->mark);
    if (end < 0) {
        size_t done = input->len > TAIL_BYTES ? input->len - TAIL_BYTES : 0;
        session->content_bytes += done;
        *input = str_skip(*input, done);
        return STEP_NEED_INPUT;
    }
    session->content_bytes += whole_len;
    if (reply_at(session, STAGE_END, "250 ok\r\n"))
        count_message(session, str_take(*input, whole_len));
    *input = str_skip(*input, whole_len + 3);
    reset_transaction(session);
    session->phase = SINK_COMMAND;
    return delay_at(session, STAGE_END);
}

static enum step take_input(struct session *session, struct str *input)
{
    switch (session->phase) {
    case SINK_COMMAND:
        return take_command(session, input);
    case SINK_CONTENT:
        return take_content(session, input);
    case SINK_HANDSHAKE: /* what stands behind STARTTLS in the clear is not read */
        *input = str_skip(*input, input->len);
        return STEP_NEED_INPUT;
    case SINK_QUIT:
        return STEP_NEED_INPUT;
    }
    return STEP_CLOSE;
}

/* Sends the replies; false when the session is over. */
static bool send_output(struct session *session)
{
    if (session->connection.piece_count == 0 && session->output.len > 0)
        connection_queue(&session->connection, buf_str(&session->output));
    switch (connection_send(&session->connection)) {
    case PROGRESS_LOST:
        return false;
    case PROGRESS_WAITS:
        return true;
    case PROGRESS_DONE:
        break;
    }
    buf_clear(&session->output);
    if (session->phase == SINK_QUIT)
        return false;
    if (session->phase == SINK_HANDSHAKE && session->connection.ssl == NULL)
        connection_start_tls(&session->connection, session->sink->tls, true);
    return true;
}

/* Answers what is whole of the input, which stands elsewhere than in `carry`, and keeps the rest
 * there; false when the session is over. While replies are still on their way out nothing more is
 * read, so the output is bounded by the input. */
static bool work_off(struct session *session, struct str input)
{
    enum step step = STEP_NEXT;

    while (step == STEP_NEXT && !str_is_empty(input))
        step = take_input(session, &input);
    if (step == STEP_CLOSE)
        return false;
    buf_clear(&session->carry);
    if (!str_is_empty(input))
        buf_append(&session->carry, input);
    return step == STEP_WAIT || send_output(session);
}

/* False when the session is over. */
static bool read_more(struct session *session)
{
    struct sink *sink = session->sink;
    size_t carry_len = session->carry.len;

    memcpy(sink->input, buf_text(&session->carry), carry_len);
    ssize_t len = connection_receive(&session->connection, sink->input + carry_len,
                                     sizeof sink->input - carry_len);
    if (len <= 0)
        return len == 0;
    return work_off(session, str_of(sink->input, carry_len + (size_t)len));
}

static bool shake_hands(struct session *session)
{
    switch (connection_handshake(&session->connection)) {
    case PROGRESS_LOST:
        return false;
    case PROGRESS_WAITS:
        return true;
    case PROGRESS_DONE:
        break;
    }
    session->sink->tls_connections++;
    session->phase = SINK_COMMAND;
    reset_transaction(session);
    return true;
}

static bool is_idle(const struct session *session)
{
    return session->connection.piece_count == 0 && !session->connection.is_paused;
}

void session_ready(struct session *session)
{
    bool is_alive = true;

    if (session->connection.piece_count > 0)
        is_alive = send_output(session);
    else if (session->phase == SINK_HANDSHAKE)
        is_alive = shake_hands(session);
    bool has_more = is_alive && session->phase != SINK_HANDSHAKE;
    while (has_more && is_idle(session)) {
        is_alive = read_more(session);
        has_more = is_alive && connection_has_more(&session->connection);
    }
    if (!is_alive)
        session_free(session);
}

void session_resume(struct session *session)
{
    connection_pause(&session->connection, false);
    /* What came behind the command whose reply was delayed is there already. */
    struct buf input = session->carry;
    session->carry = (struct buf){ 0 };
    bool is_alive = work_off(session, buf_str(&input));
    buf_free(&input);
    if (!is_alive)
        session_free(session);
}

void session_new(struct sink *sink, int fd)
{
    struct session *session = memory_new(sizeof *session);
    struct error error;

    session->sink = sink;
    sink->connections++;
    if (++sink->open_connections > sink->most_connections)
        sink->most_connections = sink->open_connections;
    if (!connection_open(&session->connection, fd, sink->epoll_fd, session, &error)) {
        session_free(session);
        return;
    }
    if (!reply_at(session, STAGE_BANNER, "220 sink." MARK_DOMAIN " ESMTP bench-sink\r\n"))
        session->phase = SINK_QUIT;
    if (delay_at(session, STAGE_BANNER) != STEP_WAIT && !send_output(session))
        session_free(session);
}
