/* SPDX-License-Identifier: Apache-2.0 */
/* postsuper: what only root may do with the queue: delete, hold and release mail. */
#include "commands.h"
#include "mail/log_line.h"
#include "mail/maildrop_file.h"
#include "mail/queue_format.h"
#include "postsuper_id.h"
#include "queue_client.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

const char postsuper_help[] =
    "usage: postsuper [-psSv] [-c config_dir] [-d ID] [-h ID] [-H ID] [queue ...]\n"
    "\n"
    "ID is a queue id, ALL (in capitals), or - to read ids from standard input, one per line.\n"
    "The queues are hold, incoming, active, deferred and maildrop; without one, all but maildrop.\n"
    "\n"
    "  -d ID       delete\n"
    "  -h ID       put on hold: no delivery is attempted\n"
    "  -H ID       release from hold\n"
    "  -p, -s, -S  accepted: the queue has no files to put in order\n"
    "  -e, -f, -r ID  expire, requeue: not yet\n"
    "  -c DIR      use the configuration in DIR\n"
    "  -v          accepted, does nothing\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

enum action { ACTION_DELETE, ACTION_HOLD, ACTION_RELEASE, ACTION_COUNT };

static const struct {
    char option;
    const char *done;  /* behind the id */
    const char *total; /* in front of the count */
} actions[ACTION_COUNT] = {
    [ACTION_DELETE] = { 'd', "removed", "Deleted" },
    [ACTION_HOLD] = { 'h', "placed on hold", "Placed on hold" },
    [ACTION_RELEASE] = { 'H', "released from hold", "Released from hold" },
};

struct job {
    struct tool *tool;
    struct queue_client client;
    bool is_open;
    char **queues; /* names from the command line */
    int queue_count;
    bool is_wanted[ACTION_COUNT];
    uint64_t done_count[ACTION_COUNT];
    int status;
};

static int fail_job(struct job *job, const char *text)
{
    job->status = tool_fail(job->tool, EX_UNAVAILABLE, "%s", text);
    return job->status;
}

static void encode(struct buf *payload, enum action action, struct str id, struct str queue)
{
    if (action == ACTION_DELETE)
        wire_encode_tool_delete(payload, &(struct wire_tool_delete){ .id = id, .queue = queue });
    else
        wire_encode_tool_hold(
            payload, &(struct wire_tool_hold){
                         .id = id, .queue = queue, .is_release = action == ACTION_RELEASE });
}

static uint64_t ask_queue(struct job *job, enum action action, struct str id, struct str queue)
{
    autofree_buf struct buf payload = { 0 };
    struct wire_tool_done done = { 0 };
    struct arena scratch = { 0 };
    struct error error;

    if (!job->is_open &&
        !queue_client_open(&job->client, job->tool, QUEUE_ALSO_WHEN_DOWN, &error)) {
        fail_job(job, error.message);
        return 0;
    }
    job->is_open = true;
    encode(&payload, action, id, queue);
    if (!queue_client_ask(&job->client, action == ACTION_DELETE ? WIRE_tool_delete : WIRE_tool_hold,
                          buf_str(&payload), NULL, NULL, &scratch, &done, &error))
        fail_job(job, error.message);
    else if (done.status != 0)
        job->status = tool_fail(job->tool, (int)done.status, "%.*s", STR_ARGS(done.reason));
    arena_clear(&scratch);
    return done.count;
}

static bool maildrop_name_matches(struct str id, const char *name)
{
    return maildrop_name_is_valid(str_from(name)) &&
           (str_equal(id, STR("ALL")) || str_equal(id, str_from(name)));
}

/* Mail that pickup has not taken: only deleting makes sense there. */
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
    return count;
}

static uint64_t act_in_queue(struct job *job, enum action action, struct str id, struct str queue,
                             enum postsuper_id kind)
{
    if (str_equal(queue, STR("maildrop")))
        return action == ACTION_DELETE ? delete_in_maildrop(job, id) : 0;
    return kind == POSTSUPER_ID_UNKNOWN ? 0 : ask_queue(job, action, id, queue);
}

static void act(struct job *job, enum action action, struct str id)
{
    enum postsuper_id kind = postsuper_id_parse(id);
    uint64_t count = 0;

    if (kind == POSTSUPER_ID_INVALID) {
        tool_warn(job->tool, "invalid mail queue id: %.*s", STR_ARGS(str_take(id, 200)));
        return;
    }
    if (job->queue_count == 0)
        count = act_in_queue(job, action, id, STR(""), kind);
    for (int i = 0; i < job->queue_count && job->status == EX_OK; i++)
        count += act_in_queue(job, action, id, str_from(job->queues[i]), kind);
    job->done_count[action] += count;
    if (count > 0 && kind != POSTSUPER_ID_ALL) {
        autofree_buf struct buf text = { 0 };
        buf_printf(&text, "%.*s: %s", STR_ARGS(id), actions[action].done);
        tool_note(job->tool, buf_str(&text));
    }
}

static void act_on_input(struct job *job, enum action action)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;

    while (job->status == EX_OK && (len = getline(&line, &capacity, stdin)) > 0) {
        struct str id = str_trim(str_of(line, (size_t)len));
        if (!str_is_empty(id))
            act(job, action, id);
    }
    free(line);
}

static void report_totals(struct job *job)
{
    for (int i = 0; i < ACTION_COUNT; i++) {
        autofree_buf struct buf text = { 0 };
        if (!job->is_wanted[i] || job->status != EX_OK)
            continue;
        log_line_postsuper_count(actions[i].total, job->done_count[i], &text);
        tool_note(job->tool, buf_str(&text));
    }
}

static bool queues_check(const struct job *job)
{
    for (int i = 0; i < job->queue_count; i++) {
        enum queue_name name;
        if (!queue_name_parse(str_from(job->queues[i]), &name)) {
            tool_fail(job->tool, EX_USAGE, "invalid directory name: %.100s", job->queues[i]);
            return false;
        }
    }
    return true;
}

/* The actions in the order of the command line, once everything on it has been checked. */
static void run_actions(struct job *job, int argc, char **argv)
{
    int option;

    optind = 1;
    while (job->status == EX_OK && (option = getopt(argc, argv, "+c:d:h:H:psSv")) != -1) {
        for (int i = 0; i < ACTION_COUNT; i++) {
            if (option != actions[i].option)
                continue;
            job->is_wanted[i] = true;
            if (strcmp(optarg, "-") == 0)
                act_on_input(job, (enum action)i);
            else
                act(job, (enum action)i, str_from(optarg));
        }
    }
    report_totals(job);
}

int postsuper_main(int argc, char **argv)
{
    const char *folder = NULL;
    struct tool tool;
    int option;

    tool_start(&tool, "postsuper");
    opterr = 0;
    while (argc > 0 && (option = getopt(argc, argv, "+c:d:e:f:h:H:pr:sSv")) != -1) {
        if (option == 'c')
            folder = optarg;
        else if (option == '?')
            return tool_bad_option(&tool, optopt);
        else if (option == 'e' || option == 'f' || option == 'r')
            return tool_fail(&tool, EX_UNAVAILABLE,
                             "-%c: not yet; expiring and requeueing are "
                             "not built yet",
                             option);
    }
    if (geteuid() != 0)
        return tool_fail(&tool, EX_NOPERM, "use of this command is reserved for the superuser");
    struct job job = { .tool = &tool,
                       .client = { .fd = -1 },
                       .queues = argv + optind,
                       .queue_count = argc > optind ? argc - optind : 0 };
    if (!queues_check(&job))
        return EX_USAGE;
    if (!tool_configure(&tool, folder))
        return EX_CONFIG;
    run_actions(&job, argc, argv);
    queue_client_close(&job.client);
    tool_end(&tool);
    return job.status;
}
