/* SPDX-License-Identifier: Apache-2.0 */
/* postsuper: what only root may do with the queue: delete, hold, release, expire, requeue mail. */
#include "commands.h"
#include "mail/log_line.h"
#include "mail/maildrop_file.h"
#include "mail/queue_format.h"
#include "mail/queue_id.h"
#include "postsuper_id.h"
#include "queue_change.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

const char postsuper_help[] =
    "usage: postsuper [-psSv] [-c config_dir] [-d ID] [-h ID] [-H ID] [-e ID] [-f ID] [-r ID]\n"
    "                 [queue ...]\n"
    "\n"
    "ID is a queue id, ALL (in capitals), or - to read ids from standard input, one per line.\n"
    "The queues are hold, incoming, active, deferred and maildrop; without one, all but maildrop.\n"
    "\n"
    "  -d ID       delete\n"
    "  -h ID       put on hold: no delivery is attempted\n"
    "  -H ID       release from hold\n"
    "  -e ID       return to the sender when it is due next, or released from hold\n"
    "  -f ID       the same, and release it from hold\n"
    "  -r ID       requeue: through cleanup again, under another id\n"
    "  -p, -s, -S  accepted: the queue has no files to put in order\n"
    "  -c DIR      use the configuration in DIR\n"
    "  -v          accepted, does nothing\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

#define POSTSUPER_USAGE                                                                            \
    "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] [-f queue_id " \
    "(expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary "  \
    "files)] [-r queue_id (requeue)] [-s (structure fix)] [-S (redundant structure fix)]"          \
    "[-v (verbose)] [queue...]"

enum { STATUS_FATAL = 1 }; /* whatever it is: Postfix's exit status */

/* In the order in which actions on ALL are done. */
static const struct {
    enum queue_tool_action action;
    char option;
    const char *done; /* behind the id */
} actions[] = {
    { QUEUE_TOOL_DELETE, 'd', "removed" },      { QUEUE_TOOL_REQUEUE, 'r', "requeued" },
    { QUEUE_TOOL_HOLD, 'h', "placed on hold" }, { QUEUE_TOOL_RELEASE, 'H', "released from hold" },
    { QUEUE_TOOL_EXPIRE, 'e', "expired" },      { QUEUE_TOOL_EXPIRE_RELEASE, 'f', "expired" },
};
enum { ACTION_COUNT = sizeof actions / sizeof *actions };

/* What is told at the end, in this order. */
enum total {
    TOTAL_REQUEUED,
    TOTAL_DELETED,
    TOTAL_EXPIRED,
    TOTAL_HELD,
    TOTAL_RELEASED,
    TOTAL_COUNT
};

static const char *const total_texts[TOTAL_COUNT] = {
    [TOTAL_REQUEUED] = "Requeued",           [TOTAL_DELETED] = "Deleted",
    [TOTAL_EXPIRED] = "Force-expired",       [TOTAL_HELD] = "Placed on hold",
    [TOTAL_RELEASED] = "Released from hold",
};

struct job {
    struct tool *tool;
    struct queue_client client;
    bool is_open;
    struct buf queues; /* names from the command line that the queue knows */
    bool has_maildrop;
    bool has_store_queue;       /* also of the names */
    struct queue_change change; /* what gathers; of the action below */
    int gathering;              /* index in actions; -1 */
    struct arena texts;         /* ids as they were given */
    struct str *ids;
    bool is_wanted[TOTAL_COUNT];
    uint64_t totals[TOTAL_COUNT];
    int status;
};

static void fail_job(struct job *job, const char *text)
{
    job->status = tool_fail(job->tool, STATUS_FATAL, "%s", text);
}

static enum total total_of(enum queue_tool_action action)
{
    switch (action) {
    case QUEUE_TOOL_DELETE:
        return TOTAL_DELETED;
    case QUEUE_TOOL_HOLD:
        return TOTAL_HELD;
    case QUEUE_TOOL_RELEASE:
        return TOTAL_RELEASED;
    case QUEUE_TOOL_REQUEUE:
        return TOTAL_REQUEUED;
    case QUEUE_TOOL_EXPIRE:
    case QUEUE_TOOL_EXPIRE_RELEASE:
    case QUEUE_TOOL_RETRY:
    case QUEUE_TOOL_ACTION_COUNT:
        break;
    }
    return TOTAL_EXPIRED;
}

static void note(struct job *job, struct str id, const char *what)
{
    autofree_buf struct buf text = { 0 };

    buf_printf(&text, "%.*s: %s", STR_ARGS(id), what);
    tool_note(job->tool, buf_str(&text));
}

static void on_changed(void *argument, size_t index, unsigned effect)
{
    struct job *job = argument;

    if (effect & QUEUE_TOOL_DONE)
        note(job, job->ids[index], actions[job->gathering].done);
    if (effect & QUEUE_TOOL_RELEASED)
        note(job, job->ids[index], "released from hold");
}

/* ---- mail that pickup has not taken: only deleting makes sense there ---- */

static bool maildrop_name_matches(struct str id, const char *name)
{
    return maildrop_name_is_valid(str_from(name)) &&
           (str_equal(id, STR("ALL")) || str_equal(id, str_from(name)));
}

static uint64_t delete_in_maildrop(struct job *job, struct str id)
{
    struct arena scratch = { 0 };
    DIR *folder = opendir(
        arena_printf(&scratch, "%.*s/maildrop", STR_ARGS(job->tool->config->queue_directory)));
    const struct dirent *entry;
    uint64_t count = 0;

    arena_clear(&scratch);
    if (folder == NULL) {
        fail_job(job, "cannot open the maildrop");
        return 0;
    }
    while ((entry = readdir(folder)) != NULL)
        if (maildrop_name_matches(id, entry->d_name))
            count += unlinkat(dirfd(folder), entry->d_name, 0) == 0;
    closedir(folder);
    job->totals[TOTAL_DELETED] += count;
    return count;
}

/* ---- the queue ---- */

static bool open_queue(struct job *job)
{
    struct error error;

    if (job->is_open)
        return true;
    if (!queue_client_open(&job->client, job->tool, QUEUE_ALSO_WHEN_DOWN, &error)) {
        fail_job(job, error.message);
        return false;
    }
    job->is_open = true;
    return true;
}

static void take_totals(struct job *job)
{
    enum total total = total_of(job->change.action);

    job->totals[total] += job->change.counts.done;
    job->totals[TOTAL_RELEASED] += job->change.counts.released;
    job->change.counts = (struct queue_tool_counts){ 0 };
}

static void send_gathered(struct job *job)
{
    struct error error;
    int status;

    if (job->change.count > 0 && !queue_change_send(&job->change, &status, &error))
        fail_job(job, error.message);
    take_totals(job);
    arena_clear(&job->texts);
    job->ids = NULL;
    job->gathering = -1;
}

static void begin_change(struct job *job, int index)
{
    job->change.client = &job->client;
    job->change.action = actions[index].action;
    job->change.queues = buf_str(&job->queues);
    job->change.changed = on_changed;
    job->change.argument = job;
    job->gathering = index;
    job->ids = arena_new_array(&job->texts, QUEUE_CHANGE_IDS_MAX, sizeof *job->ids);
}

static void gather(struct job *job, int index, struct str id, uint64_t queue_id)
{
    struct error error;
    int status;

    if (job->gathering != index || job->change.count == QUEUE_CHANGE_IDS_MAX)
        send_gathered(job);
    if (job->status != EX_OK || !open_queue(job))
        return;
    if (job->gathering < 0)
        begin_change(job, index);
    job->ids[job->change.count] = arena_copy(&job->texts, id);
    if (!queue_change_add(&job->change, queue_id, &status, &error))
        fail_job(job, error.message);
}

static void act_on_one(struct job *job, int index, struct str id)
{
    enum postsuper_id kind = postsuper_id_parse(id);
    uint64_t queue_id;

    if (kind == POSTSUPER_ID_INVALID) {
        autofree_buf struct buf text = { 0 };
        send_gathered(job);
        buf_printf(&text, "invalid mail queue id: %.*s", STR_ARGS(str_take(id, 200)));
        tool_note_warning(job->tool, buf_str(&text));
        return;
    }
    if (job->has_maildrop && actions[index].action == QUEUE_TOOL_DELETE &&
        delete_in_maildrop(job, id) > 0)
        note(job, id, actions[index].done);
    if (kind == POSTSUPER_ID_MESSAGE && job->has_store_queue && queue_id_parse(id, &queue_id))
        gather(job, index, id, queue_id);
}

static void act_on_input(struct job *job, int index)
{
    bool is_terminal = isatty(STDIN_FILENO);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;

    while (job->status == EX_OK && (len = getline(&line, &capacity, stdin)) > 0) {
        if (line[len - 1] == '\n')
            len--;
        act_on_one(job, index, str_of(line, (size_t)len));
        if (is_terminal)
            send_gathered(job);
    }
    send_gathered(job);
    free(line);
}

static void act_on_all(struct job *job, int index)
{
    struct error error;
    int status;

    if (job->has_maildrop && actions[index].action == QUEUE_TOOL_DELETE)
        delete_in_maildrop(job, STR("ALL"));
    if (!job->has_store_queue || job->status != EX_OK || !open_queue(job))
        return;
    begin_change(job, index);
    if (!queue_change_all(&job->change, &status, &error))
        fail_job(job, error.message);
    take_totals(job);
}

/* ---- the command line ---- */

static void report_totals(struct job *job)
{
    for (int i = 0; i < TOTAL_COUNT; i++) {
        autofree_buf struct buf text = { 0 };
        if (!job->is_wanted[i] || job->status != EX_OK)
            continue;
        log_line_postsuper_count(total_texts[i], job->totals[i], &text);
        tool_note(job->tool, buf_str(&text));
    }
}

/* Those of Postfix's folders that hold no messages are known, and empty. */
static bool is_empty_folder(struct str name)
{
    return str_equal(name, STR("bounce")) || str_equal(name, STR("defer")) ||
           str_equal(name, STR("trace")) || str_equal(name, STR("flush"));
}

static bool queues_take(struct job *job, int count, char **names)
{
    job->has_store_queue = count == 0;
    for (int i = 0; i < count; i++) {
        enum queue_name name;
        if (queue_name_parse(str_from(names[i]), &name)) {
            buf_printf(&job->queues, "%s ", names[i]);
            job->has_store_queue = true;
            job->has_maildrop |= name == QUEUE_MAILDROP;
        } else if (!is_empty_folder(str_from(names[i]))) {
            job->status =
                tool_fail(job->tool, STATUS_FATAL, "invalid directory name: %.100s", names[i]);
            return false;
        }
    }
    return true;
}

static int action_of(int option)
{
    for (int i = 0; i < ACTION_COUNT; i++)
        if (actions[i].option == option)
            return i;
    return -1;
}

/* Ids in the order of the command line; then what is to be done with all. */
static void run_actions(struct job *job, int argc, char **argv)
{
    bool is_for_all[ACTION_COUNT] = { false };
    int option;

    optind = 1;
    while (job->status == EX_OK &&
           (option = tool_next_option(job->tool, argc, argv, "c:d:e:f:h:H:pr:sSv")) != -1) {
        int index = action_of(option);
        if (index < 0)
            continue;
        job->is_wanted[total_of(actions[index].action)] = true;
        if (option == 'f')
            job->is_wanted[TOTAL_RELEASED] = true;
        if (strcmp(optarg, "-") == 0)
            act_on_input(job, index);
        else if (strcmp(optarg, "ALL") == 0)
            is_for_all[index] = true;
        else
            act_on_one(job, index, str_from(optarg));
    }
    send_gathered(job);
    for (int i = 0; i < ACTION_COUNT && job->status == EX_OK; i++)
        if (is_for_all[i])
            act_on_all(job, i);
    report_totals(job);
}

static void job_clear(struct job *job)
{
    queue_change_clear(&job->change);
    if (job->is_open)
        queue_client_close(&job->client);
    buf_free(&job->queues);
    arena_clear(&job->texts);
    tool_end(job->tool);
}

int postsuper_main(int argc, char **argv)
{
    struct tool tool;
    struct job job = { .tool = &tool, .client = { .fd = -1 }, .gathering = -1 };
    int option;

    tool_start(&tool, "postsuper");
    while ((option = tool_next_option(&tool, argc, argv, "c:d:e:f:h:H:pr:sSv")) != -1)
        if (option == '?')
            return tool_fail(&tool, STATUS_FATAL, "%s", POSTSUPER_USAGE);
    if (geteuid() != 0)
        return tool_fail(&tool, STATUS_FATAL, "use of this command is reserved for the superuser");
    if (!queues_take(&job, argc - optind, argv + optind))
        return STATUS_FATAL;
    if (!tool_configure(&tool, tool.folder))
        return STATUS_FATAL;
    run_actions(&job, argc, argv);
    job_clear(&job);
    return job.status;
}
