/* SPDX-License-Identifier: Apache-2.0 */
/* One message's life: in, out, later, back to its sender. */
#include "world.h"

#include "base/clock.h"

static const struct mail plain = { .sender = "from@client.example",
                                   .recipients = "to@far.example" };

static bool has_job(struct world *world)
{
    return world->job_count > 0;
}

static bool is_at_rest(struct world *world)
{
    return is_answered(world) && world->transactions > 0 && active_count(world->queue) == 0 &&
           committer_waiting_count(world->queue->committer) == 0;
}

static void accepted_mail_is_delivered_and_removed(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world->on_job = deliver_all;
    uint64_t id = world_submit(world, &plain);
    world_run(world, is_queue_empty);
    assert_int_equal(world->accepted_count, 1);
    assert_int_equal(world->job_count, 1);
    assert_int_equal(world->jobs[0].queue_id, id);
    assert_string_equal(world->jobs[0].transport, "smtp");
    assert_string_equal(world->jobs[0].nexthop, "far.example");
    assert_string_equal(world->jobs[0].recipients[0], "to@far.example");
    assert_int_equal(world->jobs[0].content_len, strlen("Subject: x\r\n\r\nbody\r\n"));
    assert_true(world_has_line(world, "postfix/qmgr: "));
    assert_true(
        world_has_line(world, "from=<from@client.example>, size=0, nrcpt=1 (queue active)"));
    assert_true(world_has_line(world, ": removed\n"));
}

static void recipients_go_to_their_destinations_in_batches(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world->on_job = deliver_all;
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "big.example",
                                        .recipient_count = 120 });
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "x@one.example y@two.example "
                                                      "z@one.example r@relayed.example" });
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 3 + 3);
    size_t recipients = 0;
    for (size_t i = 0; i < world->job_count; i++) {
        recipients += world->jobs[i].recipient_count;
        assert_true(world->jobs[i].recipient_count <= 50);
    }
    assert_int_equal(recipients, 124);
}

static void deferred_mail_is_tried_again_in_time(void **state)
{
    struct world *world = *state;
    int64_t due_ms;
    struct buf bytes = { 0 };
    struct error error;

    world_restart(world, "minimal_backoff_time = 1s\nmaximal_backoff_time = 4s\n");
    world_connect_worker(world, 0);
    world->on_job = defer_all;
    uint64_t id = world_submit(world, &plain);
    world_run(world, is_at_rest);
    assert_int_equal(store_read_envelope(world->store, id, &bytes, &due_ms, &error), STORE_OK);
    buf_free(&bytes);
    int64_t wait_ms = due_ms - clock_wall_ms();
    assert_in_range(wait_ms, 500, 1100); /* with its jitter */
    assert_int_equal(world->job_count, 1);
    world->on_job = deliver_all;
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 2);
}

static bool has_notice(struct world *world)
{
    return is_queue_empty(world) && world->job_count >= 2;
}

static void deliver_or_bounce(struct world *world, struct job *job)
{
    if (strstr(job->recipients[0], "far.example") != NULL)
        bounce_all(world, job);
    else
        deliver_all(world, job);
}

static void bounced_mail_comes_back_to_its_sender(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world->on_job = deliver_or_bounce;
    world_submit(world, &plain);
    world_run(world, has_notice);
    assert_int_equal(world->job_count, 2);
    assert_string_equal(world->jobs[1].recipients[0], "from@client.example");
    assert_string_equal(world->jobs[1].nexthop, "client.example");
    assert_true(world->jobs[1].content_len > 400);
    assert_true(world_has_line(world, "sender non-delivery notification: "));
    assert_true(world_has_line(world, "postfix/cleanup: "));
    assert_true(world_has_line(world, "from=<>, size="));
    assert_int_equal(world_count_lines(world, ": removed\n"), 2);
}

static void nobody_is_told_of_a_bounce_that_asks_for_silence(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world->on_job = bounce_all;
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "x@far.example",
                                        .dsn_notify = DSN_NOTIFY_NEVER });
    world_submit(world, &(struct mail){ .sender = "", .recipients = "x@far.example" });
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 2);
    assert_false(world_has_line(world, "notification"));
}

static void double_bounce_goes_to_the_postmaster_where_asked_for(void **state)
{
    struct world *world = *state;

    world_restart(world, "notify_classes = 2bounce\n"
                         "2bounce_notice_recipient = chief@far.example\n");
    world_connect_worker(world, 0);
    world->on_job = bounce_all;
    world_submit(world, &(struct mail){ .sender = "", .recipients = "x@far.example" });
    world_run(world, has_notice);
    assert_int_equal(world->job_count, 2);
    assert_string_equal(world->jobs[1].recipients[0], "chief@far.example");
    assert_true(world_has_line(world, "postmaster non-delivery notification: "));
    assert_true(world_has_line(world, "undeliverable postmaster notification discarded"));
}

static void old_mail_expires_after_a_failed_attempt(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world->on_job = defer_all;
    world_submit(world, &(struct mail){ .sender = "a@relayed.example",
                                        .recipients = "x@far.example",
                                        .age_s = 6 * 86400 });
    world_run(world, has_job);
    world_run_ms(world, 200);
    assert_int_equal(world->job_count, 2);
    assert_true(
        world_has_line(world, "from=<a@relayed.example>, status=expired, returned to sender"));
    assert_string_equal(world->jobs[1].recipients[0], "a@relayed.example");
    assert_string_equal(world->jobs[1].transport, "relay");
}

static void some_recipients_done_some_not(void **state)
{
    struct world *world = *state;

    world_restart(world, "minimal_backoff_time = 1s\n");
    world_connect_worker(world, 0);
    world->on_job = NULL;
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "x@far.example y@far.example" });
    world_run(world, has_job);
    job_result(world, &world->jobs[0], 0, DELIVERY_SENT, "2.0.0", "ok");
    job_result(world, &world->jobs[0], 1, DELIVERY_DEFERRED, "4.2.0", "later");
    job_done(world, &world->jobs[0], SITE_WORKED, "");
    world->on_job = deliver_all;
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 2);
    assert_int_equal(world->jobs[1].recipient_count, 1);
    assert_string_equal(world->jobs[1].recipients[0], "y@far.example");
}

static void transports_inside_the_queue(void **state)
{
    struct world *world = *state;

    world_restart(world, "default_transport = error:5.7.1 not here\n");
    world_submit(world, &(struct mail){ .sender = "", .recipients = "x@far.example" });
    world_run(world, is_queue_empty);
    assert_true(world_has_line(world, "postfix/error: "));
    assert_true(world_has_line(world, "dsn=5.7.1, status=bounced (not here)"));

    world_restart(world, "default_transport = discard:thrown away\n");
    world_submit(world, &(struct mail){ .sender = "", .recipients = "x@far.example" });
    world_run(world, is_queue_empty);
    assert_true(world_has_line(world, "status=sent (thrown away)"));

    world_restart(world, "default_transport = nowhere\n");
    world_submit(world, &(struct mail){ .sender = "", .recipients = "x@far.example" });
    world_run(world, is_at_rest);
    assert_true(world_has_line(world, "status=deferred (mail transport unavailable)"));
}

static void pass_to_smtp(struct world *world, struct job *job)
{
    if (strcmp(job->transport, "local") == 0) {
        job_result(world, job, 0, DELIVERY_PASSED, "2.0.0", "smtp:[inside.example]");
        job_done(world, job, SITE_UNTOUCHED, "");
    } else {
        assert_string_equal(job->nexthop, "[inside.example]");
        deliver_all(world, job);
    }
}

static void pass_round(struct world *world, struct job *job)
{
    job_result(world, job, 0, DELIVERY_PASSED, "2.0.0", "local:");
    job_done(world, job, SITE_UNTOUCHED, "");
}

static void local_mail_goes_to_its_own_worker_and_may_be_passed_on(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world->on_job = pass_to_smtp;
    world_submit(world, &(struct mail){ .sender = "a@b.example", .recipients = "u@localhost" });
    world_run(world, is_answered);
    world_run_ms(world, 50);
    assert_int_equal(world->job_count, 0); /* nobody for it: it waits */

    world_connect_kind(world, TRANSPORT_LOCAL, 1);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 2);
    assert_int_equal(world->jobs[0].worker, 1);
    assert_int_equal(world->jobs[1].worker, 0);

    world->on_job = pass_round;
    world_submit(world, &(struct mail){ .sender = "a@b.example", .recipients = "u@localhost" });
    world_run(world, is_at_rest);
    assert_true(world_has_line(world, "dsn=4.3.5, status=deferred (mail system configuration"));
}

static void large_mail_streams_in_and_goes_out_beside(void **state)
{
    enum { PORTION = 60000, COUNT = 200 };
    struct world *world = *state;
    struct buf envelope = { 0 }, content = { 0 };
    uint32_t expected = 0;

    world_connect_worker(world, 0);
    world->on_job = deliver_all;
    world_connect_submitter(world);
    uint64_t id = world_next_id(world);
    for (int i = 0; i < COUNT; i++) {
        buf_clear(&content);
        for (int k = 0; k < PORTION; k++)
            buf_append_byte(&content, (char)('a' + (i * 7 + k) % 26));
        for (size_t k = 0; k < content.len; k++)
            expected = expected * 31 + (unsigned char)content.ptr[k];
        wire_send_submit_chunk(
            world->submitter, &(struct wire_submit_chunk){
                                  .transaction = 1, .queue_id = id, .content = buf_str(&content) });
        world_run_ms(world, 1);
    }
    world_envelope(&plain, &envelope);
    /* content_bytes says nothing here: the queue must not rely on it */
    wire_send_submit_message(
        world->submitter, &(struct wire_submit_message){
                              .transaction = 1, .queue_id = id, .envelope = buf_str(&envelope) });
    world->transactions = 1;
    world_run(world, is_queue_empty);
    assert_int_equal(world->accepted_count, 1);
    assert_true(world->jobs[0].is_beside);
    assert_int_equal(world->jobs[0].content_len, PORTION * COUNT);
    assert_int_equal(world->jobs[0].content_sum, expected);
    buf_free(&envelope);
    buf_free(&content);
}

static void chunks_of_a_lost_submitter_are_dropped(void **state)
{
    struct world *world = *state;
    static char bytes[200000];
    uint64_t found;

    world_connect_submitter(world);
    memset(bytes, 'x', sizeof bytes);
    for (int i = 0; i < 3; i++) {
        uint64_t id = world_next_id(world);
        wire_send_submit_chunk(
            world->submitter,
            &(struct wire_submit_chunk){
                .transaction = id, .queue_id = id, .content = str_of(bytes, sizeof bytes) });
    }
    uint64_t id = world_next_id(world);
    wire_send_submit_chunk(world->submitter,
                           &(struct wire_submit_chunk){ .transaction = 9,
                                                        .queue_id = id,
                                                        .content = str_of(bytes, sizeof bytes) });
    wire_send_submit_abort(world->submitter, &(struct wire_submit_abort){ .transaction = 9 });
    world_run_ms(world, 20);
    channel_free(&world->submitter);
    world_run_ms(world, 100);
    assert_int_equal(store_scan_ids(world->store, 0, &found, 1), 0);
    assert_true(list_is_empty(&world->queue->intake.submitters));
    world_stop(world);
    world_start(world);
    assert_int_equal(store_verify(world->store, NULL, NULL), 0);
}

static void ids_never_repeat_over_restarts(void **state)
{
    struct world *world = *state;
    uint64_t last = 0;

    for (int i = 0; i < 4; i++) {
        world_connect_submitter(world);
        for (int k = 0; k < 150; k++) {
            uint64_t id = world_next_id(world);
            assert_true(id > last);
            last = id;
        }
        /* As if the clock had been far ahead. */
        if (i == 1)
            world->queue->lease.next += (uint64_t)86400 * 365 * 1000 << QUEUE_ID_COUNT_BITS;
        world_restart(world, NULL);
    }
}

static void backlog_is_delivered_after_a_restart(void **state)
{
    enum { COUNT = 500 };
    struct world *world = *state;

    world_restart(world, "qmgr_message_active_limit = 20\n");
    for (int i = 0; i < COUNT; i++)
        world_submit(world,
                     &(struct mail){ .sender = "a@b.example", .recipients = "x@far.example" });
    world_run(world, is_answered);
    assert_int_equal(world->accepted_count, COUNT);
    assert_true(active_count(world->queue) <= 20);
    world_restart(world, NULL);
    world->on_job = deliver_all;
    world_connect_worker(world, 0);
    world_connect_worker(world, 1);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, COUNT);
}

static void message_to_ten_thousand_recipients(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world_connect_worker(world, 1);
    world->on_job = deliver_all;
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "big.example",
                                        .recipient_count = 10000 });
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 200);
    assert_int_equal(world->queue->completion.delivered_total, 10000);
}

/* The committer's thread is done before the loop hears of it, and a scan of the schedule reads what
 * is in the store: it may take the message first. The report then comes like this. */
static void message_that_a_scan_has_taken_is_not_taken_again(void **state)
{
    struct world *world = *state;
    autofree_buf struct buf bytes = { 0 };
    struct message *reported;
    struct error error;
    int64_t due_ms;

    world_connect_worker(world, 0);
    world->on_job = NULL;
    uint64_t id = world_submit(world, &plain);
    world_run(world, has_job);
    assert_int_equal(store_read_envelope(world->store, id, &bytes, &due_ms, &error), STORE_OK);
    assert_true(message_new(world->queue, id, buf_str(&bytes), &reported, &error));
    queue_accept(reported);
    assert_int_equal(active_count(world->queue), 1);
    deliver_all(world, &world->jobs[0]);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 1);
}

static bool is_drained(struct world *world)
{
    return world->is_drained;
}

static void drain_waits_for_what_is_in_flight(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world->on_job = NULL;
    for (int i = 0; i < 30; i++)
        world_submit(world, &plain);
    world_run(world, is_answered);
    world_run(world, has_job);
    size_t in_flight = world->queue->scheduler.in_flight;
    assert_int_equal(in_flight, 5);
    queue_drain(world->queue);
    world_run_ms(world, 100);
    assert_false(world->is_drained);
    assert_int_equal(world->job_count, in_flight);
    for (size_t i = 0; i < in_flight; i++)
        deliver_all(world, &world->jobs[i]);
    world_run(world, is_drained);
    assert_int_equal(store_message_count(world->store), 30 - in_flight);
    world_restart(world, NULL);
    world->on_job = deliver_all;
    world_connect_worker(world, 0);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 30 - in_flight);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(accepted_mail_is_delivered_and_removed),
        WORLD_TEST(recipients_go_to_their_destinations_in_batches),
        WORLD_TEST(deferred_mail_is_tried_again_in_time),
        WORLD_TEST(bounced_mail_comes_back_to_its_sender),
        WORLD_TEST(nobody_is_told_of_a_bounce_that_asks_for_silence),
        WORLD_TEST(double_bounce_goes_to_the_postmaster_where_asked_for),
        WORLD_TEST(old_mail_expires_after_a_failed_attempt),
        WORLD_TEST(some_recipients_done_some_not),
        WORLD_TEST(transports_inside_the_queue),
        WORLD_TEST(local_mail_goes_to_its_own_worker_and_may_be_passed_on),
        WORLD_TEST(large_mail_streams_in_and_goes_out_beside),
        WORLD_TEST(chunks_of_a_lost_submitter_are_dropped),
        WORLD_TEST(ids_never_repeat_over_restarts),
        WORLD_TEST(backlog_is_delivered_after_a_restart),
        WORLD_TEST(message_to_ten_thousand_recipients),
        WORLD_TEST(message_that_a_scan_has_taken_is_not_taken_again),
        WORLD_TEST(drain_waits_for_what_is_in_flight),
    };
    return cmocka_run_group_tests_name("roles/queue", tests, NULL, NULL);
}
