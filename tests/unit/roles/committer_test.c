/* SPDX-License-Identifier: Apache-2.0 */
#include "committer.h"

#include "base/memory.h"
#include "faults.h"
#include "spool.h"

struct scene {
    struct spool *spool;
    struct loop *loop;
    struct committer *committer;
    size_t pending;
    unsigned notice_count;
    bool is_broken;
};

struct job {
    struct commit_request request;
    struct scene *scene;
    struct buf envelope;
    char content[6000];
    unsigned done_order; /* from 1 */
};

static void notice(void *argument, enum severity severity, const char *text)
{
    struct scene *scene = argument;

    scene->notice_count++;
}

static void broken(void *argument, const char *text)
{
    struct scene *scene = argument;

    scene->is_broken = true;
}

static void start(struct scene *scene, void **state)
{
    const struct committer_events events = { scene, notice, broken };
    struct error error;

    *scene = (struct scene){ .spool = *state };
    scene->loop = loop_new(&error);
    assert_non_null(scene->loop);
    scene->committer = committer_new(scene->loop, scene->spool->store, &events, &error);
    assert_non_null(scene->committer);
}

static void stop(struct scene *scene)
{
    committer_free(&scene->committer);
    assert_null(scene->committer);
    loop_free(&scene->loop);
}

static void done(struct commit_request *request)
{
    struct job *job = list_entry(request, struct job, request);

    job->done_order = 1;
    if (--job->scene->pending == 0)
        loop_stop(job->scene->loop);
}

static struct job *job_new(struct scene *scene, enum commit_kind kind, uint64_t queue_id)
{
    struct job *job = memory_new(sizeof *job);

    job->scene = scene;
    job->envelope = message_envelope(queue_id);
    content_fill(queue_id, 0, job->content, sizeof job->content);
    job->request = (struct commit_request){
        .kind = kind,
        .queue_id = queue_id,
        .envelope = buf_str(&job->envelope),
        .content = kind == COMMIT_MESSAGE ? str_of(job->content, sizeof job->content) : STR(""),
        .due_ms = 5,
        .done = done,
    };
    return job;
}

static void job_free(struct job *job)
{
    buf_free(&job->envelope);
    memory_free(job);
}

static void submit(struct scene *scene, struct job *job)
{
    scene->pending++;
    committer_submit(scene->committer, &job->request);
}

static enum store_outcome run_one(struct scene *scene, enum commit_kind kind, uint64_t queue_id)
{
    struct job *job = job_new(scene, kind, queue_id);

    submit(scene, job);
    loop_run(scene->loop);
    enum store_outcome outcome = job->request.outcome;
    job_free(job);
    return outcome;
}

static void what_one_iteration_submits_is_committed_together(void **state)
{
    enum { COUNT = 200 };
    struct committer_statistics statistics;
    struct job *jobs[COUNT];
    struct scene scene;

    start(&scene, state);
    for (uint64_t i = 0; i < COUNT; i++) {
        jobs[i] = job_new(&scene, COMMIT_MESSAGE, i);
        submit(&scene, jobs[i]);
    }
    assert_int_equal(committer_waiting_count(scene.committer), COUNT);
    loop_run(scene.loop);
    for (uint64_t i = 0; i < COUNT; i++) {
        bool is_same;
        assert_int_equal(jobs[i]->request.outcome, STORE_OK);
        assert_int_equal(message_check(scene.spool->store, i, 6000, &is_same), STORE_OK);
        assert_true(is_same);
        job_free(jobs[i]);
    }
    committer_statistics(scene.committer, &statistics);
    assert_int_equal(statistics.requests, COUNT);
    assert_in_range(statistics.commits, 1,
                    COUNT / 10); /* a slow machine ends a batch by its time */
    stop(&scene);
}

static uint64_t waits(const struct scene *scene)
{
    struct committer_statistics statistics;

    committer_statistics(scene->committer, &statistics);
    return statistics.waits;
}

static void only_where_batches_were_larger_does_one_wait_for_company(void **state)
{
    enum { COUNT = 50 };
    struct job *jobs[COUNT];
    struct scene scene;

    start(&scene, state);
    for (uint64_t id = 0; id < 5; id++)
        assert_int_equal(run_one(&scene, COMMIT_MESSAGE, id), STORE_OK);
    assert_int_equal(waits(&scene), 0);

    for (uint64_t i = 0; i < COUNT; i++) {
        jobs[i] = job_new(&scene, COMMIT_MESSAGE, 100 + i);
        submit(&scene, jobs[i]);
    }
    loop_run(scene.loop);
    uint64_t before = waits(&scene);
    assert_int_equal(run_one(&scene, COMMIT_MESSAGE, 500), STORE_OK);
    assert_true(waits(&scene) > before);

    for (uint64_t id = 600; id < 650; id++) /* the batch fades from memory */
        assert_int_equal(run_one(&scene, COMMIT_MESSAGE, id), STORE_OK);
    before = waits(&scene);
    assert_int_equal(run_one(&scene, COMMIT_MESSAGE, 700), STORE_OK);
    assert_int_equal(waits(&scene), before);
    for (uint64_t i = 0; i < COUNT; i++)
        job_free(jobs[i]);
    stop(&scene);
}

static void each_request_has_its_own_outcome(void **state)
{
    struct scene scene;

    start(&scene, state);
    assert_int_equal(run_one(&scene, COMMIT_MESSAGE, 1), STORE_OK);
    assert_int_equal(run_one(&scene, COMMIT_MESSAGE, 1), STORE_EXISTS);
    assert_int_equal(run_one(&scene, COMMIT_UPDATE, 1), STORE_OK);
    assert_int_equal(run_one(&scene, COMMIT_UPDATE, 2), STORE_ABSENT);
    assert_int_equal(run_one(&scene, COMMIT_DELETE, 2), STORE_OK);
    assert_int_equal(run_one(&scene, COMMIT_ID_MARK, 77), STORE_OK);
    assert_int_equal(store_id_mark(scene.spool->store), 77);
    assert_int_equal(run_one(&scene, COMMIT_DELETE, 1), STORE_OK);
    assert_int_equal(store_message_count(scene.spool->store), 0);
    stop(&scene);
}

static void freeing_drains_what_was_submitted(void **state)
{
    struct scene scene;
    struct job *jobs[10];

    start(&scene, state);
    for (uint64_t i = 0; i < 10; i++) {
        jobs[i] = job_new(&scene, COMMIT_MESSAGE, i);
        submit(&scene, jobs[i]);
    }
    stop(&scene);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(jobs[i]->request.outcome, STORE_OK);
        assert_int_equal(jobs[i]->done_order, 1);
        job_free(jobs[i]);
    }
    assert_int_equal(store_message_count(scene.spool->store), 10);
}

static void near_full_refuses_new_mail_and_lets_the_rest_proceed(void **state)
{
    struct spool *spool = *state;
    struct scene scene;
    struct job *bounce, *update;

    spool_put(spool, 1, 100, 1);
    spool_put(spool, 2, 100, 1);
    spool_close(spool);
    spool->options.reserve_bytes = (uint64_t)1 << 60; /* more than any disk has */
    spool_open(spool);
    start(&scene, state);
    assert_int_equal(run_one(&scene, COMMIT_MESSAGE, 10), STORE_FULL);
    assert_int_equal(run_one(&scene, COMMIT_UPDATE, 1), STORE_OK);
    assert_int_equal(run_one(&scene, COMMIT_DELETE, 1), STORE_OK);
    bounce = job_new(&scene, COMMIT_MESSAGE, 11);
    bounce->request.may_use_reserve = true;
    bounce->request.is_with_next = true;
    update = job_new(&scene, COMMIT_DELETE, 2);
    submit(&scene, bounce);
    submit(&scene, update);
    loop_run(scene.loop);
    assert_int_equal(bounce->request.outcome, STORE_OK);
    assert_int_equal(update->request.outcome, STORE_OK);
    job_free(bounce);
    job_free(update);
    assert_int_equal(store_message_count(spool->store), 1);
    assert_true(scene.notice_count > 0);
    stop(&scene);
}

static void no_room_for_a_write_refuses_new_mail_only(void **state)
{
    struct spool *spool = *state;
    struct scene scene;
    struct job *message, *removal;

    spool_put(spool, 1, 100, 1);
    start(&scene, state);
    message = job_new(&scene, COMMIT_MESSAGE, 2);
    removal = job_new(&scene, COMMIT_DELETE, 1);
    faults_arm(FAULT_WRITE_ENOSPC, 1, 0);
    submit(&scene, message);
    submit(&scene, removal);
    loop_run(scene.loop);
    faults_clear();
    assert_int_equal(message->request.outcome, STORE_FULL);
    assert_int_equal(removal->request.outcome, STORE_OK);
    job_free(message);
    job_free(removal);
    assert_int_equal(run_one(&scene, COMMIT_MESSAGE, 3), STORE_OK);
    assert_false(scene.is_broken);
    stop(&scene);
}

static void a_failed_flush_is_tried_again_after_reopening(void **state)
{
    struct scene scene;

    start(&scene, state);
    for (uint64_t id = 1; id <= 3; id++) {
        faults_arm(FAULT_SYNC_EIO, 1, 0);
        assert_int_equal(run_one(&scene, COMMIT_MESSAGE, id), STORE_OK);
        assert_int_equal(faults_hit_count(), 1);
        faults_clear();
    }
    assert_int_equal(store_message_count(scene.spool->store), 3);
    assert_false(scene.is_broken);
    faults_arm(FAULT_SYNC_EIO, 1, 0);
    assert_int_equal(run_one(&scene, COMMIT_MESSAGE, 4), STORE_FAILED);
    faults_clear();
    assert_int_equal(run_one(&scene, COMMIT_MESSAGE, 5), STORE_FAILED);
    assert_true(scene.is_broken);
    stop(&scene);
}

static void a_disk_that_never_flushes_ends_the_service(void **state)
{
    struct scene scene;

    start(&scene, state);
    faults_arm(FAULT_SYNC_EIO, 1, 1);
    assert_int_equal(run_one(&scene, COMMIT_MESSAGE, 1), STORE_FAILED);
    assert_true(scene.is_broken);
    assert_int_equal(store_scan_ids(scene.spool->store, 0, &(uint64_t){ 0 }, 1), 0);
    faults_clear();
    stop(&scene);
    spool_reopen(scene.spool);
    assert_int_equal(store_message_count(scene.spool->store), 0);
}

/* The loop reads while the committer writes; runs under ThreadSanitizer too. */
enum { CHURN_JOBS = 30, CHURN_ROUNDS = 60 };

static void churn(struct commit_request *request)
{
    struct job *job = list_entry(request, struct job, request);
    struct scene *scene = job->scene;
    struct store *store = scene->spool->store;
    uint64_t ids[4];
    bool is_same;

    assert_int_equal(request->outcome, STORE_OK);
    if (request->kind == COMMIT_MESSAGE) {
        assert_int_equal(message_check(store, request->queue_id, 6000, &is_same), STORE_OK);
        assert_true(is_same);
        store_scan_ids(store, 0, ids, 4);
        request->kind = COMMIT_DELETE;
    } else if (++job->done_order < CHURN_ROUNDS) {
        request->kind = COMMIT_MESSAGE;
    } else {
        if (--scene->pending == 0)
            loop_stop(scene->loop);
        return;
    }
    committer_submit(scene->committer, request);
}

static void reading_while_writing_sees_whole_messages(void **state)
{
    struct scene scene;
    struct job *jobs[CHURN_JOBS];

    start(&scene, state);
    for (uint64_t i = 0; i < CHURN_JOBS; i++) {
        jobs[i] = job_new(&scene, COMMIT_MESSAGE, i);
        jobs[i]->request.done = churn;
        submit(&scene, jobs[i]);
    }
    loop_run(scene.loop);
    stop(&scene);
    assert_int_equal(store_message_count(scene.spool->store), 0);
    assert_int_equal(verify_problems(scene.spool->store), 0);
    for (size_t i = 0; i < CHURN_JOBS; i++)
        job_free(jobs[i]);
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_setup, spool_teardown)
    static const struct CMUnitTest tests[] = {
        SPOOL_TEST(what_one_iteration_submits_is_committed_together),
        SPOOL_TEST(only_where_batches_were_larger_does_one_wait_for_company),
        SPOOL_TEST(each_request_has_its_own_outcome),
        SPOOL_TEST(freeing_drains_what_was_submitted),
        SPOOL_TEST(near_full_refuses_new_mail_and_lets_the_rest_proceed),
        SPOOL_TEST(no_room_for_a_write_refuses_new_mail_only),
        SPOOL_TEST(a_failed_flush_is_tried_again_after_reopening),
        SPOOL_TEST(a_disk_that_never_flushes_ends_the_service),
        SPOOL_TEST(reading_while_writing_sees_whole_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
