/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waypost queue: looks at the messages that somebody means, and does something with all of them.
 * The selection is made here, on the stream of the whole listing, and remembered as ids alone.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "commands.h"
#include "mail/address.h"
#include "mail/json.h"
#include "mail/queue_filter.h"
#include "mail/queue_id.h"
#include "queue_change.h"
#include "terminal.h"

#include <getopt.h>
#include <unistd.h>

const char waypost_queue_help[] =
    "usage: waypost queue [selection ...] [--json | action [--yes]] [-c config_dir]\n"
    "\n"
    "Shows the selected messages, or does something with all of them.\n"
    "\n"
    "selection; all that is said must hold:\n"
    "  --destination D  a waiting recipient's domain: example.com, *.example.com\n"
    "  --sender S       from: user@example.com, @example.com, *@*.example.com, <> for none\n"
    "  --recipient R    a waiting recipient: the same forms\n"
    "  --status S       active, deferred, hold or incoming; several with commas\n"
    "  --reason REGEX   what a waiting recipient's last attempt failed with, in any case\n"
    "  --older TIME     in the queue for longer: 90, 15m, 1h, 2d, 1w\n"
    "  --larger SIZE    at least of that size: 5000, 10K, 3M\n"
    "\n"
    "action; it says how many there are, and asks:\n"
    "  --delete         they are gone for good\n"
    "  --hold           no delivery is attempted until they are released\n"
    "  --release        from hold\n"
    "  --retry          an attempt is due now\n"
    "  --bounce         they go back to their senders now\n"
    "  --yes            does not ask; needed where nobody can be asked\n"
    "\n"
    "  --json           one object for each message on a line, as postqueue -j, and more\n"
    "  -c DIR           use the configuration in DIR\n"
    "  --help           show this text\n";

enum {
    PROGRESS_MS = 500,
    RECIPIENTS_SHOWN = 3,
};

static const struct {
    const char *option;
    enum queue_tool_action action;
    const char *question; /* in front of the count */
    const char *done;
} actions[] = {
    { "delete", QUEUE_TOOL_DELETE, "Delete", "deleted" },
    { "hold", QUEUE_TOOL_HOLD, "Put on hold", "put on hold" },
    { "release", QUEUE_TOOL_RELEASE, "Release from hold", "released from hold" },
    { "retry", QUEUE_TOOL_RETRY, "Try now", "due now" },
    { "bounce", QUEUE_TOOL_EXPIRE_RELEASE, "Return to the senders", "returned to the senders" },
};
enum { ACTION_COUNT = sizeof actions / sizeof *actions };

struct request {
    struct tool tool;
    struct queue_filter_texts texts;
    struct queue_filter *filter;
    int action; /* index in actions; -1: show them */
    bool is_json, is_yes;
    struct terminal out, err;
    struct queue_client client;

    uint64_t seen, count, recipients, bytes;
    int64_t oldest_us;
    uint64_t *ids; /* of the selection, where there is an action */
    size_t id_capacity;
    int64_t told_ms; /* the progress */
    bool has_progress;
    struct buf text;
};

/* ---- progress, on standard error, where somebody looks ---- */

static void show_progress(struct request *request, uint64_t done, uint64_t of, const char *what)
{
    int64_t now_ms = clock_monotonic_ms();

    if (request->told_ms == 0)
        request->told_ms = now_ms;
    if (!request->err.is_terminal || now_ms - request->told_ms < PROGRESS_MS)
        return;
    request->told_ms = now_ms;
    request->has_progress = true;
    if (of > 0)
        fprintf(stderr, "\r%llu of %llu %s", (unsigned long long)done, (unsigned long long)of,
                what);
    else
        fprintf(stderr, "\r%llu %s", (unsigned long long)done, what);
    fflush(stderr);
}

static void end_progress(struct request *request)
{
    if (request->has_progress)
        fputs("\r\033[K", stderr);
    request->has_progress = false;
    request->told_ms = 0;
}

/* ---- one message ---- */

static enum colour colour_of(enum queue_name queue)
{
    switch (queue) {
    case QUEUE_ACTIVE:
        return COLOUR_GOOD;
    case QUEUE_HOLD:
        return COLOUR_BAD;
    case QUEUE_DEFERRED:
        return COLOUR_CARE;
    case QUEUE_INCOMING:
    case QUEUE_MAILDROP:
        break;
    }
    return COLOUR_PLAIN;
}

static void put_line_of(struct request *request, struct str text, int indent)
{
    int columns = request->out.columns;

    for (int i = 0; i < indent; i++)
        buf_append_byte(&request->text, ' ');
    terminal_text(text, columns > indent ? columns - indent : 0, &request->text);
    buf_append_byte(&request->text, '\n');
}

/* One line of what all have in common, then recipients with what they wait for. */
static void format_recipients(struct request *request, const struct envelope *envelope)
{
    struct str reason = STR("");
    size_t shown = 0, waiting = envelope_waiting_count(envelope);

    for (size_t i = 0; i < envelope->recipient_count && shown < RECIPIENTS_SHOWN; i++) {
        const struct recipient *recipient = &envelope->recipients[i];
        autofree_buf struct buf line = { 0 };
        if (recipient->state != RECIPIENT_WAITING)
            continue;
        buf_append(&line, STR("to "));
        address_format(recipient->address, &line);
        if (++shown == RECIPIENTS_SHOWN && waiting > shown)
            buf_printf(&line, " and %zu more", waiting - shown);
        put_line_of(request, buf_str(&line), 2);
        if (recipient->diagnostic.len > 0 && !str_equal(reason, recipient->diagnostic)) {
            terminal_colour(&request->out, COLOUR_DIM, &request->text);
            put_line_of(request, recipient->diagnostic, 4);
            terminal_colour(&request->out, COLOUR_PLAIN, &request->text);
        }
        reason = recipient->diagnostic;
    }
}

static void put_title(struct request *request)
{
    terminal_colour(&request->out, COLOUR_BOLD, &request->text);
    buf_printf(&request->text, "%-17s %-9s %6s %5s %6s  %s", "QUEUE ID", "STATUS", "AGE", "SIZE",
               "NEXT", "SENDER");
    terminal_colour(&request->out, COLOUR_PLAIN, &request->text);
    buf_append_byte(&request->text, '\n');
}

static void format_message(struct request *request, const struct queue_entry *entry, int64_t due_ms,
                           int64_t now_ms)
{
    const struct envelope *envelope = entry->envelope;
    autofree_buf struct buf age = { 0 };
    autofree_buf struct buf size = { 0 };
    autofree_buf struct buf next = { 0 };
    autofree_buf struct buf sender = { 0 };
    enum { SENDER_COLUMN = 49 };
    int columns = request->out.columns;

    terminal_duration((now_ms - envelope->arrival_us / 1000) / 1000, &age);
    terminal_size(envelope->size_bytes, &size);
    if (entry->queue == QUEUE_DEFERRED && due_ms > now_ms)
        terminal_duration((due_ms - now_ms) / 1000, &next);
    else
        buf_append_text(&next, entry->queue == QUEUE_HOLD ? "-" : "now");
    if (envelope->sender.len > 0)
        address_format(envelope->sender, &sender);
    else
        buf_append(&sender, STR("<>"));
    if (request->count == 1)
        put_title(request);
    terminal_field(entry->queue_id, 17, &request->text);
    terminal_colour(&request->out, colour_of(entry->queue), &request->text);
    buf_printf(&request->text, " %-9s",
               entry->is_forced_expire ? "expiring" : queue_name_text(entry->queue));
    terminal_colour(&request->out, COLOUR_PLAIN, &request->text);
    buf_printf(&request->text, " %6s %5s %6s  ", buf_text(&age), buf_text(&size), buf_text(&next));
    terminal_text(buf_str(&sender), columns > SENDER_COLUMN ? columns - SENDER_COLUMN : 0,
                  &request->text);
    buf_append_byte(&request->text, '\n');
    format_recipients(request, envelope);
}

/* postqueue -j's object with more members. */
static void format_json(struct request *request, const struct queue_entry *entry, int64_t due_ms)
{
    const struct envelope *envelope = entry->envelope;
    struct buf *text = &request->text;

    queue_format_json(entry, text);
    buf_truncate(text, text->len - 2);
    buf_printf(text, ", \"attempts\": %u", envelope->attempts);
    if (due_ms != QUEUE_TOOL_NEVER_MS)
        buf_printf(text, ", \"next_attempt_time\": %lld", (long long)(due_ms / 1000));
    buf_append(text, STR("}\n"));
}

static void remember(struct request *request, uint64_t queue_id)
{
    if (request->count > request->id_capacity) {
        request->id_capacity = request->id_capacity * 2 + 1024;
        request->ids = memory_resize(request->ids, request->id_capacity * sizeof *request->ids);
    }
    request->ids[request->count - 1] = queue_id;
}

static void take_message(struct request *request, uint64_t queue_id,
                         const struct queue_entry *entry, int64_t due_ms)
{
    const struct envelope *envelope = entry->envelope;
    int64_t now_ms = clock_wall_ms();

    show_progress(request, ++request->seen, 0, "messages looked at");
    if (!queue_filter_matches(request->filter, entry, now_ms))
        return;
    request->count++;
    request->recipients += envelope_waiting_count(envelope);
    request->bytes += envelope->size_bytes;
    if (request->oldest_us == 0 || envelope->arrival_us < request->oldest_us)
        request->oldest_us = envelope->arrival_us;
    if (request->action >= 0) {
        remember(request, queue_id);
        return;
    }
    end_progress(request);
    buf_clear(&request->text);
    if (request->is_json)
        format_json(request, entry, due_ms);
    else
        format_message(request, entry, due_ms, now_ms);
    fwrite(buf_text(&request->text), 1, request->text.len, stdout);
}

static bool on_message(void *argument, uint16_t number, struct str payload)
{
    struct request *request = argument;
    autoclear_arena struct arena scratch = { 0 };
    struct queue_listed listed;

    if (queue_listed_is_damaged(&request->tool, number, payload))
        return true;
    if (number != WIRE_tool_message ||
        !queue_listed_decode(&request->tool, &scratch, payload, &listed))
        return false;
    take_message(request, listed.queue_id, &listed.entry, listed.next_attempt_ms);
    return true;
}

static int list(struct request *request)
{
    struct wire_tool_done done = { 0 };
    struct arena arena = { 0 };
    struct error error;
    autofree_buf struct buf payload = { 0 };
    int status = EX_OK;

    wire_encode_tool_list(&payload, &(struct wire_tool_list){ .queue = STR("") });
    if (!queue_client_ask(&request->client, WIRE_tool_list, buf_str(&payload), on_message, request,
                          &arena, &done, &error))
        status = tool_fail(&request->tool, EX_UNAVAILABLE, "%s", error.message);
    else if (done.status != 0)
        status = tool_fail(&request->tool, (int)done.status, "%.*s", STR_ARGS(done.reason));
    end_progress(request);
    arena_clear(&arena);
    return status;
}

/* ---- what is done with them ---- */

static void format_sum(struct request *request, struct buf *out)
{
    terminal_count(request->count, "message", out);
    if (request->count == 0)
        return;
    buf_append(out, STR(" ("));
    terminal_count(request->recipients, "recipient", out);
    buf_append(out, STR(", "));
    terminal_size(request->bytes, out);
    buf_append(out, STR(" bytes, the oldest "));
    terminal_duration((clock_wall_us() - request->oldest_us) / 1000000, out);
    buf_append(out, STR(" old)"));
}

/* EX_OK: go on. Where nobody can be asked, nothing is done. */
static int ask(struct request *request)
{
    autofree_buf struct buf sum = { 0 };
    char answer[16] = "";

    format_sum(request, &sum);
    if (request->is_yes)
        return EX_OK;
    if (!isatty(STDIN_FILENO) || !request->err.is_terminal)
        return tool_fail(&request->tool, EX_USAGE,
                         "%s: nothing is done without --yes, as nobody can be asked here",
                         buf_text(&sum));
    fprintf(stderr, "%s %s? [y/N] ", actions[request->action].question, buf_text(&sum));
    fflush(stderr);
    if (fgets(answer, sizeof answer, stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y'))
        return tool_fail(&request->tool, EX_TEMPFAIL, "nothing is done");
    return EX_OK;
}

struct changing {
    struct request *request;
    size_t first; /* number of the first id of this batch */
};

/* Who did what to which message is found in the mail log. */
static void log_changed(void *argument, size_t index, unsigned effect)
{
    struct changing *changing = argument;
    struct request *request = changing->request;
    struct arena scratch = { 0 };
    autofree_buf struct buf text = { 0 };
    bool is_long = request->tool.config->enable_long_queue_ids;

    (void)effect;
    buf_printf(&text, "%s: %s",
               queue_id_format(request->ids[changing->first + index], is_long).text,
               actions[request->action].done);
    tool_log(
        &request->tool,
        arena_printf(&scratch, "%.*s/waypost-queue", STR_ARGS(request->tool.config->syslog_name)),
        SEVERITY_INFO, buf_str(&text));
    arena_clear(&scratch);
}

static bool change_all(struct request *request, enum queue_tool_action action, bool is_logged,
                       struct queue_tool_counts *counts, int *status)
{
    struct changing changing = { .request = request };
    struct queue_change change = {
        .client = &request->client,
        .action = action,
        .queues = request->texts.status,
        .changed = is_logged ? log_changed : NULL,
        .argument = &changing,
    };
    struct error error;
    bool is_good = true;

    for (uint64_t i = 0; is_good && i < request->count; i++) {
        is_good = queue_change_add(&change, request->ids[i], status, &error);
        if (change.count == QUEUE_CHANGE_IDS_MAX || i + 1 == request->count) {
            is_good = is_good && queue_change_send(&change, status, &error);
            changing.first = (size_t)i + 1;
            show_progress(request, i + 1, request->count, actions[request->action].done);
        }
    }
    end_progress(request);
    *counts = change.counts;
    queue_change_clear(&change);
    if (!is_good)
        tool_fail(&request->tool, *status, "%s", error.message);
    return is_good;
}

static int act(struct request *request)
{
    enum queue_tool_action action = actions[request->action].action;
    struct queue_tool_counts counts, ignored;
    autofree_buf struct buf text = { 0 };
    int status = request->count == 0 ? EX_OK : ask(request);

    if (status != EX_OK)
        return status;
    if (!change_all(request, action, true, &counts, &status))
        return status;
    /* What is to go back does so now. */
    if (action == QUEUE_TOOL_EXPIRE_RELEASE) {
        request->texts.status = STR("");
        if (!change_all(request, QUEUE_TOOL_RETRY, false, &ignored, &status))
            return status;
    }
    terminal_count(counts.done, "message", &text);
    printf("%s %s\n", buf_text(&text), actions[request->action].done);
    return EX_OK;
}

static int show(struct request *request)
{
    int status = list(request);

    if (status == EX_OK && !request->is_json) {
        buf_clear(&request->text);
        if (request->count > 0)
            buf_append_byte(&request->text, '\n');
        format_sum(request, &request->text);
        puts(buf_text(&request->text));
    }
    return status;
}

/* ---- the command line ---- */

enum { OPTION_TEXT = 1000, OPTION_ACTION = 2000, OPTION_JSON = 3000, OPTION_YES };

static const struct option_text {
    const char *name;
    size_t offset;
} option_texts[] = {
    { "destination", offsetof(struct queue_filter_texts, destination) },
    { "sender", offsetof(struct queue_filter_texts, sender) },
    { "recipient", offsetof(struct queue_filter_texts, recipient) },
    { "status", offsetof(struct queue_filter_texts, status) },
    { "reason", offsetof(struct queue_filter_texts, reason) },
    { "older", offsetof(struct queue_filter_texts, older) },
    { "larger", offsetof(struct queue_filter_texts, larger) },
};
enum { TEXT_COUNT = sizeof option_texts / sizeof *option_texts };

static void make_options(struct option options[TEXT_COUNT + ACTION_COUNT + 4])
{
    size_t count = 0;

    for (int i = 0; i < TEXT_COUNT; i++)
        options[count++] =
            (struct option){ option_texts[i].name, required_argument, NULL, OPTION_TEXT + i };
    for (int i = 0; i < ACTION_COUNT; i++)
        options[count++] =
            (struct option){ actions[i].option, no_argument, NULL, OPTION_ACTION + i };
    options[count++] = (struct option){ "json", no_argument, NULL, OPTION_JSON };
    options[count++] = (struct option){ "yes", no_argument, NULL, OPTION_YES };
    options[count] = (struct option){ NULL, 0, NULL, 0 };
}

/* False: said twice. */
static bool take_option(struct request *request, int option)
{
    if (option == 'c') {
        request->tool.folder = optarg;
    } else if (option == OPTION_JSON) {
        request->is_json = true;
    } else if (option == OPTION_YES) {
        request->is_yes = true;
    } else if (option >= OPTION_ACTION) {
        if (request->action >= 0)
            return false;
        request->action = option - OPTION_ACTION;
    } else {
        struct str *text = (struct str *)(void *)((char *)&request->texts +
                                                  option_texts[option - OPTION_TEXT].offset);
        if (text->len > 0)
            return false;
        *text = str_from(optarg);
    }
    return true;
}

static int read_options(struct request *request, int argc, char **argv)
{
    struct option options[TEXT_COUNT + ACTION_COUNT + 4];
    int option;

    make_options(options);
    opterr = 0;
    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (option == '?')
            return tool_usage(&request->tool, "there is no such option, or it lacks its value");
        if (!take_option(request, option))
            return tool_usage(&request->tool, "one action, and each part of a selection once");
    }
    if (optind < argc)
        return tool_usage(&request->tool, "it takes options only");
    if (request->is_json && request->action >= 0)
        return tool_usage(&request->tool, "--json shows messages, and goes with no action");
    return EX_OK;
}

static int run(struct request *request)
{
    struct error error;
    int status;

    request->filter = queue_filter_new(&request->texts, &error);
    if (request->filter == NULL)
        return tool_fail(&request->tool, EX_USAGE, "%s", error.message);
    if (!tool_configure(&request->tool, request->tool.folder))
        return EX_CONFIG;
    if (!queue_client_open(&request->client, &request->tool, QUEUE_ALSO_WHEN_DOWN, &error))
        return tool_fail(&request->tool, EX_UNAVAILABLE, "%s", error.message);
    if (request->action < 0) {
        status = show(request);
    } else {
        status = list(request);
        if (status == EX_OK)
            status = act(request);
    }
    queue_client_close(&request->client);
    int flushed = tool_flush_output(&request->tool);
    return status != EX_OK ? status : flushed;
}

int waypost_queue_main(int argc, char **argv)
{
    struct request request = { .action = -1 };

    tool_start(&request.tool, "waypost queue");
    request.out = terminal_of(STDOUT_FILENO);
    request.err = terminal_of(STDERR_FILENO);
    int status = argc > 0 ? read_options(&request, argc, argv) : EX_OK;
    if (status == EX_OK)
        status = run(&request);
    queue_filter_free(&request.filter);
    memory_free(request.ids);
    buf_free(&request.text);
    tool_end(&request.tool);
    return status;
}
