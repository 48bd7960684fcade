/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "wire/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DATAGRAM_BYTES_MAX = 256 * 1024 };

static const char base_main_cf[] = "myhostname = mail.test.example\n"
                                   "mydomain = test.example\n"
                                   "myorigin = $myhostname\n"
                                   "mydestination = $myhostname, localhost\n"
                                   "mynetworks = 127.0.0.0/8\n"
                                   "inet_interfaces = 127.0.0.1\n"
                                   "append_dot_mydomain = no\n"
                                   "smtpd_peername_lookup = no\n"
                                   "local_recipient_maps =\n"
                                   "alias_maps =\n"
                                   "smtpd_error_sleep_time = 0\n"
                                   "smtpd_recipient_restrictions = permit_mynetworks, "
                                   "permit_sasl_authenticated, reject_unauth_destination\n"
                                   "smtpd_relay_restrictions = permit_mynetworks, "
                                   "permit_sasl_authenticated, reject_unauth_destination\n";

static void die(const char *what, const struct error *error)
{
    fprintf(stderr, "%s: %s\n", what, error->message);
    abort();
}

/* ---- the queue ---- */

static void message_clear(struct taken_message *message)
{
    arena_clear(&message->arena);
    buf_free(&message->content);
    *message = (struct taken_message){ 0 };
}

static void take_message(struct world *world, const struct wire_submit_message *sent)
{
    struct taken_message *message = &world->message;
    struct error error;

    if (message->chunk_count == 0)
        message_clear(message);
    buf_append(&message->content, sent->content);
    struct str bytes = arena_copy(&message->arena, sent->envelope);
    if (!envelope_decode(&message->arena, bytes, &message->envelope, &error))
        die("the envelope", &error);
    ensure(message->envelope.content_bytes == message->content.len);
    message->chunk_count = 0;
}

static void open_queue(struct world *world);

static bool on_message(struct world *world, struct channel *channel, struct str payload)
{
    struct wire_submit_message message;

    if (!wire_decode_submit_message(channel, payload, &message))
        return false;
    switch (world->manner) {
    case QUEUE_ACCEPTS:
    case QUEUE_IS_SHUT:
        take_message(world, &message);
        world->message_count++;
        wire_send_submit_accepted(
            channel, &(struct wire_submit_accepted){ .transaction = message.transaction });
        return true;
    case QUEUE_REFUSES:
        wire_send_submit_refused(
            channel, &(struct wire_submit_refused){ .transaction = message.transaction,
                                                    .code = 452,
                                                    .enhanced = STR("4.3.1"),
                                                    .text = STR("Insufficient system storage") });
        return true;
    case QUEUE_DIES:
        return false;
    }
    unreachable();
}

static bool on_chunk(struct world *world, struct channel *channel, struct str payload)
{
    struct wire_submit_chunk chunk;

    if (!wire_decode_submit_chunk(channel, payload, &chunk))
        return false;
    if (world->message.chunk_count++ == 0) {
        message_clear(&world->message);
        world->message.chunk_count = 1;
    }
    ensure(chunk.content.len == SUBMISSION_CHUNK_BYTES);
    buf_append(&world->message.content, chunk.content);
    return true;
}

static bool on_lease(struct world *world, struct channel *channel, struct str payload)
{
    struct wire_submit_lease lease;

    if (!wire_decode_submit_lease(channel, payload, &lease))
        return false;
    wire_send_submit_leased(channel,
                            &(struct wire_submit_leased){ .first_queue_id = world->next_queue_id,
                                                          .count = lease.count });
    world->next_queue_id += lease.count;
    return true;
}

static bool queue_received(void *owner, struct channel *channel, uint16_t number,
                           struct str payload)
{
    struct world *world = owner;

    switch (number) {
    case WIRE_submit_lease:
        return on_lease(world, channel, payload);
    case WIRE_submit_chunk:
        return on_chunk(world, channel, payload);
    case WIRE_submit_message:
        return on_message(world, channel, payload);
    case WIRE_submit_notice:
        return true;
    case WIRE_submit_abort:
        world->aborted_count++;
        world->message.chunk_count = 0;
        return true;
    default:
        return false;
    }
}

static void queue_closed(void *owner, struct channel *channel, const char *reason)
{
    struct world *world = owner;

    (void)channel;
    (void)reason;
    channel_free(&world->queue);
    if (world->manner == QUEUE_DIES) {
        world->manner = QUEUE_ACCEPTS;
        open_queue(world);
    }
}

static const struct channel_events queue_events = { queue_received, queue_closed };

static void open_queue(struct world *world)
{
    struct error error;
    int ends[2];

    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    world->queue = channel_new(world->loop, ends[0], &queue_events, world, &error);
    if (world->queue == NULL || !submission_attach(world->server.submission, 1, ends[1], &error))
        die("the queue's channel", &error);
}

void world_set_queue(struct world *world, enum queue_manner manner)
{
    world->manner = manner;
    wire_send_submit_gate(
        world->queue,
        &(struct wire_submit_gate){ .is_open = manner != QUEUE_IS_SHUT,
                                    .code = 452,
                                    .enhanced = STR("4.3.1"),
                                    .text = STR("Insufficient system storage") });
}

/* ---- life ---- */

struct policy *world_policy(struct world *world, const char *main_cf, struct error *error)
{
    struct config_source *source = &world->source;
    const char *text = arena_printf(&source->arena, "%s%s", base_main_cf, main_cf);

    if (!main_cf_parse(&source->arena, "main.cf", str_from(text), &source->main_cf, error))
        die("main.cf", error);
    struct config *config = config_new(source, NULL, NULL, NULL, error);
    if (config == NULL)
        die("the configuration", error);
    struct policy_options options = {
        .config = config,
        .service_name = STR("smtp"),
        .log = { world->log, STR("postfix/smtpd") },
        .cleanup_log = { world->log, STR("postfix/cleanup") },
    };
    return policy_new(&options, error);
}

void world_open(struct world *world, const char *main_cf)
{
    struct error error;
    int log_ends[2];

    *world = (struct world){ .next_queue_id = 0x1234567890, .early = STR("") };
    world->loop = loop_new(&error);
    if (world->loop == NULL)
        die("the loop", &error);
    ensure(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, log_ends) == 0);
    world->log = log_new_socket(log_ends[0]);
    world->log_fd = log_ends[1];
    list_init(&world->server.conversations);
    world->server.loop = world->loop;
    world->server.submission = submission_new(world->loop);
    world->policy = world_policy(world, main_cf, &error);
    if (world->policy == NULL)
        die("the policy", &error);
    open_queue(world);
}

void world_close(struct world *world)
{
    policy_free(&world->policy);
    submission_free(&world->server.submission);
    channel_free(&world->queue);
    message_clear(&world->message);
    config_source_free(&world->source);
    buf_free(&world->log_text);
    int their_log_fd = log_fd(world->log);
    log_free(&world->log);
    close(their_log_fd);
    close(world->log_fd);
    loop_free(&world->loop);
}

static void stop_loop(struct server *server)
{
    loop_stop(server->loop);
}

static void run_play(void *argument)
{
    struct world *world = argument;

    world->play(world, world->play_argument);
    stream_free(&world->client);
    if (world->server.conversation_count == 0)
        loop_stop(world->loop);
    else
        world->server.emptied = stop_loop;
}

void world_run(struct world *world, const char *client_address,
               void (*play)(struct world *world, void *argument), void *argument)
{
    struct net_address address;
    struct error error;
    int ends[2];

    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ensure(net_address_parse(str_from(client_address), 25, &address));
    world->server.emptied = NULL;
    world->play = play;
    world->play_argument = argument;
    ensure(write(ends[1], world->early.ptr, world->early.len) == (ssize_t)world->early.len);
    world->client = stream_new(world->loop, ends[1], &error);
    if (world->client == NULL)
        die("the client", &error);
    const struct arrival arrival = { .fd = ends[0], .peer = address };
    conversation_start(&world->server, world->policy, &arrival);
    fiber_start(world->loop, "test", run_play, world);
    loop_run(world->loop);
}

struct str world_log(struct world *world)
{
    char *datagram = memory_new(DATAGRAM_BYTES_MAX); /* too large for a fiber's stack */
    ssize_t len;

    log_flush(world->log);
    while ((len = recv(world->log_fd, datagram, DATAGRAM_BYTES_MAX, MSG_DONTWAIT)) > 0) {
        struct str rest = str_of(datagram, (size_t)len);
        struct log_record record;
        while (log_record_parse(&rest, &record))
            buf_printf(&world->log_text, "%.*s: %s%.*s\n", STR_ARGS(record.tag),
                       severity_word(record.severity), STR_ARGS(record.text));
        log_flush(world->log);
    }
    memory_free(datagram);
    return buf_str(&world->log_text);
}
