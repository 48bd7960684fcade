/* SPDX-License-Identifier: Apache-2.0 */
/* Many messages at once: destinations, workers and disk space that fail, and those that do not. */
#include "world.h"

#include "base/clock.h"

#include <time.h>

static void submit_many(struct world *world, const char *recipient, int count)
{
    for (int i = 0; i < count; i++)
        world_submit(world, &(struct mail){ .sender = "a@b.example", .recipients = recipient });
}

static bool has_job(struct world *world)
{
    return world->job_count > 0;
}

static bool is_at_rest(struct world *world)
{
    return is_answered(world) && world->transactions > 0 && active_count(world->queue) == 0 &&
           committer_waiting_count(world->queue->committer) == 0;
}

static size_t count_jobs(const struct world *world, const char *nexthop)
{
    size_t count = 0;

    for (size_t i = 0; i < world->job_count; i++)
        count += strcmp(world->jobs[i].nexthop, nexthop) == 0;
    return count;
}

static void deliver_all_but_slow(struct world *world, struct job *job)
{
    if (strcmp(job->nexthop, "slow.example") != 0)
        deliver_all(world, job);
}

static bool is_fast_delivered(struct world *world)
{
    return count_jobs(world, "fast.example") == 200 && store_message_count(world->store) == 300 &&
           active_count(world->queue) == 300;
}

static void slow_destination_delays_no_other(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world->on_job = deliver_all_but_slow;
    submit_many(world, "x@slow.example", 300);
    submit_many(world, "x@fast.example", 200);
    world_run(world, is_fast_delivered);
    assert_int_equal(count_jobs(world, "slow.example"), 5); /* its initial window */
    world->on_job = deliver_all;
    for (size_t i = 0; i < world->job_count; i++)
        if (!world->jobs[i].is_done)
            deliver_all(world, &world->jobs[i]);
    world_run(world, is_queue_empty);
}

static void window_grows_with_success(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    submit_many(world, "x@far.example", 1000);
    world_run(world, is_answered);
    for (int round = 0; round < 40; round++) {
        world_run_ms(world, 2);
        for (size_t i = 0; i < world->job_count; i++)
            if (!world->jobs[i].is_done)
                deliver_all(world, &world->jobs[i]);
    }
    world_run_ms(world, 20);
    assert_int_equal(world->queue->scheduler.in_flight, 20); /* destination_concurrency_limit */
    world->on_job = deliver_all;
    for (size_t i = 0; i < world->job_count; i++)
        if (!world->jobs[i].is_done)
            deliver_all(world, &world->jobs[i]);
    world_run(world, is_queue_empty);
}

static void process_limit_bounds_a_transport(void **state)
{
    struct world *world = *state;

    world_restart(world, "default_transport = narrow\n");
    world_connect_worker(world, 0);
    submit_many(world, "x@one.example", 5);
    submit_many(world, "x@two.example", 5);
    submit_many(world, "x@three.example", 5);
    world_run(world, has_job);
    world_run_ms(world, 50);
    assert_int_equal(world->job_count, 2);
    world->on_job = deliver_all;
    deliver_all(world, &world->jobs[0]);
    deliver_all(world, &world->jobs[1]);
    world_run(world, is_queue_empty);
}

static void transport_with_one_recipient_has_a_destination_for_each(void **state)
{
    struct world *world = *state;

    world_restart(world, "default_transport = single\nsingle_destination_concurrency_limit = 1\n");
    world_connect_worker(world, 0);
    world_submit(world,
                 &(struct mail){ .sender = "a@b.example",
                                 .recipients = "x@far.example y@far.example x@far.example" });
    world_run(world, has_job);
    world_run_ms(world, 50);
    assert_int_equal(world->job_count, 2); /* x and y; the second x waits for the first */
    world->on_job = deliver_all;
    deliver_all(world, &world->jobs[0]);
    deliver_all(world, &world->jobs[1]);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 3);
}

static void dead_destination_defers_what_waits_for_it(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world->on_job = fail_site;
    submit_many(world, "x@dead.example", 600);
    submit_many(world, "x@dead.example", 1);
    world_run(world, is_at_rest);
    assert_true(world->job_count <= 5);
    assert_true(world_count_lines(world, "status=deferred (delivery temporarily suspended: "
                                         "connect to dead.example[192.0.2.9]:25: "
                                         "Connection refused)") >= 596);
    assert_true(world_has_line(world, "dsn=4.4.1, status=deferred"));
    assert_int_equal(store_message_count(world->store), 601);
    /* postqueue -f tries again. */
    world->on_job = deliver_all;
    queue_flush(world->queue);
    world_run(world, is_queue_empty);
}

static void lost_worker_gives_its_deliveries_to_others(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    submit_many(world, "x@far.example", 5);
    world_run(world, is_answered);
    world_run(world, has_job);
    world_run_ms(world, 20);
    assert_int_equal(world->job_count, 5);
    world->on_job = deliver_all;
    world_connect_worker(world, 1);
    channel_free(&world->workers[0].channel);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 10);
    assert_true(world_has_line(world, "lost delivery worker 0"));
}

static bool is_first_deferred(struct world *world)
{
    return world->queue->completion.deferred_total > 0 && is_at_rest(world);
}

static void delivery_that_kills_workers_is_deferred(void **state)
{
    struct world *world = *state;

    submit_many(world, "x@far.example", 1);
    for (int i = 0; i < 2; i++) {
        world_connect_worker(world, i);
        size_t jobs = world->job_count;
        while (world->job_count == jobs)
            world_run_ms(world, 5);
        channel_free(&world->workers[i].channel);
    }
    world_run(world, is_first_deferred);
    assert_int_equal(store_message_count(world->store), 1);
}

/* Reloads in a row: each worker ends before it has read what was sent to it. */
static void workers_that_leave_in_order_are_no_loss(void **state)
{
    struct world *world = *state;

    submit_many(world, "x@far.example", 1);
    for (int i = 0; i < 6; i++) {
        world_connect_worker(world, i % WORKERS);
        size_t jobs = world->job_count;
        while (world->job_count == jobs)
            world_run_ms(world, 5);
        wire_send_deliver_leaving(world->workers[i % WORKERS].channel,
                                  &(struct wire_deliver_leaving){ .job_count = 0 });
        channel_flush(world->workers[i % WORKERS].channel);
        channel_free(&world->workers[i % WORKERS].channel);
    }
    world->on_job = deliver_all;
    world_connect_worker(world, 0);
    world_run(world, is_queue_empty);
    assert_false(world_has_line(world, "lost delivery worker"));
}

static void results_before_a_loss_count(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "x@far.example y@far.example" });
    world_run(world, has_job);
    job_result(world, &world->jobs[0], 1, DELIVERY_SENT, "2.0.0", "ok");
    world_run_ms(world, 20);
    channel_free(&world->workers[0].channel);
    world->on_job = deliver_all;
    world_connect_worker(world, 0);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 2);
    assert_int_equal(world->jobs[1].recipient_count, 1);
    assert_string_equal(world->jobs[1].recipients[0], "x@far.example");
}

static void results_are_written_while_others_are_open(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    uint64_t id =
        world_submit(world, &(struct mail){ .sender = "a@b.example",
                                            .recipients = "x@one.example y@two.example" });
    world_run(world, has_job);
    world_run_ms(world, 20);
    assert_int_equal(world->job_count, 2);
    deliver_all(world, &world->jobs[0]);
    world_run_ms(world, 150);
    world_restart(world, NULL); /* the other delivery is lost */
    world->on_job = deliver_all;
    world_connect_worker(world, 0);
    world->answer_count = world->transactions = 0;
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 1);
    assert_int_equal(world->jobs[0].queue_id, id);
    assert_int_equal(world->jobs[0].recipient_count, 1);
}

static void undone_deliveries_begin_again(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    submit_many(world, "x@far.example", 1);
    world_run(world, has_job);
    job_result(world, &world->jobs[0], 0, DELIVERY_UNDONE, "", "");
    job_done(world, &world->jobs[0], SITE_UNTOUCHED, "");
    world->on_job = deliver_all;
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 2);
}

static void destination_stays_with_its_worker(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < WORKERS; i++)
        world_connect_worker(world, i);
    world->on_job = deliver_all;
    for (int i = 0; i < 40; i++) {
        submit_many(world, "x@far.example", 1);
        world_run(world, is_queue_empty);
    }
    for (size_t i = 1; i < world->job_count; i++)
        assert_int_equal(world->jobs[i].worker, world->jobs[0].worker);
}

static void replaced_worker_finishes_and_gets_nothing_new(void **state)
{
    struct world *world = *state;
    struct channel *old;

    world_connect_worker(world, 0);
    submit_many(world, "x@far.example", 1);
    world_run(world, has_job);
    old = world->workers[0].channel;
    world->workers[0].channel = NULL;
    struct job first = world->jobs[0];
    world_connect_worker(world, 0);
    world->on_job = deliver_all;
    submit_many(world, "y@far.example", 3);
    world_run_ms(world, 50);
    assert_int_equal(world->job_count, 4);
    assert_int_equal(store_message_count(world->store), 1);
    struct channel *young = world->workers[0].channel;
    world->workers[0].channel = old;
    deliver_all(world, &first);
    world_run(world, is_queue_empty);
    world->workers[0].channel = young;
    channel_free(&old);
    world_run_ms(world, 20);
    assert_int_equal(world->queue->workers.count, 1);
}

static void gate_closes_when_the_disk_is_low(void **state)
{
    struct world *world = *state;

    world_connect_submitter(world);
    world_run_ms(world, 10);
    assert_true(world->is_gate_open);
    uint64_t id = world_next_id(world);
    intake_set_gate(world->queue, false);
    world_run_ms(world, 10);
    assert_false(world->is_gate_open);
    struct buf envelope = { 0 };
    world_envelope(&(struct mail){ .sender = "", .recipients = "x@y.example" }, &envelope);
    wire_send_submit_message(world->submitter,
                             &(struct wire_submit_message){ .transaction = ++world->transactions,
                                                            .queue_id = id,
                                                            .envelope = buf_str(&envelope) });
    buf_free(&envelope);
    world_run(world, is_answered);
    assert_int_equal(world->answers[0].code, 452);
    assert_int_equal(store_message_count(world->store), 0);
    intake_set_gate(world->queue, true);
    world_run_ms(world, 10);
    assert_true(world->is_gate_open);
}

static void gate_follows_queue_minfree(void **state)
{
    struct world *world = *state;

    world_restart(world, "queue_minfree = 9000000000000000\n");
    world_connect_submitter(world);
    world_run_ms(world, 10);
    assert_false(world->is_gate_open);
}

/* As SIGHUP with these lines added to main.cf. */
static void reload_with(struct world *world, const char *lines)
{
    struct error error;
    struct config_source source = { 0 };
    char path[128];

    snprintf(path, sizeof path, "%s/main.cf", world->folder);
    FILE *file = fopen(path, "a");
    fputs(lines, file);
    fclose(file);
    assert_true(config_source_read(world->folder, NULL, NULL, &source, &error));
    struct config *config = config_new(&source, NULL, NULL, NULL, &error);
    assert_non_null(config);
    struct settings *settings =
        settings_new(&source, config, &(struct settings_surroundings){ .log = world->log }, &error);
    assert_non_null(settings);
    queue_reload(world->queue, settings);
    config_free(&world->config);
    config_source_free(&world->source);
    world->config = config;
    world->source = source;
    world->queue->settings->config = world->config;
    world->queue->settings->source = &world->source;
}

static void reload_changes_limits_in_place(void **state)
{
    struct world *world = *state;

    world_connect_worker(world, 0);
    submit_many(world, "x@far.example", 50);
    world_run(world, has_job);
    world_run_ms(world, 20);
    assert_int_equal(world->job_count, 5);
    reload_with(world, "default_destination_concurrency_limit = 1\nrelayhost = [hub.example]\n");
    submit_many(world, "y@other.example", 3);
    world_run(world, is_answered);
    world_run_ms(world, 20);
    assert_int_equal(count_jobs(world, "[hub.example]"), 1);
    deliver_all(world, &world->jobs[0]); /* four are left: more than the new limit */
    world_run_ms(world, 20);
    assert_int_equal(count_jobs(world, "far.example"), 5);
    world->on_job = deliver_all;
    for (size_t i = 0; i < world->job_count; i++)
        if (!world->jobs[i].is_done)
            deliver_all(world, &world->jobs[i]);
    world_run(world, is_queue_empty);
}

static void pause_of_a_destination_goes_on_over_a_reload(void **state)
{
    struct world *world = *state;

    world_restart(world, "default_destination_rate_delay = 1\n");
    world_connect_worker(world, 0);
    world->on_job = deliver_all;
    submit_many(world, "x@far.example", 1);
    world_run(world, is_queue_empty);
    int64_t end_ms = clock_monotonic_ms();
    reload_with(world, "initial_destination_concurrency = 9\n");
    submit_many(world, "x@far.example", 2);
    world_run_ms(world, 300);
    assert_int_equal(world->job_count, 1);
    reload_with(world, "default_destination_rate_delay = 2\n");
    while (world->job_count < 2)
        world_run_ms(world, 5);
    assert_true(clock_monotonic_ms() - end_ms >= 1950); /* from the end, by the new delay */
    reload_with(world, "default_destination_rate_delay = 0\n");
    world_run(world, is_queue_empty);
    assert_int_equal(map_count(world->queue->scheduler.destinations), 0);
}

static void destination_is_forgotten_after_its_pause(void **state)
{
    struct world *world = *state;

    world_restart(world, "default_destination_rate_delay = 1\n");
    world_connect_worker(world, 0);
    world->on_job = deliver_all;
    submit_many(world, "x@far.example", 1);
    world_run(world, is_queue_empty);
    assert_int_equal(map_count(world->queue->scheduler.destinations), 1);
    world_run_ms(world, 1200);
    assert_int_equal(map_count(world->queue->scheduler.destinations), 0);
}

static void rated_destination_defers_what_waits_and_lives_on(void **state)
{
    struct world *world = *state;

    world_restart(world, "default_destination_rate_delay = 1\n");
    world_connect_worker(world, 0);
    submit_many(world, "x@far.example", 400);
    world_run(world, is_answered);
    world_run(world, has_job);
    fail_site(world, &world->jobs[0]);
    world_run(world, is_at_rest);
    assert_int_equal(world->job_count, 1);
    assert_int_equal(world_count_lines(world, "delivery temporarily suspended"), 399);
    world->on_job = deliver_all;
    submit_many(world, "y@far.example", 1);
    world_run(world, is_at_rest);
    assert_int_equal(world->job_count, 2);
    assert_int_equal(store_message_count(world->store), 400);
}

static void pause_of_a_transport_counts_over_its_destinations(void **state)
{
    struct world *world = *state;
    int64_t start_ms = clock_monotonic_ms();

    world_restart(world, "default_transport_rate_delay = 1\n");
    world_connect_worker(world, 0);
    world->on_job = deliver_all;
    submit_many(world, "x@one.example", 1);
    submit_many(world, "x@two.example", 1);
    submit_many(world, "x@three.example", 1);
    world_run(world, is_queue_empty);
    assert_true(clock_monotonic_ms() - start_ms >= 2000);
}

static void deferred_transport_is_used_for_flushed_mail_alone(void **state)
{
    struct world *world = *state;

    world_restart(world, "defer_transports = smtp\n");
    world_connect_worker(world, 0);
    world->on_job = deliver_all;
    submit_many(world, "x@far.example", 3);
    world_run(world, is_at_rest);
    assert_int_equal(world->job_count, 0);
    assert_int_equal(world_count_lines(world, "status=deferred (deferred transport)"), 3);
    queue_flush(world->queue);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 3);
}

/* The position of the first job for that host. */
static size_t find_nexthop(const struct world *world, const char *nexthop)
{
    size_t i = 0;

    while (i < world->job_count && strcmp(world->jobs[i].nexthop, nexthop) != 0)
        i++;
    return i;
}

static void small_mail_overtakes_a_mailing_within_its_destination(void **state)
{
    struct world *world = *state;

    world_restart(world, "default_destination_concurrency_limit = 1\n"
                         "default_destination_recipient_limit = 2\n");
    world_connect_worker(world, 0);
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "far.example",
                                        .recipient_count = 1000 });
    world_run(world, has_job);
    uint64_t first = world_submit(
        world, &(struct mail){ .sender = "a@b.example", .recipients = "x@far.example" });
    uint64_t second = world_submit(
        world, &(struct mail){ .sender = "a@b.example", .recipients = "y@far.example" });
    world_run(world, is_answered);
    world->on_job = deliver_all;
    deliver_all(world, &world->jobs[0]);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 502);
    assert_true(find_job(world, first) - world->jobs <= 2);
    assert_true(find_job(world, second) - world->jobs <= 4);
    assert_true(find_job(world, second) > find_job(world, first));
}

/* Its destination has the first turn among thousands that wait for the same transport. */
static void small_mail_overtakes_a_mailing_to_many_destinations(void **state)
{
    struct world *world = *state;
    struct buf recipients = { 0 };

    world_restart(world, "default_transport = narrow\n");
    world_connect_worker(world, 0);
    for (int i = 0; i < 500; i++)
        buf_printf(&recipients, "x@host%d.example ", i);
    world_submit(world,
                 &(struct mail){ .sender = "a@b.example", .recipients = buf_text(&recipients) });
    buf_free(&recipients);
    world_run(world, has_job);
    submit_many(world, "x@small.example", 1);
    world_run(world, is_answered);
    world->on_job = deliver_all;
    deliver_all(world, &world->jobs[0]);
    deliver_all(world, &world->jobs[1]);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 501);
    assert_true(find_nexthop(world, "small.example") <= 4);
}

static void slot_cost_of_zero_keeps_the_order_of_arrival(void **state)
{
    struct world *world = *state;

    world_restart(world,
                  "default_destination_concurrency_limit = 1\ndefault_delivery_slot_cost = 0\n"
                  "default_destination_recipient_limit = 2\n");
    world_connect_worker(world, 0);
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "far.example",
                                        .recipient_count = 100 });
    uint64_t last = world_submit(
        world, &(struct mail){ .sender = "a@b.example", .recipients = "x@far.example" });
    world->on_job = deliver_all;
    world_run(world, is_queue_empty);
    assert_int_equal(find_job(world, last) - world->jobs, 50);
}

static bool is_fast_gone(struct world *world)
{
    return count_jobs(world, "fast.example") == 100 && store_message_count(world->store) == 2000;
}

/* The active table has room for fewer messages than wait for the slow destination. */
static void destination_that_hangs_does_not_fill_the_active_table(void **state)
{
    struct world *world = *state;

    world_restart(world, "qmgr_message_active_limit = 400\n");
    world_connect_worker(world, 0);
    world->on_job = deliver_all_but_slow;
    submit_many(world, "x@slow.example", 2000);
    world_run(world, is_answered);
    assert_true(active_count(world->queue) < 100);
    assert_true(map_count(world->queue->scheduler.parked) > 1900);
    submit_many(world, "x@fast.example", 100);
    world_run(world, is_fast_gone);
    world->on_job = deliver_all;
    for (size_t i = 0; i < world->job_count; i++)
        if (!world->jobs[i].is_done)
            deliver_all(world, &world->jobs[i]);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 2100);
    assert_int_equal(map_count(world->queue->scheduler.parked), 0);
    assert_int_equal(map_count(world->queue->scheduler.destinations), 0);
}

static void messages_kept_back_are_delivered_after_a_restart(void **state)
{
    struct world *world = *state;

    world_restart(world, "qmgr_message_active_limit = 400\n");
    world_connect_worker(world, 0);
    submit_many(world, "x@slow.example", 300);
    world_run(world, is_answered);
    assert_true(map_count(world->queue->scheduler.parked) > 200);
    world_restart(world, NULL);
    world->on_job = deliver_all;
    world->answer_count = world->transactions = 0;
    world_connect_worker(world, 0);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 300);
}

static void dead_destination_defers_what_is_kept_back_too(void **state)
{
    struct world *world = *state;

    world_restart(world, "qmgr_message_active_limit = 400\n");
    world_connect_worker(world, 0);
    submit_many(world, "x@slow.example", 300);
    world_run(world, is_answered);
    for (size_t i = 0; i < 5; i++)
        fail_site(world, &world->jobs[i]);
    world_run(world, is_at_rest);
    assert_int_equal(world->queue->completion.deferred_total, 300);
    assert_int_equal(map_count(world->queue->scheduler.parked), 0);
}

static bool has_sixth_job(struct world *world)
{
    return world->job_count >= 6;
}

static void operator_gets_a_message_tried_that_is_kept_back(void **state)
{
    struct world *world = *state;
    uint64_t last;

    world_restart(world, "qmgr_message_active_limit = 400\n");
    world_connect_worker(world, 0);
    submit_many(world, "x@slow.example", 300);
    last = world_submit(world, &(struct mail){ .sender = "a@b.example",
                                               .recipients = "x@slow.example y@slow.example" });
    world_run(world, is_answered);
    assert_true(parking_has(world->queue, last));
    assert_true(backlog_take(world->queue, last));
    assert_false(parking_has(world->queue, last));
    assert_non_null(active_find(world->queue, last));
    deliver_all(world, &world->jobs[0]);
    world_run(world, has_sixth_job);
    world->on_job = deliver_all;
    for (size_t i = 0; i < world->job_count; i++)
        if (!world->jobs[i].is_done)
            deliver_all(world, &world->jobs[i]);
    world_run(world, is_queue_empty);
    assert_int_equal(world->job_count, 301);
}

static bool has_settled(struct world *world)
{
    return is_answered(world) && committer_waiting_count(world->queue->committer) == 0;
}

static void mailings_wait_for_their_like_alone(void **state)
{
    struct world *world = *state;

    world_restart(world, "qmgr_message_recipient_limit = 100\n"
                         "default_destination_concurrency_limit = 1\n");
    world_connect_worker(world, 0);
    for (int i = 0; i < 3; i++)
        world_submit(world, &(struct mail){ .sender = "a@b.example",
                                            .recipients = "huge.example",
                                            .recipient_count = 3000 });
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "middle.example",
                                        .recipient_count = 60 });
    submit_many(world, "x@small.example", 5);
    world_run(world, has_settled);
    world_run_ms(world, 50);
    assert_int_equal(active_count(world->queue), 1 + 1 + 5);
    assert_int_equal(count_jobs(world, "middle.example"), 1);
    assert_int_equal(map_count(world->queue->scheduler.parked), 2);
    world->on_job = deliver_all;
    for (size_t i = 0; i < world->job_count; i++)
        if (!world->jobs[i].is_done)
            deliver_all(world, &world->jobs[i]);
    world_run(world, is_queue_empty);
    assert_int_equal(count_jobs(world, "huge.example"), 180);
    assert_int_equal(map_count(world->queue->scheduler.parked), 0);
    for (size_t i = 0; i < LANE_COUNT; i++)
        assert_int_equal(world->queue->active.budget.used[i], 0);
}

/* Not a benchmark, but a bound that an accidental walk over everything would break. */
static void cost_of_a_message_does_not_grow_with_the_queue(void **state)
{
    enum { COUNT = 15000 };
    struct world *world = *state;

    world_connect_worker(world, 0);
    world_connect_worker(world, 1);
    submit_many(world, "x@slow.example", 4000); /* stays active */
    world_run(world, is_answered);
    world->on_job = deliver_all_but_slow;
    clock_t before = clock();
    submit_many(world, "x@fast.example", COUNT);
    world_run(world, is_answered);
    while (world->queue->completion.delivered_total < COUNT)
        world_run_ms(world, 20);
    double us = (double)(clock() - before) * 1e6 / CLOCKS_PER_SEC / COUNT;
    print_message("CPU for each message, with the store and both peers: %.1f us\n", us);
    assert_true(us < 2000);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(slow_destination_delays_no_other),
        WORLD_TEST(window_grows_with_success),
        WORLD_TEST(process_limit_bounds_a_transport),
        WORLD_TEST(transport_with_one_recipient_has_a_destination_for_each),
        WORLD_TEST(dead_destination_defers_what_waits_for_it),
        WORLD_TEST(lost_worker_gives_its_deliveries_to_others),
        WORLD_TEST(delivery_that_kills_workers_is_deferred),
        WORLD_TEST(workers_that_leave_in_order_are_no_loss),
        WORLD_TEST(results_before_a_loss_count),
        WORLD_TEST(results_are_written_while_others_are_open),
        WORLD_TEST(undone_deliveries_begin_again),
        WORLD_TEST(destination_stays_with_its_worker),
        WORLD_TEST(replaced_worker_finishes_and_gets_nothing_new),
        WORLD_TEST(gate_closes_when_the_disk_is_low),
        WORLD_TEST(gate_follows_queue_minfree),
        WORLD_TEST(reload_changes_limits_in_place),
        WORLD_TEST(pause_of_a_destination_goes_on_over_a_reload),
        WORLD_TEST(destination_is_forgotten_after_its_pause),
        WORLD_TEST(rated_destination_defers_what_waits_and_lives_on),
        WORLD_TEST(pause_of_a_transport_counts_over_its_destinations),
        WORLD_TEST(deferred_transport_is_used_for_flushed_mail_alone),
        WORLD_TEST(small_mail_overtakes_a_mailing_within_its_destination),
        WORLD_TEST(small_mail_overtakes_a_mailing_to_many_destinations),
        WORLD_TEST(slot_cost_of_zero_keeps_the_order_of_arrival),
        WORLD_TEST(destination_that_hangs_does_not_fill_the_active_table),
        WORLD_TEST(messages_kept_back_are_delivered_after_a_restart),
        WORLD_TEST(dead_destination_defers_what_is_kept_back_too),
        WORLD_TEST(operator_gets_a_message_tried_that_is_kept_back),
        WORLD_TEST(mailings_wait_for_their_like_alone),
        WORLD_TEST(cost_of_a_message_does_not_grow_with_the_queue),
    };
    return cmocka_run_group_tests_name("roles/queue_scheduler", tests, NULL, NULL);
}
