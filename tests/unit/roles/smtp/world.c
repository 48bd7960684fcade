/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/file.h"
#include "mail/delivery.h"
#include "mail/envelope.h"
#include "wire/wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WATCHDOG_MS = 20 * 1000, STEP_MS = 10 * 1000, LINE_BYTES = 64 * 1024 };

/* ---- servers ---- */

struct server_connection {
    struct world_server *server;
    struct stream *stream;
    const char *transcript;
};

static void mistake(struct world_server *server, const char *what, struct str expected,
                    struct str got)
{
    buf_printf(&server->world->mistakes, "%s: expected \"%.*s\", got \"%.*s\"\n", what,
               STR_ARGS(expected), STR_ARGS(got));
}

static void send_raw(struct stream *stream, struct str text)
{
    autofree_buf struct buf bytes = { 0 };

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '\\' || i + 1 == text.len) {
            buf_append_byte(&bytes, text.ptr[i]);
            continue;
        }
        char escape = text.ptr[++i];
        buf_append_byte(&bytes, escape == 'r'   ? '\r'
                                : escape == 'n' ? '\n'
                                : escape == 'e' ? '\x1b'
                                                : '\0');
    }
    (void)stream_write(stream, buf_str(&bytes), DEADLINE_NEVER);
}

static bool read_client_line(struct server_connection *connection, struct str *line)
{
    struct world *world = connection->server->world;

    return stream_read_line(connection->stream, LINE_BYTES, loop_now_ms(world->loop) + STEP_MS,
                            line, NULL) == STREAM_OK;
}

static bool read_content(struct server_connection *connection)
{
    struct str line;

    buf_clear(&connection->server->content);
    while (read_client_line(connection, &line)) {
        if (str_equal(line, STR(".")))
            return true;
        buf_append(&connection->server->content, line);
        buf_append_text(&connection->server->content, "\r\n");
    }
    mistake(connection->server, "content", STR("."), STR("end of connection"));
    return false;
}

static void flood(struct server_connection *connection)
{
    struct world *world = connection->server->world;

    while (stream_write(connection->stream, STR("250-and more\r\n"),
                        loop_now_ms(world->loop) + STEP_MS) == STREAM_OK)
        if (stream_flush(connection->stream, loop_now_ms(world->loop) + STEP_MS) != STREAM_OK)
            return;
}

static void end_by(struct server_connection *connection, struct str how)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    struct str line;

    (void)stream_flush(connection->stream, DEADLINE_NEVER);
    if (str_equal(how, STR("reset")))
        setsockopt(stream_fd(connection->stream), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    else if (str_equal(how, STR("flood")))
        flood(connection);
    else if (str_equal(how, STR("sleep")))
        (void)fiber_sleep(connection->server->world->loop, 1500);
    else if (str_equal(how, STR("wait")))
        while (read_client_line(connection, &line))
            continue;
}

/* False: the conversation is over. */
static bool play_step(struct server_connection *connection, struct str step)
{
    struct str text = str_skip(step, 3);
    struct str line;

    switch (step.ptr[0]) {
    case 'S':
        (void)stream_write(connection->stream, text, DEADLINE_NEVER);
        (void)stream_write(connection->stream, STR("\r\n"), DEADLINE_NEVER);
        return true;
    case 'R':
        send_raw(connection->stream, text);
        return true;
    case 'B':
        return read_content(connection);
    case 'C':
        if (!read_client_line(connection, &line)) {
            mistake(connection->server, "command", text, STR("end of connection"));
            return false;
        }
        if (!str_equal(text, STR("*")) && !str_equal(text, line)) {
            mistake(connection->server, "command", text, line);
            return false;
        }
        return true;
    case 'X':
        end_by(connection, text);
        return false;
    default:
        ensure(!"a transcript's step begins with S, R, B, C or X");
        return false;
    }
}

static void expect_quit(struct server_connection *connection)
{
    struct str line;

    if (read_client_line(connection, &line) && !str_equal(line, STR("QUIT")))
        mistake(connection->server, "end", STR("QUIT"), line);
}

static void serve(void *argument)
{
    struct server_connection *connection = argument;
    struct str rest = str_from(connection->transcript);
    bool goes_on = true;

    while (goes_on && rest.len > 0) {
        struct str step = str_cut(&rest, "\n");
        if (step.len > 0)
            goes_on = play_step(connection, step);
    }
    if (goes_on)
        expect_quit(connection);
    stream_free(&connection->stream);
    connection->server->active_count--;
    free(connection);
}

static void server_accepted(void *argument, int fd, const struct net_address *peer)
{
    struct world_server *server = argument;
    struct server_connection *connection = calloc(1, sizeof *connection);
    struct error error;

    ensure(server->connection_count < WORLD_CONNECTIONS);
    connection->server = server;
    connection->transcript = server->transcripts[server->connection_count++];
    if (connection->transcript == NULL) {
        mistake(server, "connection", STR("none"), STR("one"));
        connection->transcript = "X: close";
    }
    connection->stream = stream_new(server->world->loop, fd, &error);
    ensure(connection->stream != NULL);
    server->active_count++;
    (void)fiber_start(server->world->loop, "server", serve, connection);
}

void world_transcript(struct world *world, int index, const char *transcript)
{
    struct world_server *server = &world->servers[index];
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(world->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)index) };
    socklen_t len = sizeof address;
    struct error error;
    int next = 0;

    while (server->transcripts[next] != NULL)
        next++;
    server->transcripts[next] = transcript;
    if (server->listener != NULL)
        return;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ensure(bind(fd, (const struct sockaddr *)&address, len) == 0 && listen(fd, 16) == 0);
    server->world = world;
    server->listener = listener_new(world->loop, fd, server_accepted, server, &error);
    ensure(server->listener != NULL);
}

/* ---- the resolver ---- */

void world_record(struct world *world, const char *type, const char *name, const char *value)
{
    ensure(world->record_count < WORLD_RECORDS);
    world->records[world->record_count++] = (struct world_record){ type, name, value };
}

static void fill_record(struct world_record *from, struct dns_record *to, char *bytes)
{
    struct str value = str_from(from->value);

    *to = (struct dns_record){ 0 };
    if (strcmp(from->type, "MX") == 0) {
        uint64_t preference = 0;
        ensure(str_to_u64(str_cut(&value, " "), &preference));
        to->preference = (uint16_t)preference;
        to->name = value;
        return;
    }
    int family = strcmp(from->type, "A") == 0 ? AF_INET : AF_INET6;
    ensure(inet_pton(family, from->value, bytes) == 1);
    to->data = str_of(bytes, family == AF_INET ? 4 : 16);
}

static bool query_received(void *owner, struct channel *channel, uint16_t number,
                           struct str payload)
{
    struct world *world = owner;
    struct wire_resolve_query query;
    struct wire_resolve_answer answer = { .outcome = DNS_NO_NAME, .reason = STR("Host not found") };
    struct dns_record records[WORLD_RECORDS];
    char addresses[WORLD_RECORDS][16];
    autofree_buf struct buf bytes = { 0 };
    size_t count = 0;

    ensure(number == WIRE_resolve_query && wire_decode_resolve_query(channel, payload, &query));
    world->query_count++;
    answer.query = query.query;
    for (size_t i = 0; i < world->record_count; i++) {
        struct world_record *record = &world->records[i];
        if (!str_equal_fold(query.name, str_from(record->name)))
            continue;
        if (answer.outcome == DNS_NO_NAME) {
            answer.outcome = DNS_NO_DATA;
            answer.reason = STR("Host found but no data record of requested type");
        }
        if (strcmp(record->type, dns_type_name((enum dns_type)query.type)) != 0)
            continue;
        if (strcmp(record->value, "SERVFAIL") == 0) {
            answer.outcome = DNS_TRY_AGAIN;
            answer.reason = STR("Host not found, try again");
            continue;
        }
        fill_record(record, &records[count], addresses[count]);
        count++;
        answer.outcome = DNS_FOUND;
        answer.reason = STR("");
    }
    dns_records_encode(records, count, &bytes);
    answer.records = buf_str(&bytes);
    wire_send_resolve_answer(channel, &answer);
    return true;
}

/* ---- the queue ---- */

static const char *status_word(uint8_t status)
{
    static const char *const words[] = { "?", "sent", "deferred", "bounced", "undone" };

    ensure(status < sizeof words / sizeof words[0]);
    return words[status];
}

static const char *site_word(uint8_t site)
{
    static const char *const words[] = { "?", "worked", "failed", "untouched" };

    ensure(site < sizeof words / sizeof words[0]);
    return words[site];
}

/* The port differs from run to run; results show PORT. */
static void append_portless(const struct world *world, struct buf *out, struct str text)
{
    char port[8];

    snprintf(port, sizeof port, ":%u", world->port);
    for (;;) {
        ptrdiff_t at = str_find(text, str_from(port));
        if (at < 0)
            break;
        buf_append(out, str_take(text, (size_t)at));
        buf_append_text(out, ":PORT");
        text = str_skip(text, (size_t)at + strlen(port));
    }
    buf_append(out, text);
}

static bool result_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct world *world = owner;
    struct wire_deliver_result result;
    struct wire_deliver_done done;

    if (number == WIRE_deliver_result) {
        ensure(wire_decode_deliver_result(channel, payload, &result));
        buf_printf(&world->results, "%llu/%u %s %.*s ", (unsigned long long)result.job,
                   result.recipient, status_word(result.status), STR_ARGS(result.dsn));
        append_portless(world, &world->results, result.diagnostic);
        buf_append_byte(&world->results, '\n');
        return true;
    }
    if (number == WIRE_deliver_leaving) /* the end of the test */
        return true;
    ensure(number == WIRE_deliver_done && wire_decode_deliver_done(channel, payload, &done));
    buf_printf(&world->results, "%llu %s\n", (unsigned long long)done.job, site_word(done.site));
    if (++world->done_count == world->done_wanted)
        loop_stop(world->loop);
    return true;
}

static void channel_closed(void *owner, struct channel *channel, const char *reason)
{
    struct world *world = owner;

    buf_printf(&world->mistakes, "channel closed: %s\n", reason);
    loop_stop(world->loop);
}

static const struct channel_events queue_end = { result_received, channel_closed };
static const struct channel_events resolver_end = { query_received, channel_closed };

void world_send(struct world *world, const struct world_job *job)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf envelope_bytes = { 0 }, nexthop = { 0 };
    struct envelope envelope = { .sender = str_from(job->sender),
                                 .flags = job->flags,
                                 .arrival_us = clock_wall_us(),
                                 .size_bytes = job->content.len,
                                 .content_bytes = job->content.len };
    struct str rest = str_from(job->nexthop);
    ptrdiff_t at;

    for (size_t i = 0; i < 8 && job->recipients[i] != NULL; i++) {
        struct recipient recipient = { .address = str_from(job->recipients[i]) };
        (void)envelope_add_recipient(&arena, &envelope, &recipient);
    }
    envelope_encode(&envelope, &envelope_bytes);
    while ((at = str_find(rest, STR("PORT"))) >= 0) {
        buf_append(&nexthop, str_take(rest, (size_t)at));
        buf_append_u64(&nexthop, world->port);
        rest = str_skip(rest, (size_t)at + 4);
    }
    buf_append(&nexthop, rest);
    struct wire_deliver_job message = {
        .job = job->job,
        .queue_id = 0x123456789abcu,
        .transport = str_from(job->transport != NULL ? job->transport : "smtp"),
        .nexthop = buf_str(&nexthop),
        .envelope = buf_str(&envelope_bytes),
        .is_content_beside = job->is_content_beside,
        .content = job->is_content_beside ? STR("") : job->content,
        .queue_manager_us = clock_wall_us(),
    };
    wire_send_deliver_job(world->queue, &message);
    if (job->is_content_beside) {
        struct error error;
        autoclose int fd = memfd_create("content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        ensure(fd_write_all(fd, job->content, "memfd", &error));
        ensure(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
        struct wire_deliver_content_fd content = { .job = job->job, .content_fd = fd };
        wire_send_deliver_content_fd(world->queue, &content);
    }
}

/* ---- the loop ---- */

static void watchdog_barks(struct timer *timer)
{
    struct world *world = list_entry(timer, struct world, watchdog);

    world->is_late = true;
    loop_stop(world->loop);
}

void world_idle(struct world *world, int64_t duration_ms)
{
    timer_set(world->loop, &world->watchdog, clock_monotonic_ms() + duration_ms, watchdog_barks);
    loop_run(world->loop);
    timer_clear(world->loop, &world->watchdog);
    world->is_late = false;
}

void world_run(struct world *world, size_t jobs)
{
    world->done_wanted = world->done_count + jobs;
    timer_set(world->loop, &world->watchdog, clock_monotonic_ms() + WATCHDOG_MS, watchdog_barks);
    loop_run(world->loop);
    timer_clear(world->loop, &world->watchdog);
    if (world->is_late) {
        buf_append_text(&world->mistakes, "too late\n");
        fiber_dump(world->loop, stderr);
    }
    world_read_log(world);
}

void world_read_log(struct world *world)
{
    char datagram[65536];
    struct log_record record;
    ssize_t len;

    (void)log_flush(world->log);
    while ((len = recv(world->log_fd, datagram, sizeof datagram, MSG_DONTWAIT)) > 0) {
        struct str rest = str_of(datagram, (size_t)len);
        while (log_record_parse(&rest, &record)) {
            append_portless(world, &world->lines, record.text);
            buf_append_byte(&world->lines, '\n');
        }
    }
}

/* ---- life ---- */

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    ensure(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void read_config(struct world *world, const char *parameters)
{
    static const char services[] = "smtp unix - - n - - smtp\n"
                                   "named unix - - n - - smtp\n"
                                   "  -o syslog_name=relay-name -o smtp_helo_name=named.example\n";
    char folder[] = "/tmp/waypost-smtp-XXXXXX";
    autofree_buf struct buf main_cf = { 0 };
    struct error error = { 0 };

    ensure(mkdtemp(folder) != NULL);
    buf_printf(&main_cf,
               "myhostname = client.example\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n"
               "compatibility_level = 3.6\nsmtp_randomize_addresses = no\n%s",
               parameters);
    write_file(folder, "main.cf", buf_text(&main_cf));
    write_file(folder, "master.cf", services);
    if (!config_source_read(folder, NULL, NULL, &world->source, &error) ||
        (world->config = config_new(&world->source, NULL, NULL, NULL, &error)) == NULL) {
        fprintf(stderr, "%s\n", error.message);
        abort();
    }
    char path[256];
    snprintf(path, sizeof path, "%s/main.cf", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/master.cf", folder);
    unlink(path);
    rmdir(folder);
}

/* A port that is free on 127.0.0.1 and, being ephemeral, elsewhere on loopback. */
static uint16_t choose_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ensure(bind(fd, (const struct sockaddr *)&address, len) == 0);
    ensure(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void drained(void *argument)
{
    loop_stop(((struct world *)argument)->loop);
}

void world_open(struct world *world, const char *parameters)
{
    struct error error;
    int pair[2];

    *world = (struct world){ 0 };
    world->loop = loop_new(&error);
    world->port = choose_port();
    read_config(world, parameters);
    ensure(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    world->log = log_new_socket(pair[0]);
    world->log_fd = pair[1];
    struct worker_options options = {
        .loop = world->loop,
        .log = { world->log, STR("postfix/smtp") },
        .source = &world->source,
        .config = world->config,
        .drained = drained,
        .argument = world,
    };
    ensure(worker_init(&world->worker, &options, &error));
    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    ensure(worker_attach_queue(&world->worker, pair[0], &error));
    world->queue = channel_new(world->loop, pair[1], &queue_end, world, &error);
    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    ensure(dns_client_attach(world->worker.dns, pair[0], &error));
    world->resolver = channel_new(world->loop, pair[1], &resolver_end, world, &error);
}

static bool has_fibers(const struct world *world)
{
    return fiber_count(world->loop) > 0;
}

void world_close(struct world *world)
{
    worker_drain(&world->worker);
    for (int i = 0; i < 500 && has_fibers(world); i++)
        world_idle(world, 10);
    worker_clear(&world->worker);
    channel_free(&world->queue);
    channel_free(&world->resolver);
    for (int i = 0; i < WORLD_SERVERS; i++) {
        if (world->servers[i].listener != NULL)
            listener_free(&world->servers[i].listener);
        buf_free(&world->servers[i].content);
    }
    config_free(&world->config);
    config_source_free(&world->source);
    log_free(&world->log);
    close(world->log_fd);
    buf_free(&world->results);
    buf_free(&world->lines);
    buf_free(&world->mistakes);
    loop_free(&world->loop);
}
