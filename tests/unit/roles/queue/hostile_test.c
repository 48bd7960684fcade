/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that were taken over: whatever they say, the queue goes on, and mail that is not theirs is
 * neither read, changed nor lost. */
#include "world.h"

#include "base/memory.h"

static const struct mail plain = { .sender = "a@b.example", .recipients = "x@far.example" };

static bool is_submitter_closed(struct world *world)
{
    return world->is_submitter_closed;
}

static bool has_job(struct world *world)
{
    return world->job_count > 0;
}

static void submit_raw(struct world *world, uint64_t transaction, uint64_t queue_id,
                       struct str envelope)
{
    wire_send_submit_message(world->submitter,
                             &(struct wire_submit_message){ .transaction = transaction,
                                                            .queue_id = queue_id,
                                                            .envelope = envelope,
                                                            .content = STR("x\r\n") });
}

/* Each breaks the rules in one way; the channel closes, nothing is stored. */
static void expect_closed(struct world *world)
{
    world_run(world, is_submitter_closed);
    assert_int_equal(store_message_count(world->store), 0);
    world_connect_submitter(world);
}

static void ids_that_were_not_leased_are_refused(void **state)
{
    struct world *world = *state;
    struct buf envelope = { 0 };

    world_envelope(&plain, &envelope);
    world_connect_submitter(world);
    uint64_t id = world_next_id(world);
    submit_raw(world, 1, id + 100000, buf_str(&envelope));
    expect_closed(world);
    id = world_next_id(world); /* another connection's is none of ours */
    world_connect_submitter(world);
    submit_raw(world, 1, id, buf_str(&envelope));
    expect_closed(world);
    buf_free(&envelope);
}

static void an_id_serves_one_message(void **state)
{
    struct world *world = *state;
    struct buf envelope = { 0 };

    world_envelope(&plain, &envelope);
    world_connect_submitter(world);
    uint64_t id = world_next_id(world);
    submit_raw(world, 1, id, buf_str(&envelope));
    submit_raw(world, 2, id, buf_str(&envelope));
    world_run(world, is_submitter_closed);
    world_run_ms(world, 50);
    assert_int_equal(store_message_count(world->store), 1);
    buf_free(&envelope);
}

static void envelopes_with_states_of_our_own_are_refused(void **state)
{
    struct world *world = *state;
    struct envelope envelope = { .arrival_us = 1 };
    struct arena arena = { 0 };
    struct buf bytes = { 0 };

    world_connect_submitter(world);
    for (int i = 0; i < 5; i++) {
        envelope = (struct envelope){ .arrival_us = i == 3 ? -1 : 1,
                                      .flags = i == 1   ? ENVELOPE_BOUNCE
                                               : i == 2 ? ENVELOPE_DELAY_WARNED
                                                        : 0 };
        if (i != 4)
            envelope_add_recipient(
                &arena, &envelope,
                &(struct recipient){ .address = STR("a@b"),
                                     .state = i == 0 ? RECIPIENT_DELIVERED : RECIPIENT_WAITING });
        buf_clear(&bytes);
        envelope_encode(&envelope, &bytes);
        submit_raw(world, 1, world_next_id(world), buf_str(&bytes));
        expect_closed(world);
    }
    static char huge[1000000];
    memset(huge, 'h', sizeof huge);
    envelope = (struct envelope){ .arrival_us = 1 };
    envelope_add_recipient(&arena, &envelope,
                           &(struct recipient){ .address = str_of(huge, sizeof huge) });
    buf_clear(&bytes);
    envelope_encode(&envelope, &bytes);
    submit_raw(world, 1, world_next_id(world), buf_str(&bytes));
    expect_closed(world);
    submit_raw(world, 1, world_next_id(world), STR("\xff\xff\xff\xff garbage"));
    expect_closed(world);
    buf_free(&bytes);
    arena_clear(&arena);
}

static void transactions_cannot_be_mixed_up(void **state)
{
    struct world *world = *state;
    struct buf envelope = { 0 };

    world_envelope(&plain, &envelope);
    world_connect_submitter(world);
    uint64_t first = world_next_id(world), second = world_next_id(world);
    wire_send_submit_chunk(
        world->submitter,
        &(struct wire_submit_chunk){ .transaction = 1, .queue_id = first, .content = STR("x") });
    submit_raw(world, 1, second, buf_str(&envelope));
    expect_closed(world);
    /* Two messages of one transaction. */
    first = world_next_id(world);
    second = world_next_id(world);
    submit_raw(world, 1, first, buf_str(&envelope));
    submit_raw(world, 1, second, buf_str(&envelope));
    world_run(world, is_submitter_closed);
    world_run_ms(world, 50);
    assert_int_equal(store_message_count(world->store), 1);
    buf_free(&envelope);
}

static void workers_report_only_their_own_deliveries(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world_submit(world, &plain);
    world_run(world, has_job);
    struct job theirs = world->jobs[0];
    for (int i = 0; i < 8; i++) {
        world_connect_worker(world, 1);
        struct job forged = theirs;
        forged.worker = 1;
        if (i >= 3) { /* one of its own, misreported */
            world_submit(world, &(struct mail){ .sender = "", .recipients = "y@other.example" });
            size_t jobs = world->job_count;
            for (int k = 0; k < 500 && world->job_count == jobs; k++)
                world_run_ms(world, 2);
            forged = world->jobs[world->job_count - 1];
        }
        switch (i) {
        case 0:
            job_result(world, &forged, 0, DELIVERY_SENT, "2.0.0", "stolen");
            break;
        case 1:
            job_done(world, &forged, SITE_WORKED, "");
            break;
        case 2:
            forged.job += 1ull << 32;
            job_done(world, &forged, SITE_WORKED, "");
            break;
        case 3:
            job_result(world, &forged, 1, DELIVERY_SENT, "2.0.0", "no such recipient");
            break;
        case 4:
            job_result(world, &forged, 0, 77, "2.0.0", "no such status");
            break;
        case 5:
            job_result(world, &forged, 0, DELIVERY_PASSED, "2.0.0", "local:no business of smtp");
            break;
        case 6:
            job_result(world, &forged, 0, DELIVERY_DEFERRED, "4.0.0", "twice");
            job_result(world, &forged, 0, DELIVERY_SENT, "2.0.0", "twice");
            break;
        default:
            job_done(world, &forged, 9, "no such outcome");
            break;
        }
        world_run_ms(world, 30);
        if (forged.worker == 1)
            assert_true(world->workers[1].is_closed);
        channel_free(&world->workers[0].channel);
        channel_free(&world->workers[1].channel);
        world_restart(world, NULL);
        world->on_job = deliver_all;
        world_connect_worker(world, 0);
        queue_flush(world->queue); /* a deferral may have counted */
        world_run(world, is_queue_empty);
        world->on_job = NULL;
        world->job_count = 0;
        world_submit(world, &plain);
        world_run(world, has_job);
        theirs = world->jobs[0];
    }
}

static void texts_of_results_are_bounded_and_checked(void **state)
{
    struct world *world = *state;
    static char text[300000];
    struct message *message;

    memset(text, 'x', sizeof text - 1);
    memcpy(text, "a\r\nb\x1b[2J\xff", 9);
    world_connect_worker(world, 0);
    uint64_t id = world_submit(world, &plain);
    world_run(world, has_job);
    job_result(world, &world->jobs[0], 0, DELIVERY_DEFERRED, "5.1.1\r\nX: y", text);
    world_run_ms(world, 20);
    message = active_find(world->queue, id);
    assert_non_null(message);
    assert_true(message->envelope.recipients[0].diagnostic.len <= 1000);
    assert_true(str_equal(message->envelope.recipients[0].dsn_status, STR("4.0.0")));
    job_done(world, &world->jobs[0], SITE_FAILED, text);
    world_run_ms(world, 50);
    assert_int_equal(active_count(world->queue), 0);
}

/* A generator that gives the same bytes each time. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void send_noise(struct channel *channel, uint32_t *seed)
{
    static const uint16_t numbers[] = {
        WIRE_submit_lease,
        WIRE_submit_chunk,
        WIRE_submit_message,
        WIRE_submit_abort,
        WIRE_submit_notice,
        WIRE_deliver_result,
        WIRE_deliver_notice,
        WIRE_deliver_done,
        WIRE_deliver_job,
        WIRE_tool_list,
        WIRE_tool_change,
        WIRE_tool_flush,
        WIRE_tool_show,
        WIRE_control_drain,
        0,
        65535,
    };
    size_t choice = next_random(seed) % (sizeof numbers / sizeof numbers[0]);
    struct buf *frame = channel_frame_start(channel, numbers[choice]);
    size_t len = next_random(seed) % 64;

    for (size_t i = 0; i < len; i++)
        buf_append_byte(frame, (char)(next_random(seed) % 4 == 0 ? next_random(seed) : 0));
    channel_frame_end(channel);
}

static void noise_on_every_channel_harms_nobody(void **state)
{
    struct world *world = *state;
    uint32_t seed = 7;
    uint64_t id;

    world->queue->options.owner_uid = 54321;
    id = world_submit(world, &plain);
    world_run(world, is_answered);
    for (int round = 0; round < 150; round++) {
        if (world->submitter == NULL || world->is_submitter_closed)
            world_connect_submitter(world);
        world_connect_worker(world, 1);
        world_connect_tool(world);
        send_noise(world->submitter, &seed);
        send_noise(world->workers[1].channel, &seed);
        if (getuid() != 0) /* root's tools may really delete */
            send_noise(world->tool, &seed);
        world_run_ms(world, 2);
    }
    channel_free(&world->workers[1].channel);
    assert_int_equal(store_scan_ids(world->store, 0, &id, 1), 1);
    world_restart(world, NULL);
    world->on_job = deliver_all;
    world_connect_worker(world, 0);
    queue_flush(world->queue); /* workers died over it: it may have been deferred */
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 1);
}

static void flood_of_content_is_held_back(void **state)
{
    struct world *world = *state;
    static char portion[100000];

    world_connect_submitter(world);
    memset(portion, 'y', sizeof portion);
    for (int i = 0; i < 400; i++) /* 40 MB at once */
        wire_send_submit_chunk(
            world->submitter,
            &(struct wire_submit_chunk){ .transaction = 1,
                                         .queue_id = i == 0 ? world_next_id(world)
                                                            : world->ids[world->id_next - 1],
                                         .content = str_of(portion, sizeof portion) });
    size_t most = 0;
    for (int i = 0; i < 3000 && channel_unsent_bytes(world->submitter) > 0; i++) {
        world_run_ms(world, 1);
        size_t waiting = committer_waiting_count(world->queue->committer) * STORE_CHUNK_BYTES;
        most = waiting > most ? waiting : most;
    }
    assert_int_equal(channel_unsent_bytes(world->submitter), 0);
    assert_true(most < 16 * 1024 * 1024);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(ids_that_were_not_leased_are_refused),
        WORLD_TEST(an_id_serves_one_message),
        WORLD_TEST(envelopes_with_states_of_our_own_are_refused),
        WORLD_TEST(transactions_cannot_be_mixed_up),
        WORLD_TEST(workers_report_only_their_own_deliveries),
        WORLD_TEST(texts_of_results_are_bounded_and_checked),
        WORLD_TEST(noise_on_every_channel_harms_nobody),
        WORLD_TEST(flood_of_content_is_held_back),
    };
    return cmocka_run_group_tests_name("roles/queue_hostile", tests, NULL, NULL);
}
