/* SPDX-License-Identifier: Apache-2.0 */
#include "load_client.h"
#include "base/memory.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REPLY_LINE_MAX = 4096 };

void client_init(struct client *client, struct load *load)
{
    *client = (struct client){ .load = load, .connection = { .fd = -1 } };
    client->accepted = memory_new(load->options.recipients);
    content_frame_init(&load->content, &client->frame);
}

void client_clear(struct client *client)
{
    connection_close(&client->connection);
    buf_free(&client->commands);
    buf_free(&client->carry);
    memory_free(client->accepted);
}

static void lose_idle(struct client *client, bool was_open)
{
    client->load->idle_open -= was_open;
    client->load->idle_connecting -= !was_open;
    client->load->idle_lost++;
}

/* The connection is gone; what becomes of the message, where there is one? */
static void lose_connection(struct client *client)
{
    struct load *load = client->load;
    enum phase phase = client->phase;
    bool was_sent = phase == PHASE_CONTENT && client->connection.piece_count == 0;

    connection_close(&client->connection);
    buf_clear(&client->carry);
    client->phase = PHASE_CLOSED;
    if (client->is_idle) {
        lose_idle(client, phase == PHASE_READY);
        return;
    }
    load->connect_failures += phase == PHASE_BANNER;
    load->lost_connections += phase != PHASE_BANNER && phase != PHASE_READY && phase != PHASE_QUIT;
    if (client->has_message && !was_sent) {
        load_pause(load, client);
    } else if (client->has_message) {
        client->has_message = false;
        load_message_ended(load, client, OUTCOME_UNANSWERED);
        load_free(load, client);
    } else if (phase != PHASE_READY) { /* then it is free already */
        load_free(load, client);
    }
}

static void send_queued(struct client *client)
{
    if (connection_send(&client->connection) == PROGRESS_LOST)
        lose_connection(client);
}

static void send_line(struct client *client, enum phase phase, struct str line)
{
    client->phase = phase;
    connection_queue(&client->connection, line);
    send_queued(client);
}

static bool connect_now(struct client *client, struct error *error)
{
    struct load *load = client->load;
    const struct sockaddr_in *server = &load->options.server;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return error_errno(error, "socket");
    if (connect(fd, (const struct sockaddr *)server, sizeof *server) < 0 && errno != EINPROGRESS) {
        error_errno(error, "connect");
        close(fd);
        return false;
    }
    client->phase = PHASE_BANNER;
    client->connection_number++;
    client->sent = 0;
    client->has_pipelining = client->has_starttls = false;
    client->connect_us = clock_monotonic_us();
    return connection_open(&client->connection, fd, load->epoll_fd, client, error);
}

static void open_connection(struct client *client)
{
    struct error error;

    if (connect_now(client, &error))
        return;
    client->load->connect_failures++;
    client->phase = PHASE_CLOSED;
    if (client->is_idle)
        lose_idle(client, false);
    else
        load_pause(client->load, client);
}

static void compose_envelope(struct client *client)
{
    const struct load_options *options = &client->load->options;
    struct buf *commands = &client->commands;

    buf_clear(commands);
    buf_append(commands, STR("MAIL FROM:<load@" MARK_DOMAIN ">\r\n"));
    for (uint32_t i = 0; i < options->recipients; i++) {
        buf_append(commands, STR("RCPT TO:<u"));
        buf_append_u64(commands, i);
        buf_append(commands, STR("@d"));
        buf_append_u64(commands, (client->mark.number + i) % options->domains);
        buf_append(commands, STR("." MARK_DOMAIN ">\r\n"));
    }
    buf_append(commands, STR("DATA\r\n"));
}

/* All commands that may go now: one, or with pipelining what there is. */
static void send_commands(struct client *client)
{
    struct str rest = str_skip(buf_str(&client->commands), client->unsent);
    ptrdiff_t end = str_find_byte(rest, '\n');
    struct str now = client->has_pipelining || end < 0 ? rest : str_take(rest, (size_t)end + 1);

    client->unsent += now.len;
    if (!str_is_empty(now))
        send_line(client, PHASE_ENVELOPE, now);
}

static void begin_message(struct client *client)
{
    compose_envelope(client);
    client->unsent = 0;
    client->answered = 0;
    client->accepted_count = 0;
    client->sent++;
    send_commands(client);
}

void client_send(struct client *client, const struct mark *mark)
{
    client->mark = *mark;
    client->has_message = true;
    if (client->phase == PHASE_READY)
        begin_message(client);
    else
        open_connection(client);
}

void client_resume(struct client *client)
{
    open_connection(client);
}

void client_stay(struct client *client)
{
    client->is_idle = true;
    client->load->idle_connecting++;
    open_connection(client);
}

void client_quit(struct client *client)
{
    if (client->phase == PHASE_READY)
        send_line(client, PHASE_QUIT, STR("QUIT\r\n"));
}

static void send_content(struct client *client)
{
    struct str parts[3];

    if (client->accepted_count == 0) { /* the server wants content all the same */
        send_line(client, PHASE_CONTENT, STR(".\r\n"));
        return;
    }
    content_compose(&client->load->content, &client->mark, &client->frame, parts);
    for (size_t i = 0; i < 3; i++) {
        client->load->bytes += parts[i].len;
        if (!str_is_empty(parts[i]))
            connection_queue(&client->connection, parts[i]);
    }
    client->phase = PHASE_CONTENT;
    send_queued(client);
}

/* The connection awaits commands: what now? */
static void become_ready(struct client *client)
{
    client->phase = PHASE_READY;
    if (client->is_idle) {
        client->load->idle_connecting--;
        client->load->idle_open++;
    } else if (client->has_message) {
        begin_message(client);
    } else if (load_may_go_on(client->load, client->sent)) {
        load_free(client->load, client);
    } else {
        client_quit(client);
    }
}

static void end_message(struct client *client, enum outcome outcome, bool must_reset)
{
    client->has_message = false;
    load_message_ended(client->load, client, outcome);
    if (must_reset)
        send_line(client, PHASE_RSET, STR("RSET\r\n"));
    else
        become_ready(client);
}

static void take_rcpt_reply(struct client *client, bool is_positive)
{
    uint32_t ordinal = client->answered - 1;

    client->accepted[ordinal] = is_positive;
    client->accepted_count += is_positive;
    client->load->recipients_refused += !is_positive;
}

static void on_envelope(struct client *client, unsigned code)
{
    bool is_positive = code < 400;
    uint32_t recipients = client->load->options.recipients;

    if (client->answered == recipients + 1) {
        if (is_positive)
            send_content(client);
        else
            end_message(client, OUTCOME_REFUSED, true);
        return;
    }
    if (client->answered == 0)
        client->is_mail_accepted = is_positive;
    else
        take_rcpt_reply(client, is_positive);
    client->answered++;
    bool is_hopeless = !client->is_mail_accepted ||
                       (client->answered == recipients + 1 && client->accepted_count == 0);
    if (!client->has_pipelining && is_hopeless)
        end_message(client, OUTCOME_REFUSED, true);
    else
        send_commands(client);
}

static void on_ehlo(struct client *client)
{
    bool must_encrypt = client->load->tls != NULL && client->connection.ssl == NULL;

    if (must_encrypt && !client->has_starttls)
        lose_connection(client);
    else if (must_encrypt)
        send_line(client, PHASE_STARTTLS, STR("STARTTLS\r\n"));
    else
        become_ready(client);
}

static void say_ehlo(struct client *client)
{
    client->has_pipelining = client->has_starttls = false;
    send_line(client, PHASE_EHLO, STR("EHLO load." MARK_DOMAIN "\r\n"));
}

static void shake_hands(struct client *client)
{
    switch (connection_handshake(&client->connection)) {
    case PROGRESS_LOST:
        lose_connection(client);
        break;
    case PROGRESS_WAITS:
        break;
    case PROGRESS_DONE:
        say_ehlo(client);
        break;
    }
}

static void take_reply(struct client *client, unsigned code)
{
    switch (client->phase) {
    case PHASE_BANNER:
        histogram_add(&client->load->connect_latency, clock_monotonic_us() - client->connect_us);
        client->load->connections++;
        say_ehlo(client);
        break;
    case PHASE_EHLO:
        on_ehlo(client);
        break;
    case PHASE_STARTTLS:
        client->phase = PHASE_HANDSHAKE;
        connection_start_tls(&client->connection, client->load->tls, false);
        shake_hands(client);
        break;
    case PHASE_ENVELOPE:
        on_envelope(client, code);
        break;
    case PHASE_CONTENT:
        end_message(client, code < 400 ? OUTCOME_ACCEPTED : OUTCOME_REFUSED, false);
        break;
    case PHASE_RSET:
        become_ready(client);
        break;
    case PHASE_HANDSHAKE:
    case PHASE_CLOSED:
    case PHASE_READY:
    case PHASE_QUIT:
        lose_connection(client);
        break;
    }
}

static bool parse_code(struct str line, unsigned *code)
{
    uint64_t value;

    if (!str_to_u64(str_take(line, 3), &value) || value < 200 || value > 599)
        return false;
    *code = (unsigned)value;
    return true;
}

static void note_offer(struct client *client, struct str line)
{
    struct str offer = str_trim(str_skip(line, 4));

    if (str_equal_fold(offer, STR("PIPELINING")))
        client->has_pipelining = client->load->options.may_pipeline;
    else if (str_equal_fold(offer, STR("STARTTLS")))
        client->has_starttls = true;
}

/* A 421 is followed by the end of the connection; so is a refusal to go on, and a reply to content
 * that is still on its way. */
static bool is_farewell(const struct client *client, unsigned code)
{
    return code == 421 || (code >= 400 && client->phase <= PHASE_STARTTLS) ||
           (client->phase == PHASE_CONTENT && client->connection.piece_count > 0);
}

static void part(struct client *client)
{
    if (client->phase == PHASE_CONTENT) {
        client->has_message = false;
        load_message_ended(client->load, client, OUTCOME_REFUSED);
    }
    lose_connection(client);
}

static void take_line(struct client *client, struct str line)
{
    unsigned code;

    if (client->phase == PHASE_EHLO)
        note_offer(client, line);
    if (!parse_code(line, &code)) {
        lose_connection(client);
        return;
    }
    if (line.len > 3 && line.ptr[3] == '-')
        return;
    if (is_farewell(client, code))
        part(client);
    else
        take_reply(client, code);
}

/* Whether the input still belongs to the conversation: not behind STARTTLS, where bytes in the
 * clear have no place, and not when a line ended the connection (there may be a new one by now). */
static bool goes_on(const struct client *client, uint32_t connection_number)
{
    return client->connection_number == connection_number && client->phase != PHASE_CLOSED &&
           client->phase != PHASE_HANDSHAKE;
}

static void take_input(struct client *client, struct str input)
{
    uint32_t number = client->connection_number;
    ptrdiff_t end;

    buf_clear(&client->carry);
    while (goes_on(client, number) && (end = str_find_byte(input, '\n')) >= 0) {
        take_line(client, str_take(input, (size_t)end));
        input = str_skip(input, (size_t)end + 1);
    }
    if (goes_on(client, number) && !str_is_empty(input))
        buf_append(&client->carry, input);
}

static void read_more(struct client *client)
{
    char *input = client->load->input;
    size_t carry_len = client->carry.len;

    if (carry_len > REPLY_LINE_MAX) {
        lose_connection(client);
        return;
    }
    memcpy(input, buf_text(&client->carry), carry_len);
    ssize_t len = connection_receive(&client->connection, input + carry_len,
                                     sizeof client->load->input - carry_len);
    if (len < 0)
        lose_connection(client);
    else if (len > 0)
        take_input(client, str_of(input, carry_len + (size_t)len));
}

void client_ready(struct client *client)
{
    if (client->phase == PHASE_HANDSHAKE) {
        shake_hands(client);
        return;
    }
    if (client->connection.piece_count > 0)
        send_queued(client);
    uint32_t number = client->connection_number;
    bool has_more = client->phase != PHASE_CLOSED;
    while (has_more) {
        read_more(client);
        has_more = goes_on(client, number) && connection_has_more(&client->connection);
    }
}
