/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { LIMIT_MS = 20000, POLL_MS = 1 };

static const char master_text[] = "smtp unix - - n - - smtp\n"
                                  "relay unix - - n - - smtp\n"
                                  "narrow unix - - n - 2 smtp\n"
                                  "single unix - - n - - smtp\n"
                                  "lmtp unix - - n - - lmtp\n"
                                  "error unix - - n - - error\n"
                                  "retry unix - - n - - error\n"
                                  "discard unix - - n - - discard\n"
                                  "local unix - n n - - local\n";

static const char main_text[] = "compatibility_level = 3.6\n"
                                "myhostname = mx.example.org\n"
                                "mydomain = example.org\n"
                                "inet_interfaces = loopback-only\n"
                                "mydestination = $myhostname, localhost\n"
                                "relay_domains = relayed.example\n"
                                "single_destination_recipient_limit = 1\n";

static void write_file(const struct world *world, const char *name, const char *text,
                       const char *more)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", world->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fputs(more, file);
    fclose(file);
}

/* ---- the log ---- */

static void read_log(struct world *world)
{
    char datagram[65536];
    ssize_t count;

    log_flush(world->log);
    while ((count = recv(world->log_fd, datagram, sizeof datagram, MSG_DONTWAIT)) > 0) {
        struct str rest = str_of(datagram, (size_t)count);
        struct log_record record;
        while (log_record_parse(&rest, &record))
            buf_printf(&world->lines, "%.*s: %s%.*s\n", STR_ARGS(record.tag),
                       severity_word(record.severity), STR_ARGS(record.text));
        log_flush(world->log);
    }
}

bool world_has_line(struct world *world, const char *text)
{
    return world_count_lines(world, text) > 0;
}

size_t world_count_lines(struct world *world, const char *text)
{
    size_t count = 0;

    read_log(world);
    for (const char *at = buf_text(&world->lines); (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

/* ---- life ---- */

static void drained(void *argument)
{
    struct world *world = argument;

    world->is_drained = true;
    loop_stop(world->loop);
}

static void broken(void *argument, const char *text)
{
    struct world *world = argument;

    (void)text;
    world->is_broken = true;
}

static void warn(void *argument, const char *text)
{
    (void)argument;
    print_message("configuration: %s\n", text);
}

static void open_store(struct world *world)
{
    struct error error = { 0 };
    char folder[128];
    struct store_options options = {
        .folder = folder,
        .may_create = true,
        .is_any_filesystem = true,
        .reserve_bytes = 4 * 1024 * 1024,
    };

    snprintf(folder, sizeof folder, "%s/store", world->folder);
    mkdir(folder, 0700);
    world->store = store_open(&options, &error);
    if (world->store == NULL)
        fail_msg("%s", error.message);
}

static void rested(void *argument)
{
    ((struct world *)argument)->rest_count++;
}

void world_start(struct world *world)
{
    struct error error = { 0 };

    write_file(world, "main.cf", main_text, world->parameters);
    write_file(world, "master.cf", master_text, "");
    assert_true(config_source_read(world->folder, warn, NULL, &world->source, &error));
    world->config = config_new(&world->source, NULL, warn, NULL, &error);
    if (world->config == NULL)
        fail_msg("%s", error.message);
    open_store(world);
    struct settings *settings =
        settings_new(&world->source, world->config,
                     &(struct settings_surroundings){ .log = world->log }, &error);
    if (settings == NULL)
        fail_msg("%s", error.message);
    struct queue_options options = {
        .loop = world->loop,
        .store = world->store,
        .settings = settings,
        .owner_uid = 12345,
        .rested = rested,
        .drained = drained,
        .broken = broken,
        .argument = world,
    };
    world->queue = queue_new(&options, &error);
    if (world->queue == NULL)
        fail_msg("%s", error.message);
    world->is_drained = false;
    queue_start(world->queue);
}

void world_stop(struct world *world)
{
    channel_free(&world->submitter);
    channel_free(&world->tool);
    for (int i = 0; i < WORKERS; i++)
        channel_free(&world->workers[i].channel);
    queue_free(&world->queue);
    store_close(&world->store);
    config_free(&world->config);
    config_source_free(&world->source);
    world->id_count = world->id_next = 0;
    world->answer_count = world->accepted_count = world->refused_count = 0;
    world->transactions = 0;
    world->job_count = 0;
    read_log(world);
}

void world_restart(struct world *world, const char *parameters)
{
    world_stop(world);
    if (parameters != NULL)
        world->parameters = parameters;
    world_start(world);
}

int world_setup(void **state)
{
    struct world *world = memory_new(sizeof *world);
    struct error error;
    int ends[2], size = 4 * 1024 * 1024;

    snprintf(world->folder, sizeof world->folder, "/tmp/queue-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    world->log = log_new_socket(ends[0]);
    world->log_fd = ends[1];
    world->parameters = "";
    world->loop = loop_new(&error);
    assert_non_null(world->loop);
    world_start(world);
    *state = world;
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;
    char command[128];

    world_stop(world);
    loop_free(&world->loop);
    log_free(&world->log);
    close(world->log_fd);
    snprintf(command, sizeof command, "rm -rf %s", world->folder);
    assert_int_equal(system(command), 0);
    buf_free(&world->lines);
    buf_free(&world->tool_ids);
    memory_free(world->jobs);
    memory_free(world);
    return 0;
}

/* ---- running ---- */

static void poll_expired(struct timer *timer)
{
    struct world *world = list_entry(timer, struct world, poll);

    read_log(world);
    if (world->condition != NULL && world->condition(world)) {
        loop_stop(world->loop);
        return;
    }
    timer_set(world->loop, timer, loop_now_ms(world->loop) + POLL_MS, timer->expired);
}

static void limit_expired(struct timer *timer)
{
    loop_stop(list_entry(timer, struct world, limit)->loop);
}

static void run(struct world *world, int64_t limit_ms)
{
    world->poll.expired = poll_expired;
    timer_set(world->loop, &world->poll, clock_monotonic_ms(), poll_expired);
    timer_set(world->loop, &world->limit, clock_monotonic_ms() + limit_ms, limit_expired);
    loop_run(world->loop);
    timer_clear(world->loop, &world->poll);
    timer_clear(world->loop, &world->limit);
    read_log(world);
}

void world_run(struct world *world, bool (*condition)(struct world *))
{
    world->condition = condition;
    run(world, LIMIT_MS);
    if (!condition(world)) {
        struct buf status = { 0 };
        queue_status(world->queue, &status);
        fputs(buf_text(&world->lines), stderr);
        fputs(buf_text(&status), stderr);
        buf_free(&status);
        fail_msg("the condition did not come true");
    }
}

void world_run_ms(struct world *world, int64_t duration_ms)
{
    enum { SLOW_MACHINE = 3 }; /* what should settle in this time may need more beside others */

    world->condition = NULL;
    run(world, duration_ms * SLOW_MACHINE);
}

static int connect_pair(struct world *world, struct channel **channel,
                        const struct channel_events *events, void *owner)
{
    struct error error;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *channel = channel_new(world->loop, ends[1], events, owner, &error);
    assert_non_null(*channel);
    return ends[0];
}

/* ---- the submitter ---- */

static void note_answer(struct world *world, uint16_t number, uint64_t transaction, uint32_t code)
{
    assert_true(world->answer_count < ANSWERS_MAX);
    world->answers[world->answer_count++] = (struct answer){ number, transaction, code };
}

static bool submitter_received(void *owner, struct channel *channel, uint16_t number,
                               struct str payload)
{
    struct world *world = owner;
    struct wire_submit_leased leased;
    struct wire_submit_accepted accepted;
    struct wire_submit_refused refused;
    struct wire_submit_gate gate;

    switch (number) {
    case WIRE_submit_leased:
        assert_true(wire_decode_submit_leased(channel, payload, &leased));
        for (uint32_t i = 0; i < leased.count; i++)
            world->ids[world->id_count++ % 4096] = leased.first_queue_id + i;
        return true;
    case WIRE_submit_accepted:
        assert_true(wire_decode_submit_accepted(channel, payload, &accepted));
        note_answer(world, number, accepted.transaction, 250);
        world->accepted_count++;
        return true;
    case WIRE_submit_refused:
        assert_true(wire_decode_submit_refused(channel, payload, &refused));
        note_answer(world, number, refused.transaction, refused.code);
        world->refused_count++;
        return true;
    case WIRE_submit_gate:
        assert_true(wire_decode_submit_gate(channel, payload, &gate));
        world->is_gate_open = gate.is_open;
        return true;
    default:
        return false;
    }
}

static void submitter_closed(void *owner, struct channel *channel, const char *reason)
{
    (void)channel, (void)reason;
    ((struct world *)owner)->is_submitter_closed = true;
}

static const struct channel_events submitter_events = { submitter_received, submitter_closed };

void world_connect_submitter(struct world *world)
{
    struct error error;

    channel_free(&world->submitter);
    world->is_submitter_closed = false;
    world->id_count = world->id_next = 0;
    assert_true(intake_add(
        world->queue, connect_pair(world, &world->submitter, &submitter_events, world), &error));
}

static bool has_ids(struct world *world)
{
    return world->id_next < world->id_count;
}

uint64_t world_next_id(struct world *world)
{
    if (!has_ids(world)) {
        wire_send_submit_lease(world->submitter, &(struct wire_submit_lease){ .count = 100 });
        world_run(world, has_ids);
    }
    return world->ids[world->id_next++ % 4096];
}

void world_envelope(const struct mail *mail, struct buf *out)
{
    struct arena arena = { 0 };
    struct envelope envelope = {
        .sender = str_from(mail->sender),
        .arrival_us = clock_wall_us() - mail->age_s * 1000000,
        .size_bytes = mail->content != NULL ? strlen(mail->content) : 0,
        .content_bytes = mail->content != NULL ? strlen(mail->content) : 0,
        .protocol = STR("ESMTP"),
    };
    struct str rest = str_from(mail->recipients), word;

    for (size_t i = 0; i < mail->recipient_count; i++)
        envelope_add_recipient(
            &arena, &envelope,
            &(struct recipient){
                .address = str_from(arena_printf(&arena, "user%zu@%s", i, mail->recipients)) });
    while (mail->recipient_count == 0 && str_next_word(&rest, " ", &word))
        envelope_add_recipient(
            &arena, &envelope,
            &(struct recipient){ .address = word, .dsn_notify = mail->dsn_notify });
    envelope_encode(&envelope, out);
    arena_clear(&arena);
}

uint64_t world_submit(struct world *world, const struct mail *mail)
{
    struct buf envelope = { 0 };
    uint64_t queue_id;

    if (world->submitter == NULL)
        world_connect_submitter(world);
    queue_id = world_next_id(world);
    world_envelope(mail, &envelope);
    wire_send_submit_message(
        world->submitter,
        &(struct wire_submit_message){
            .transaction = ++world->transactions,
            .queue_id = queue_id,
            .envelope = buf_str(&envelope),
            .content =
                str_from(mail->content != NULL ? mail->content : "Subject: x\r\n\r\nbody\r\n"),
        });
    buf_free(&envelope);
    return queue_id;
}

bool is_answered(struct world *world)
{
    return world->answer_count >= world->transactions;
}

bool is_queue_empty(struct world *world)
{
    return is_answered(world) && store_message_count(world->store) == 0 &&
           active_count(world->queue) == 0 && committer_waiting_count(world->queue->committer) == 0;
}

/* ---- the workers ---- */

static uint32_t sum(struct str bytes)
{
    uint32_t total = 0;

    for (size_t i = 0; i < bytes.len; i++)
        total = total * 31 + (unsigned char)bytes.ptr[i];
    return total;
}

static struct job *job_add(struct world *world)
{
    if (world->job_count == world->job_capacity) {
        world->job_capacity = world->job_capacity > 0 ? world->job_capacity * 2 : 64;
        world->jobs = memory_resize(world->jobs, world->job_capacity * sizeof *world->jobs);
    }
    struct job *job = &world->jobs[world->job_count++];
    memset(job, 0, sizeof *job);
    return job;
}

static bool on_deliver_job(struct played_worker *worker, struct str payload)
{
    struct world *world = worker->world;
    struct wire_deliver_job message;
    struct envelope envelope;
    struct arena arena = { 0 };
    struct error error;
    struct job *job = job_add(world);

    assert_true(wire_decode_deliver_job(worker->channel, payload, &message));
    assert_true(envelope_decode(&arena, message.envelope, &envelope, &error));
    job->job = message.job;
    job->queue_id = message.queue_id;
    job->worker = worker->number;
    snprintf(job->transport, sizeof job->transport, "%.*s", STR_ARGS(message.transport));
    snprintf(job->nexthop, sizeof job->nexthop, "%.*s", STR_ARGS(message.nexthop));
    job->recipient_count = (uint32_t)envelope.recipient_count;
    for (size_t i = 0; i < envelope.recipient_count && i < JOB_RECIPIENTS_MAX; i++)
        snprintf(job->recipients[i], sizeof job->recipients[i], "%.*s",
                 STR_ARGS(envelope.recipients[i].address));
    job->is_beside = message.is_content_beside;
    job->content_len = message.content.len;
    job->content_sum = sum(message.content);
    arena_clear(&arena);
    if (!job->is_beside && world->on_job != NULL)
        world->on_job(world, job);
    return true;
}

static bool on_content(struct played_worker *worker, struct str payload)
{
    struct world *world = worker->world;
    struct wire_deliver_content_fd message;

    assert_true(wire_decode_deliver_content_fd(worker->channel, payload, &message));
    struct job *job = &world->jobs[world->job_count - 1];
    struct stat status;
    assert_int_equal(job->job, message.job);
    assert_int_equal(fstat(message.content_fd, &status), 0);
    job->content_len = (size_t)status.st_size;
    void *bytes = mmap(NULL, job->content_len, PROT_READ, MAP_PRIVATE, message.content_fd, 0);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    job->content_sum = sum(str_of(bytes, job->content_len));
    munmap(bytes, job->content_len);
    assert_int_equal(pwrite(message.content_fd, "x", 1, 0), -1); /* sealed */
    close(message.content_fd);
    if (world->on_job != NULL)
        world->on_job(world, job);
    return true;
}

static bool worker_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    (void)channel;
    return number == WIRE_deliver_job          ? on_deliver_job(owner, payload)
           : number == WIRE_deliver_content_fd ? on_content(owner, payload)
                                               : false;
}

static void worker_closed(void *owner, struct channel *channel, const char *reason)
{
    (void)channel, (void)reason;
    ((struct played_worker *)owner)->is_closed = true;
}

static const struct channel_events worker_events = { worker_received, worker_closed };

void world_connect_kind(struct world *world, enum transport_kind kind, int number)
{
    struct played_worker *worker = &world->workers[number];
    struct error error;

    channel_free(&worker->channel);
    *worker = (struct played_worker){ .world = world, .number = number };
    int fd = connect_pair(world, &worker->channel, &worker_events, worker);
    assert_true(workers_add(world->queue, kind, (uint32_t)number, fd, &error));
}

void world_connect_worker(struct world *world, int number)
{
    world_connect_kind(world, TRANSPORT_WORKER, number);
}

void job_result(struct world *world, struct job *job, uint32_t recipient,
                enum delivery_status status, const char *dsn, const char *text)
{
    wire_send_deliver_result(world->workers[job->worker].channel,
                             &(struct wire_deliver_result){
                                 .job = job->job,
                                 .recipient = recipient,
                                 .status = (uint8_t)status,
                                 .dsn = str_from(dsn),
                                 .diagnostic = str_from(text),
                                 .remote_mta = STR("mx.remote.example"),
                                 .smtp_reply = str_from(text),
                             });
}

void job_done(struct world *world, struct job *job, enum site_outcome site, const char *reason)
{
    job->is_done = true;
    wire_send_deliver_done(world->workers[job->worker].channel,
                           &(struct wire_deliver_done){ .job = job->job,
                                                        .site = (uint8_t)site,
                                                        .site_reason = str_from(reason) });
}

static void answer_all(struct world *world, struct job *job, enum delivery_status status,
                       const char *dsn, const char *text)
{
    for (uint32_t i = 0; i < job->recipient_count; i++)
        job_result(world, job, i, status, dsn, text);
    job_done(world, job, SITE_WORKED, "");
}

void deliver_all(struct world *world, struct job *job)
{
    answer_all(world, job, DELIVERY_SENT, "2.0.0", "250 2.0.0 Ok");
}

void defer_all(struct world *world, struct job *job)
{
    answer_all(world, job, DELIVERY_DEFERRED, "4.2.0", "450 4.2.0 later");
}

void bounce_all(struct world *world, struct job *job)
{
    answer_all(world, job, DELIVERY_BOUNCED, "5.1.1", "550 5.1.1 unknown user");
}

void fail_site(struct world *world, struct job *job)
{
    for (uint32_t i = 0; i < job->recipient_count; i++)
        job_result(world, job, i, DELIVERY_DEFERRED, "4.4.1", "connect: refused");
    job_done(world, job, SITE_FAILED, "connect to dead.example[192.0.2.9]:25: Connection refused");
}

struct job *find_job(struct world *world, uint64_t queue_id)
{
    for (size_t i = world->job_count; i > 0; i--)
        if (world->jobs[i - 1].queue_id == queue_id)
            return &world->jobs[i - 1];
    return NULL;
}

/* ---- the tool ---- */

static bool tool_received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct world *world = owner;
    struct wire_tool_message message;
    struct wire_tool_content content;
    struct wire_tool_done done;

    switch (number) {
    case WIRE_tool_message:
        assert_true(wire_decode_tool_message(channel, payload, &message));
        world->tool_queues[world->tool_message_count++ % 1024] = message.queue;
        buf_append(&world->tool_ids,
                   str_of((const char *)&message.queue_id, sizeof message.queue_id));
        return true;
    case WIRE_tool_changed:
        return true;
    case WIRE_tool_content:
        assert_true(wire_decode_tool_content(channel, payload, &content));
        world->tool_content_bytes += content.content.len;
        return true;
    case WIRE_tool_done:
        assert_true(wire_decode_tool_done(channel, payload, &done));
        world->is_tool_done = true;
        world->tool_status = done.status;
        world->tool_count = done.count;
        world->tool_released = done.released;
        return true;
    default:
        return false;
    }
}

static void tool_closed(void *owner, struct channel *channel, const char *reason)
{
    (void)channel, (void)reason;
    ((struct world *)owner)->is_tool_closed = true;
}

static const struct channel_events tool_events = { tool_received, tool_closed };

void world_connect_tool(struct world *world)
{
    channel_free(&world->tool);
    world->is_tool_closed = world->is_tool_done = false;
    world->tool_message_count = world->tool_content_bytes = 0;
    buf_clear(&world->tool_ids);
    tools_accept(world->queue, connect_pair(world, &world->tool, &tool_events, world));
}

bool is_tool_done(struct world *world)
{
    return world->is_tool_done;
}
