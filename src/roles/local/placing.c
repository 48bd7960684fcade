/* SPDX-License-Identifier: Apache-2.0 */
#include "placing.h"

#include "base/clock.h"
#include "base/file.h"
#include "worker.h"

#include <fcntl.h>
#include <unistd.h>

enum { WRITE_LIMIT_MS = 300 * 1000 };

void placing_init(struct placing *placing, const struct delivery *delivery, size_t recipient)
{
    const struct agent *agent = delivery->agent;
    const struct config *config = agent->config;

    *placing = (struct placing){
        .mailbox = {
            .copy = { .sender = delivery->job.envelope.sender,
                      .original_to = delivery_original(delivery, recipient),
                      .delivered_to = delivery->job.envelope.recipients[recipient].address,
                      .content = delivery->job.content,
                      .wall_s = clock_wall_ms() / 1000 },
            .has_delivered_to = (agent->delivered_for & DELIVERED_FOR_FILE) != 0,
            .locks = agent->locks,
            .must_be_owner = config->strict_mailbox_ownership,
            .lock_attempts = config->deliver_lock_attempts,
            .lock_delay_s = config->deliver_lock_delay,
            .stale_lock_s = config->stale_lock_time,
            .host_name = agent->host_name,
        },
    };
}

static bool make_as_root(void *argument)
{
    const struct placing *placing = argument;
    int fd =
        open(placing->mailbox.path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return true; /* it is there, or the user's own attempt says why not */
    bool is_given = fchown(fd, placing->rights.uid, placing->rights.gid) == 0;
    close(fd);
    return is_given;
}

static int place_as_user(void *argument, int result_fd)
{
    const struct placing *placing = argument;
    struct outcome outcome = { 0 };
    struct error error;

    if (placing->is_maildir)
        maildir_add(&placing->mailbox, &outcome);
    else
        mailbox_append(&placing->mailbox, &outcome);
    return fd_write_all(result_fd, str_of((const char *)&outcome, sizeof outcome), "result", &error)
               ? 0
               : 1;
}

bool placing_run(struct delivery *delivery, struct placing *placing, struct outcome *outcome)
{
    if (delivery_is_probe(delivery)) {
        outcome_set(outcome, "2.0.0", "delivers to %s",
                    placing->is_maildir ? "maildir" : "mailbox");
        return true;
    }

    int64_t lock_ms =
        2 * placing->mailbox.lock_attempts * placing->mailbox.lock_delay_s * (int64_t)1000;
    struct child_work work = {
        .rights = placing->rights,
        .as_root = placing->is_made_by_root && geteuid() == 0 ? make_as_root : NULL,
        .run = place_as_user,
        .argument = placing,
        .limit_ms = lock_ms + WRITE_LIMIT_MS,
        .output_bytes = sizeof *outcome,
        .size_limit_bytes = placing->mailbox.size_limit_bytes,
    };
    struct child_result result = { 0 };

    if (placing->is_made_by_root)
        placing->mailbox.may_lack_dotlock = true;
    enum child_end end = child_run(delivery->worker->loop, &work, &result);
    if (end == CHILD_EXITED && result.status == 0 && result.output.len == sizeof *outcome) {
        memcpy(outcome, result.output.ptr, sizeof *outcome);
        outcome->dsn[sizeof outcome->dsn - 1] = '\0';
        outcome->text[sizeof outcome->text - 1] = '\0';
    } else if (end == CHILD_TIMED_OUT) {
        outcome_set(outcome, "4.2.0", "writing to %s took too long", placing->mailbox.path);
    } else if (end == CHILD_NOT_STARTED) {
        outcome_set(outcome, "4.3.0", "%s", result.error.message);
    } else if (end == CHILD_EXITED && result.status == CHILD_RIGHTS_FAILED) {
        outcome_set(outcome, "4.3.0", "cannot become user %u", (unsigned)placing->rights.uid);
    } else {
        outcome_set(outcome, "4.3.0", "the delivery process ended unexpectedly");
    }
    buf_free(&result.output);
    return end != CHILD_CANCELLED;
}
