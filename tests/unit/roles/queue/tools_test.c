/* SPDX-License-Identifier: Apache-2.0 */
/* mailq, postqueue and postsuper, while mail flows. */
#include "world.h"

#include "mail/queue_format.h"
#include "mail/queue_id_list.h"
#include "store/queue_tool.h"

#include <sysexits.h>

static bool has_job(struct world *world)
{
    return world->job_count > 0;
}

static bool is_at_rest(struct world *world)
{
    return is_answered(world) && world->transactions > 0 && active_count(world->queue) == 0 &&
           committer_waiting_count(world->queue->committer) == 0;
}

static void defer_some(struct world *world, int count)
{
    if (world->workers[0].channel == NULL)
        world_connect_worker(world, 0);
    world->on_job = defer_all;
    for (int i = 0; i < count; i++)
        world_submit(world,
                     &(struct mail){ .sender = "a@b.example", .recipients = "x@far.example" });
    world_run(world, is_at_rest);
}

/* As who the queue takes the test for. */
static void become(struct world *world, bool is_owner)
{
    world->queue->options.owner_uid = is_owner ? getuid() : 54321;
}

static void ask_list(struct world *world, const char *queue)
{
    world_connect_tool(world);
    wire_send_tool_list(world->tool, &(struct wire_tool_list){ .queue = str_from(queue) });
    world_run(world, is_tool_done);
}

static void ask_change(struct world *world, enum queue_tool_action action, const char *id,
                       const char *queue)
{
    autofree_buf struct buf ids = { 0 };
    uint64_t queue_id;
    bool is_all = strcmp(id, "ALL") == 0;

    if (!is_all && queue_id_parse(str_from(id), &queue_id))
        queue_id_list_add(&ids, queue_id);
    world_connect_tool(world);
    wire_send_tool_change(world->tool, &(struct wire_tool_change){ .action = (uint8_t)action,
                                                                   .is_all = is_all,
                                                                   .ids = buf_str(&ids),
                                                                   .queue = str_from(queue) });
    world_run(world, is_tool_done);
}

static void ask_delete(struct world *world, const char *id, const char *queue)
{
    ask_change(world, QUEUE_TOOL_DELETE, id, queue);
}

static void ask_hold(struct world *world, const char *id, bool is_release)
{
    ask_change(world, is_release ? QUEUE_TOOL_RELEASE : QUEUE_TOOL_HOLD, id, "");
}

static void lists_all_or_one_queue(void **state)
{
    struct world *world = *state;

    defer_some(world, 150);
    ask_list(world, "");
    assert_int_equal(world->tool_status, EX_OK);
    assert_int_equal(world->tool_message_count, 150);
    assert_int_equal(world->tool_count, 150);
    assert_int_equal(world->tool_queues[0], QUEUE_DEFERRED);
    ask_list(world, "active incoming hold");
    assert_int_equal(world->tool_message_count, 0);
    world->on_job = NULL;
    uint64_t id =
        world_submit(world, &(struct mail){ .sender = "", .recipients = "y@other.example" });
    world_run(world, is_answered);
    ask_list(world, "active");
    assert_int_equal(world->tool_message_count, 1);
    assert_memory_equal(world->tool_ids.ptr, &id, sizeof id);
    ask_list(world, "nonsense");
    assert_int_equal(world->tool_status, EX_DATAERR);
}

static void deletes_one_or_all(void **state)
{
    struct world *world = *state;
    uint64_t id;

    become(world, true);
    defer_some(world, 200);
    assert_int_equal(store_scan_ids(world->store, 0, &id, 1), 1);
    ask_delete(world, queue_id_format(id, false).text, "");
    assert_int_equal(world->tool_count, 1);
    assert_int_equal(store_message_count(world->store), 199);
    ask_delete(world, queue_id_format(id, false).text, "");
    assert_int_equal(world->tool_count, 0);
    assert_int_equal(world->tool_status, EX_OK);
    ask_delete(world, "ALL", "hold");
    assert_int_equal(world->tool_count, 0);
    ask_delete(world, "ALL", "deferred");
    assert_int_equal(world->tool_count, 199);
    assert_int_equal(store_message_count(world->store), 0);
}

static bool has_two_jobs(struct world *world)
{
    return world->job_count == 2;
}

static bool has_jobs_again(struct world *world)
{
    return world->job_count >= 3;
}

static void flush_one(struct world *world, const char *id)
{
    world_connect_tool(world);
    wire_send_tool_flush(world->tool, &(struct wire_tool_flush){ .id = str_from(id) });
    world_run(world, is_tool_done);
}

static void flush_all(struct world *world, const char *id)
{
    (void)id;
    world_connect_tool(world);
    wire_send_tool_flush(world->tool, &(struct wire_tool_flush){ .id = STR("") });
    world_run(world, is_tool_done);
    world_run_ms(world, 20); /* it goes through the queue in portions */
}

static void retry_one(struct world *world, const char *id)
{
    become(world, true);
    ask_change(world, QUEUE_TOOL_RETRY, id, "");
}

/* What the list shows of an attempt may be there while others of the message are open. `ask` is how
 * an operator asks for another. */
static void try_active_again(struct world *world, void (*ask)(struct world *world, const char *id))
{
    struct queue_id_text id;

    world_connect_worker(world, 0);
    id = queue_id_format(
        world_submit(world, &(struct mail){ .sender = "a@b.example",
                                            .recipients = "x@far.example y@near.example" }),
        false);
    world_run(world, has_two_jobs);
    defer_all(world, &world->jobs[0]);
    world_run_ms(world, 50);
    ask(world, id.text);
    world->on_job = deliver_all;
    deliver_all(world, &world->jobs[1]);
    world_run(world, has_jobs_again);
    world_run(world, is_queue_empty);
    assert_string_equal(world->jobs[2].nexthop, world->jobs[0].nexthop);
}

static void an_active_message_is_tried_again_when_it_is_flushed(void **state)
{
    try_active_again(*state, flush_one);
}

static void an_active_message_is_tried_again_when_all_are_flushed(void **state)
{
    try_active_again(*state, flush_all);
}

static void an_active_message_is_tried_again_when_that_is_asked(void **state)
{
    try_active_again(*state, retry_one);
}

static void refuses_malformed_changes(void **state)
{
    struct world *world = *state;

    become(world, true);
    defer_some(world, 2);
    world_connect_tool(world);
    wire_send_tool_change(world->tool, &(struct wire_tool_change){ .ids = STR("seven b") });
    world_run(world, is_tool_done);
    assert_int_equal(world->tool_status, EX_PROTOCOL);
    ask_change(world, QUEUE_TOOL_ACTION_COUNT, "ALL", "");
    assert_int_equal(world->tool_status, EX_PROTOCOL);
    ask_delete(world, "ALL", "nonsense");
    assert_int_equal(world->tool_status, EX_DATAERR);
    ask_delete(world, "", ""); /* no id at all is none, not all */
    assert_int_equal(world->tool_count, 0);
    assert_int_equal(store_message_count(world->store), 2);
}

static void others_may_list_and_flush_only(void **state)
{
    struct world *world = *state;

    if (getuid() == 0)
        return; /* the superuser may everything */
    become(world, false);
    defer_some(world, 1);
    ask_delete(world, "ALL", "");
    assert_int_equal(world->tool_status, EX_NOPERM);
    ask_hold(world, "ALL", false);
    assert_int_equal(world->tool_status, EX_NOPERM);
    ask_list(world, "");
    assert_int_equal(world->tool_status, EX_OK);
    assert_int_equal(store_message_count(world->store), 1);
}

static bool is_quiet(struct world *world)
{
    return active_count(world->queue) == 0 && world->queue->scheduler.in_flight == 0;
}

static void deleted_while_in_flight_is_not_requeued(void **state)
{
    struct world *world = *state;

    become(world, true);
    world_connect_worker(world, 0);
    world->on_job = NULL;
    for (int i = 0; i < 20; i++) /* five in flight, the others wait */
        world_submit(world,
                     &(struct mail){ .sender = "a@b.example", .recipients = "x@far.example" });
    world_run(world, is_answered);
    world_run(world, has_job);
    world_run_ms(world, 20);
    ask_delete(world, "ALL", "");
    assert_int_equal(world->tool_count, 20);
    assert_int_equal(store_message_count(world->store), 0);
    assert_int_equal(active_count(world->queue), 5);
    bounce_all(world, &world->jobs[0]);
    defer_all(world, &world->jobs[1]);
    deliver_all(world, &world->jobs[2]);
    channel_free(&world->workers[0].channel);
    world_connect_worker(world, 1);
    world_run_ms(world, 50);
    for (size_t i = 5; i < world->job_count; i++) /* the lost ones began again elsewhere */
        defer_all(world, &world->jobs[i]);
    world_run(world, is_quiet);
    world_run_ms(world, 50);
    assert_int_equal(store_message_count(world->store), 0);
    assert_int_equal(world->queue->active.removed_total, 0);
}

static void holds_and_releases(void **state)
{
    struct world *world = *state;

    become(world, true);
    defer_some(world, 3);
    ask_hold(world, "ALL", false);
    assert_int_equal(world->tool_count, 3);
    ask_hold(world, "ALL", false);
    assert_int_equal(world->tool_count, 0);
    ask_list(world, "hold");
    assert_int_equal(world->tool_message_count, 3);
    world->on_job = deliver_all;
    queue_flush(world->queue);
    world_run_ms(world, 50);
    assert_int_equal(store_message_count(world->store), 3);
    ask_hold(world, "ALL", true);
    assert_int_equal(world->tool_count, 3);
    world_run(world, is_queue_empty);
}

static void holds_what_is_in_flight_when_it_ends(void **state)
{
    struct world *world = *state;

    become(world, true);
    world_connect_worker(world, 0);
    world_submit(world, &(struct mail){ .sender = "a@b.example", .recipients = "x@far.example" });
    world_run(world, has_job);
    ask_hold(world, "ALL", false);
    assert_int_equal(world->tool_count, 1);
    defer_all(world, &world->jobs[0]);
    world_run(world, is_at_rest);
    ask_list(world, "hold");
    assert_int_equal(world->tool_message_count, 1);
}

static void flushes_all_one_or_a_site(void **state)
{
    struct world *world = *state;
    uint64_t id;

    defer_some(world, 100);
    world_submit(world, &(struct mail){ .sender = "", .recipients = "y@other.example" });
    world_run(world, is_at_rest);
    size_t before = world->job_count;
    world->on_job = deliver_all;
    world_connect_tool(world);
    wire_send_tool_flush(world->tool, &(struct wire_tool_flush){ .site = STR("Other.example") });
    world_run(world, is_tool_done);
    world_run_ms(world, 100);
    assert_int_equal(world->job_count, before + 1);
    assert_int_equal(store_scan_ids(world->store, 0, &id, 1), 1);
    world_connect_tool(world);
    wire_send_tool_flush(
        world->tool, &(struct wire_tool_flush){ .id = str_from(queue_id_format(id, false).text) });
    world_run(world, is_tool_done);
    world_run_ms(world, 100);
    assert_int_equal(world->job_count, before + 2);
    world_connect_tool(world);
    wire_send_tool_flush(world->tool, &(struct wire_tool_flush){ .id = STR("") });
    world_run(world, is_tool_done);
    world_run(world, is_queue_empty);
}

static void shows_a_message_with_its_content(void **state)
{
    struct world *world = *state;
    uint64_t id;

    become(world, true);
    defer_some(world, 1);
    assert_int_equal(store_scan_ids(world->store, 0, &id, 1), 1);
    world_connect_tool(world);
    wire_send_tool_show(world->tool,
                        &(struct wire_tool_show){ .id = str_from(queue_id_format(id, true).text) });
    world_run(world, is_tool_done);
    assert_int_equal(world->tool_status, EX_OK);
    assert_int_equal(world->tool_message_count, 1);
    assert_int_equal(world->tool_content_bytes, strlen("Subject: x\r\n\r\nbody\r\n"));
    world->is_tool_done = false;
    wire_send_tool_show(world->tool, &(struct wire_tool_show){ .id = STR("000000000000") });
    world_run(world, is_tool_done);
    assert_int_equal(world->tool_status, EX_NOINPUT);
}

static void message_beyond_a_frame_is_shown_in_part(void **state)
{
    enum { RECIPIENTS = 12000 };
    struct world *world = *state;
    static char reason[600];

    memset(reason, 'r', sizeof reason - 1);
    world_restart(world, "default_transport = retry\n");
    memcpy(reason, "4.0.0 ", 6);
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "big.example",
                                        .recipient_count = RECIPIENTS });
    world_run(world, is_at_rest);
    uint64_t id;
    struct queue_message message = { 0 };
    struct error error;
    assert_int_equal(store_scan_ids(world->store, 0, &id, 1), 1);
    assert_int_equal(queue_message_read(world->store, id, &message, &error), STORE_OK);
    for (size_t i = 0; i < RECIPIENTS; i++)
        message.envelope.recipients[i].diagnostic = str_from(reason);
    struct buf bytes = { 0 };
    envelope_encode(&message.envelope, &bytes);
    assert_true(bytes.len > CHANNEL_FRAME_MAX);
    queue_free(&world->queue);
    assert_true(store_begin(world->store, &error));
    assert_int_equal(
        store_update_message(world->store, id, buf_str(&bytes), message.due_ms, &error), STORE_OK);
    assert_int_equal(store_commit(world->store, &error), STORE_OK);
    buf_free(&bytes);
    queue_message_clear(&message);
    world_restart(world, NULL);
    ask_list(world, "");
    assert_int_equal(world->tool_status, EX_OK);
    assert_int_equal(world->tool_message_count, 1);
}

static void two_requests_at_once_are_answered_in_turn(void **state)
{
    struct world *world = *state;

    defer_some(world, 5);
    world_connect_tool(world);
    wire_send_tool_list(world->tool, &(struct wire_tool_list){ .queue = STR("") });
    wire_send_tool_list(world->tool, &(struct wire_tool_list){ .queue = STR("") });
    world_run_ms(world, 100);
    assert_int_equal(world->tool_message_count, 10);
}

static void client_that_leaves_disturbs_nothing(void **state)
{
    struct world *world = *state;

    become(world, true);
    defer_some(world, 300);
    world_connect_tool(world);
    wire_send_tool_list(world->tool, &(struct wire_tool_list){ .queue = STR("") });
    world_run_ms(world, 2);
    channel_free(&world->tool);
    world_run_ms(world, 50);
    world_connect_tool(world);
    wire_send_tool_change(world->tool, &(struct wire_tool_change){ .is_all = 1 });
    world_run_ms(world, 1);
    channel_free(&world->tool);
    world_run_ms(world, 300);
    assert_int_equal(world->queue->tools.client_count, 0);
    assert_int_equal(world->queue->tools.running, 0);
}

static bool count_visit(void *argument, const struct queue_message *message)
{
    (void)message;
    (*(size_t *)argument)++;
    return true;
}

static uint64_t first_id(struct world *world)
{
    uint64_t id;

    assert_int_equal(store_scan_ids(world->store, 0, &id, 1), 1);
    return id;
}

static void expires_at_rest_without_an_attempt(void **state)
{
    struct world *world = *state;

    become(world, true);
    defer_some(world, 1);
    size_t before = world->job_count;
    ask_change(world, QUEUE_TOOL_EXPIRE, "ALL", "");
    assert_int_equal(world->tool_count, 1);
    ask_change(world, QUEUE_TOOL_EXPIRE, "ALL", "");
    assert_int_equal(world->tool_count, 0);
    world->on_job = deliver_all;
    queue_flush(world->queue);
    world_run(world, is_queue_empty); /* the notice to a@b.example went out */
    assert_int_equal(world->job_count, before + 1);
    assert_int_equal(world_count_lines(world, "status=force-expired, returned to sender"), 1);
    assert_int_equal(world_count_lines(world, "sender non-delivery notification"), 1);
}

static void expires_what_is_held_only_when_released(void **state)
{
    struct world *world = *state;

    become(world, true);
    defer_some(world, 1);
    ask_hold(world, "ALL", false);
    ask_change(world, QUEUE_TOOL_EXPIRE, "ALL", "");
    world->on_job = deliver_all;
    queue_flush(world->queue);
    world_run_ms(world, 50);
    assert_int_equal(store_message_count(world->store), 1);
    ask_change(world, QUEUE_TOOL_EXPIRE_RELEASE, "ALL", "");
    assert_int_equal(world->tool_count, 0);
    assert_int_equal(world->tool_released, 1);
    world_run(world, is_queue_empty);
    assert_int_equal(world_count_lines(world, "status=force-expired, returned to sender"), 1);
}

static void expires_what_is_in_flight_when_it_fails(void **state)
{
    struct world *world = *state;

    become(world, true);
    world_connect_worker(world, 0);
    for (int i = 0; i < 2; i++)
        world_submit(world,
                     &(struct mail){ .sender = "a@b.example", .recipients = "x@far.example" });
    world_run(world, is_answered);
    world_run(world, has_job);
    world_run_ms(world, 20);
    assert_int_equal(world->job_count, 2);
    ask_change(world, QUEUE_TOOL_EXPIRE, "ALL", "");
    assert_int_equal(world->tool_count, 2);
    world->on_job = deliver_all;
    defer_all(world, &world->jobs[0]);
    deliver_all(world, &world->jobs[1]); /* delivered is delivered */
    world_run(world, is_queue_empty);
    assert_int_equal(world_count_lines(world, "status=force-expired, returned to sender"), 1);
}

/* As it stands on disk. */
static enum queue_name queue_on_disk(struct world *world, unsigned *flags)
{
    struct queue_message message = { 0 };
    struct error error;

    assert_int_equal(queue_message_read(world->store, first_id(world), &message, &error), STORE_OK);
    enum queue_name queue = message.queue;
    *flags = message.envelope.flags;
    queue_message_clear(&message);
    return queue;
}

static void mark_in_flight(struct world *world, enum queue_tool_action action)
{
    world->on_job = NULL;
    if (world->workers[0].channel == NULL)
        world_connect_worker(world, 0);
    world_submit(world, &(struct mail){ .sender = "a@b.example", .recipients = "x@far.example" });
    world_run(world, has_job);
    ask_change(world, action, "ALL", "");
    assert_int_equal(world->tool_count, 1);
}

static void what_is_said_of_a_message_in_flight_outlives_the_process(void **state)
{
    struct world *world = *state;
    unsigned flags;

    become(world, true);
    mark_in_flight(world, QUEUE_TOOL_HOLD);
    assert_int_equal(world->queue->scheduler.in_flight, 1);
    assert_int_equal(queue_on_disk(world, &flags), QUEUE_HOLD);
    ask_change(world, QUEUE_TOOL_EXPIRE, "ALL", "");
    queue_on_disk(world, &flags);
    assert_true(flags & ENVELOPE_FORCE_EXPIRED);
    world_restart(world, NULL); /* the delivery's end was never heard of */
    become(world, true);
    world_connect_worker(world, 1);
    world_run_ms(world, 50);
    assert_int_equal(queue_on_disk(world, &flags), QUEUE_HOLD);
    assert_int_equal(world->job_count, 0);
    ask_change(world, QUEUE_TOOL_EXPIRE_RELEASE, "ALL", "");
    assert_int_equal(world->tool_released, 1);
    world_run_ms(world, 100);
    assert_int_equal(world_count_lines(world, "status=force-expired, returned to sender"), 1);
}

static void a_mark_to_requeue_in_flight_is_on_disk(void **state)
{
    struct world *world = *state;
    unsigned flags;

    become(world, true);
    mark_in_flight(world, QUEUE_TOOL_REQUEUE);
    queue_on_disk(world, &flags);
    assert_true(flags & ENVELOPE_REQUEUED);
    defer_all(world, &world->jobs[0]);
    world->on_job = deliver_all;
    world_run(world, is_queue_empty);
    assert_int_equal(world_count_lines(world, " orig_id="), 1);
}

static void what_is_to_be_held_is_released_before_it_ends(void **state)
{
    struct world *world = *state;
    unsigned flags;

    become(world, true);
    mark_in_flight(world, QUEUE_TOOL_HOLD);
    ask_hold(world, "ALL", true);
    assert_int_equal(world->tool_count, 1);
    assert_int_not_equal(queue_on_disk(world, &flags), QUEUE_HOLD);
    ask_hold(world, "ALL", true);
    assert_int_equal(world->tool_count, 0);
    deliver_all(world, &world->jobs[0]);
    world_run(world, is_queue_empty);
}

/* A success that was written, and not told of yet, as after a crash. */
static void requeueing_keeps_the_successes_that_are_to_be_told(void **state)
{
    struct world *world = *state;
    struct queue_message message = { 0 };
    struct error error;

    become(world, true);
    world_connect_worker(world, 0);
    world->on_job = defer_all;
    world_submit(world, &(struct mail){ .sender = "a@b.example",
                                        .recipients = "x@far.example y@far.example" });
    world_run(world, is_at_rest);
    uint64_t id = first_id(world);
    assert_int_equal(queue_message_read(world->store, id, &message, &error), STORE_OK);
    assert_int_equal(message.envelope.recipient_count, 2);
    message.envelope.recipients[0].state = RECIPIENT_UNREPORTED;
    message.envelope.recipients[0].dsn_notify = DSN_NOTIFY_SUCCESS;
    message.envelope.recipients[0].dsn_action = DSN_ACTION_RELAYED;
    message.envelope.recipients[0].dsn_status = STR("2.0.0");
    autofree_buf struct buf bytes = { 0 };
    envelope_encode(&message.envelope, &bytes);
    queue_free(&world->queue);
    assert_true(store_begin(world->store, &error));
    assert_int_equal(
        store_update_message(world->store, id, buf_str(&bytes), message.due_ms, &error), STORE_OK);
    assert_int_equal(store_commit(world->store, &error), STORE_OK);
    queue_message_clear(&message);
    world_restart(world, NULL);
    become(world, true);
    world->on_job = deliver_all;
    world_connect_worker(world, 1);
    ask_change(world, QUEUE_TOOL_REQUEUE, "ALL", "");
    assert_int_equal(world->tool_count, 1);
    world_run(world, is_queue_empty);
    assert_int_equal(world_count_lines(world, "sender delivery status notification"), 1);
}

static bool has_rested(struct world *world)
{
    return world->rest_count > 0;
}

/* Its headers, checks and filter are the settings'. */
static void a_reload_waits_while_a_message_passes_cleanup_again(void **state)
{
    struct world *world = *state;

    become(world, true);
    defer_some(world, 1);
    assert_true(queue_may_reload(world->queue));
    world_connect_tool(world);
    wire_send_tool_change(
        world->tool, &(struct wire_tool_change){ .action = QUEUE_TOOL_REQUEUE, .is_all = true });
    world_run(world, has_rested); /* so it was forbidden for a while */
    assert_true(queue_may_reload(world->queue));
}

static void requeues_under_another_id(void **state)
{
    struct world *world = *state;

    become(world, true);
    defer_some(world, 1);
    uint64_t old = first_id(world);
    world->on_job = NULL;
    size_t before = world->job_count;
    ask_change(world, QUEUE_TOOL_REQUEUE, "ALL", "");
    assert_int_equal(world->tool_count, 1);
    world_run_ms(world, 100);
    assert_int_equal(world->job_count, before + 1);
    assert_int_equal(store_message_count(world->store), 1);
    assert_true(first_id(world) > old);
    assert_int_equal(world_count_lines(world, " orig_id="), 1);
    deliver_all(world, &world->jobs[before]);
    world_run(world, is_queue_empty);
}

static void requeues_after_a_restart_what_was_marked_before(void **state)
{
    struct world *world = *state;
    struct queue_selection selection = { .is_all = true };
    struct queue_tool_counts counts;
    struct error error;

    become(world, true);
    defer_some(world, 30);
    queue_free(&world->queue);
    assert_true(queue_tool_change(world->store, &selection, QUEUE_TOOL_REQUEUE, NULL, NULL, &counts,
                                  &error));
    assert_int_equal(counts.done, 30);
    world->on_job = deliver_all;
    world_restart(world, NULL);
    world_connect_worker(world, 1);
    world_run(world, is_queue_empty);
    assert_int_equal(world_count_lines(world, " orig_id="), 30);
}

static void works_on_a_store_while_the_queue_is_down(void **state)
{
    struct world *world = *state;
    struct queue_selection selection = { .is_all = true, .queues = 1u << QUEUE_DEFERRED };
    struct queue_tool_counts counts;
    struct error error;
    size_t seen = 0;

    defer_some(world, 600);
    queue_free(&world->queue);
    assert_true(queue_tool_list(world->store, &selection, count_visit, NULL, &seen, &error));
    assert_int_equal(seen, 600);
    assert_true(
        queue_tool_change(world->store, &selection, QUEUE_TOOL_HOLD, NULL, NULL, &counts, &error));
    assert_int_equal(counts.done, 600);
    assert_true(queue_tool_change(world->store, &selection, QUEUE_TOOL_DELETE, NULL, NULL, &counts,
                                  &error));
    assert_int_equal(counts.done, 0); /* none is deferred now */
    selection.queues = 0;
    assert_true(queue_tool_change(world->store, &selection, QUEUE_TOOL_DELETE, NULL, NULL, &counts,
                                  &error));
    assert_int_equal(counts.done, 600);
    assert_int_equal(store_message_count(world->store), 0);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(lists_all_or_one_queue),
        WORLD_TEST(deletes_one_or_all),
        WORLD_TEST(an_active_message_is_tried_again_when_it_is_flushed),
        WORLD_TEST(an_active_message_is_tried_again_when_all_are_flushed),
        WORLD_TEST(an_active_message_is_tried_again_when_that_is_asked),
        WORLD_TEST(refuses_malformed_changes),
        WORLD_TEST(others_may_list_and_flush_only),
        WORLD_TEST(deleted_while_in_flight_is_not_requeued),
        WORLD_TEST(holds_and_releases),
        WORLD_TEST(holds_what_is_in_flight_when_it_ends),
        WORLD_TEST(flushes_all_one_or_a_site),
        WORLD_TEST(shows_a_message_with_its_content),
        WORLD_TEST(message_beyond_a_frame_is_shown_in_part),
        WORLD_TEST(two_requests_at_once_are_answered_in_turn),
        WORLD_TEST(client_that_leaves_disturbs_nothing),
        WORLD_TEST(expires_at_rest_without_an_attempt),
        WORLD_TEST(expires_what_is_held_only_when_released),
        WORLD_TEST(expires_what_is_in_flight_when_it_fails),
        WORLD_TEST(what_is_said_of_a_message_in_flight_outlives_the_process),
        WORLD_TEST(a_mark_to_requeue_in_flight_is_on_disk),
        WORLD_TEST(what_is_to_be_held_is_released_before_it_ends),
        WORLD_TEST(requeueing_keeps_the_successes_that_are_to_be_told),
        WORLD_TEST(a_reload_waits_while_a_message_passes_cleanup_again),
        WORLD_TEST(requeues_under_another_id),
        WORLD_TEST(requeues_after_a_restart_what_was_marked_before),
        WORLD_TEST(works_on_a_store_while_the_queue_is_down),
    };
    return cmocka_run_group_tests_name("roles/queue_tools", tests, NULL, NULL);
}
