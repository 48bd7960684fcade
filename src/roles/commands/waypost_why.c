/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waypost why: what is known of a destination or a message: what it waits for and until when, the
 * last answers, the limits in force and who set them.
 */
#include "base/clock.h"
#include "commands.h"
#include "mail/address.h"
#include "mail/delivery.h"
#include "mail/json.h"
#include "mail/queue_format.h"
#include "mail/queue_id.h"
#include "queue_status.h"
#include "store/queue_tool.h"
#include "terminal.h"

#include <getopt.h>
#include <time.h>
#include <unistd.h>

const char waypost_why_help[] =
    "usage: waypost why [--json] [-c config_dir] DESTINATION | QUEUE_ID\n"
    "\n"
    "DESTINATION is a next hop as `waypost top` shows it (example.com, [mail.example.com]:587,\n"
    "transport:nexthop), or a domain or an address: then it is shown where its mail goes.\n"
    "\n"
    "Shows what waits there and why, until when, the last answers, and the limits that are in\n"
    "force with the place that sets them. For a message also when it is tried next, and why then.\n"
    "\n"
    "  --json      one object\n"
    "  -c DIR      use the configuration in DIR\n"
    "  --help      show this text\n";

enum { TITLE_COLUMNS = 13 };

struct view {
    struct tool tool;
    struct terminal out;
    struct queue_status status;
    struct arena arena;
    struct buf text;
    int64_t now_ms;
};

/* ---- pieces of text ---- */

/* "2026-11-29 01:02:03 (in 12m)", or "(12m ago)". */
static void put_time(struct view *view, int64_t wall_ms)
{
    time_t wall_s = (time_t)(wall_ms / 1000);
    struct tm parts;
    char text[40] = "";
    bool is_ahead = wall_ms > view->now_ms;

    if (localtime_r(&wall_s, &parts) != NULL)
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    buf_printf(&view->text, "%s (%s", text, is_ahead ? "in " : "");
    terminal_duration((is_ahead ? wall_ms - view->now_ms : view->now_ms - wall_ms) / 1000,
                      &view->text);
    buf_append_text(&view->text, is_ahead ? ")" : " ago)");
}

static void put_title(struct view *view, const char *title)
{
    terminal_colour(&view->out, COLOUR_DIM, &view->text);
    buf_printf(&view->text, "  %-*s", TITLE_COLUMNS, title);
    terminal_colour(&view->out, COLOUR_PLAIN, &view->text);
}

static void end_line(struct view *view)
{
    buf_append_byte(&view->text, '\n');
}

static void put_reply_text(struct view *view, struct str text, int used)
{
    int columns = view->out.columns;

    terminal_text(text, columns > used + 20 ? columns - used : 0, &view->text);
}

/* ---- a destination ---- */

static void put_now(struct view *view, const struct wire_tool_destination *row)
{
    put_title(view, "now");
    if (row->block == BLOCK_NONE) {
        buf_append_text(&view->text, row->waiting > 0 ? "deliveries begin" : "nothing waits here");
    } else {
        terminal_colour(&view->out, row->block == BLOCK_DEAD ? COLOUR_BAD : COLOUR_CARE,
                        &view->text);
        buf_append_text(&view->text, queue_status_block(row->block));
        terminal_colour(&view->out, COLOUR_PLAIN, &view->text);
        if (row->wake_ms > 0) {
            buf_append_text(&view->text, " until ");
            put_time(view, row->wake_ms);
        }
    }
    end_line(view);
    if (row->dead_reason.len > 0) {
        put_title(view, "");
        put_reply_text(view, row->dead_reason, TITLE_COLUMNS + 2);
        end_line(view);
    }
}

static void put_amounts(struct view *view, const struct wire_tool_destination *row)
{
    put_title(view, "deliveries");
    buf_printf(&view->text, "%llu on their way", (unsigned long long)row->busy);
    if (row->window > 0)
        buf_printf(&view->text, " of %llu at once", (unsigned long long)row->window);
    buf_printf(&view->text, ", %llu wait; %llu of all destinations of %.*s",
               (unsigned long long)row->waiting, (unsigned long long)row->transport_busy,
               STR_ARGS(row->transport));
    end_line(view);
    put_title(view, "at rest");
    buf_printf(&view->text, "%llu deferred, %llu incoming, %llu on hold",
               (unsigned long long)row->deferred, (unsigned long long)row->incoming,
               (unsigned long long)row->held);
    if (row->oldest_us > 0) {
        buf_append_text(&view->text, "; the oldest ");
        terminal_duration(view->now_ms / 1000 - row->oldest_us / 1000000, &view->text);
        buf_append_text(&view->text, " old");
    }
    end_line(view);
    put_title(view, "since start");
    buf_printf(&view->text, "%llu sent, %llu deferred, %llu bounced",
               (unsigned long long)row->sent, (unsigned long long)row->failed,
               (unsigned long long)row->bounced);
    end_line(view);
}

static const char *status_text(uint8_t status)
{
    return status == DELIVERY_SENT ? "sent" : status == DELIVERY_BOUNCED ? "bounced" : "deferred";
}

static void put_reply(struct view *view, const struct wire_tool_reply *reply, bool is_first)
{
    autofree_buf struct buf when = { 0 };

    put_title(view, is_first ? "answers" : "");
    terminal_duration((view->now_ms - reply->wall_ms) / 1000, &when);
    buf_append_text(&when, " ago");
    if (reply->repeats > 1)
        buf_printf(&when, ", %u times", reply->repeats);
    buf_printf(&view->text, "%s: %s\n", buf_text(&when), status_text(reply->status));
    put_title(view, "");
    put_reply_text(view, reply->text, TITLE_COLUMNS + 2);
    end_line(view);
}

static void put_limit(struct view *view, struct str transport,
                      const struct wire_tool_limit *limit, bool is_first)
{
    struct limit_origin origin =
        queue_status_origin(&view->tool, &view->arena, transport, limit);
    autofree_buf struct buf setting = { 0 };

    put_title(view, is_first ? "limits" : "");
    buf_printf(&setting, "%.*s = %lld", STR_ARGS(origin.name), (long long)limit->value);
    terminal_field(buf_str(&setting), 0, &view->text);
    buf_printf(&view->text, "  (%s)", origin.place);
    if (origin.is_stale) {
        terminal_colour(&view->out, COLOUR_CARE, &view->text);
        buf_append_text(&view->text, " changed since: postfix reload");
        terminal_colour(&view->out, COLOUR_PLAIN, &view->text);
    }
    end_line(view);
}

static void put_name(struct view *view, const struct wire_tool_destination *row)
{
    terminal_colour(&view->out, COLOUR_BOLD, &view->text);
    terminal_text(row->transport, 0, &view->text);
    buf_append_byte(&view->text, ':');
    terminal_text(row->nexthop, 0, &view->text);
    terminal_colour(&view->out, COLOUR_PLAIN, &view->text);
    if (row->recipient.len > 0) {
        buf_append_text(&view->text, ", where mail for ");
        terminal_text(row->recipient, 0, &view->text);
        buf_append_text(&view->text, " goes");
    }
    end_line(view);
}

static void put_destination(struct view *view, const struct status_destination *destination)
{
    const struct wire_tool_destination *row = &destination->row;

    put_name(view, row);
    put_now(view, row);
    put_amounts(view, row);
    for (size_t i = 0; i < destination->reply_count; i++)
        put_reply(view, &destination->replies[i], i == 0);
    for (size_t i = 0; i < destination->limit_count; i++)
        put_limit(view, row->transport, &destination->limits[i], i == 0);
}

/* ---- a message ---- */

static const struct wire_tool_limit *find_limit(const struct view *view, struct str name)
{
    for (size_t i = 0; i < view->status.limit_count; i++)
        if (str_equal(view->status.limits[i].name, name))
            return &view->status.limits[i];
    return NULL;
}

/* "minimal_backoff_time = 300 (default)" */
static void put_setting(struct view *view, struct str name)
{
    const struct wire_tool_limit *limit = find_limit(view, name);

    if (limit == NULL)
        return;
    struct limit_origin origin =
        queue_status_origin(&view->tool, &view->arena, STR(""), limit);
    buf_printf(&view->text, "%.*s = %lld (%s)", STR_ARGS(name), (long long)limit->value,
               origin.place);
}

static void put_next(struct view *view, enum queue_name queue, const struct envelope *envelope)
{
    put_title(view, "next try");
    if (queue == QUEUE_HOLD) {
        buf_append_text(&view->text, "never: it is on hold until postsuper -H releases it");
    } else if (envelope->flags & ENVELOPE_FORCE_EXPIRED) {
        buf_append_text(&view->text, "none: it goes back to its sender ");
        put_time(view, view->status.message.next_attempt_ms);
    } else if (queue != QUEUE_DEFERRED) {
        buf_append_text(&view->text, "now: see the destinations below for what keeps it");
    } else {
        put_time(view, view->status.message.next_attempt_ms);
        end_line(view);
        put_title(view, "");
        buf_append_text(&view->text, "it waits for as long as it was here at the last try, within");
        end_line(view);
        put_title(view, "");
        put_setting(view, STR("minimal_backoff_time"));
        end_line(view);
        put_title(view, "");
        put_setting(view, STR("maximal_backoff_time"));
    }
    end_line(view);
}

static void put_expiry(struct view *view, const struct envelope *envelope)
{
    struct str name = envelope->sender.len > 0 ? STR("maximal_queue_lifetime")
                                               : STR("bounce_queue_lifetime");
    const struct wire_tool_limit *limit = find_limit(view, name);

    if (limit == NULL)
        return;
    put_title(view, "expires");
    put_time(view, envelope->arrival_us / 1000 + limit->value * 1000);
    end_line(view);
    put_title(view, "");
    put_setting(view, name);
    end_line(view);
}

static void put_recipients(struct view *view, const struct envelope *envelope)
{
    enum { SHOWN_MAX = 20 };
    size_t shown = 0;

    for (size_t i = 0; i < envelope->recipient_count && shown < SHOWN_MAX; i++) {
        const struct recipient *recipient = &envelope->recipients[i];
        if (recipient->state != RECIPIENT_WAITING)
            continue;
        put_title(view, shown++ == 0 ? "waits for" : "");
        put_reply_text(view, recipient->address, TITLE_COLUMNS + 2);
        end_line(view);
        if (recipient->diagnostic.len == 0)
            continue;
        put_title(view, "");
        put_reply_text(view, recipient->diagnostic, TITLE_COLUMNS + 2);
        end_line(view);
    }
}

static void put_message(struct view *view, const char *id, const struct envelope *envelope)
{
    enum queue_name queue = (enum queue_name)view->status.message.queue;
    autofree_buf struct buf sender = { 0 };

    if (envelope->sender.len > 0)
        address_format(envelope->sender, &sender);
    else
        buf_append(&sender, STR("<>"));
    terminal_colour(&view->out, COLOUR_BOLD, &view->text);
    buf_append_text(&view->text, id);
    terminal_colour(&view->out, COLOUR_PLAIN, &view->text);
    buf_append_text(&view->text, " from ");
    terminal_text(buf_str(&sender), 0, &view->text);
    end_line(view);
    put_title(view, "status");
    buf_printf(&view->text, "%s, ", queue_name_text(queue));
    terminal_count(envelope->attempts, "attempt", &view->text);
    buf_append_text(&view->text, " so far");
    end_line(view);
    put_title(view, "arrived");
    put_time(view, envelope->arrival_us / 1000);
    end_line(view);
    put_next(view, queue, envelope);
    if (queue != QUEUE_HOLD)
        put_expiry(view, envelope);
    put_recipients(view, envelope);
}

/* ---- as JSON ---- */

static void put_json_text(struct view *view, const char *name, struct str value)
{
    buf_printf(&view->text, "\"%s\": ", name);
    json_append_string(&view->text, value);
    buf_append(&view->text, STR(", "));
}

static void put_json_number(struct view *view, const char *name, int64_t value)
{
    buf_printf(&view->text, "\"%s\": %lld, ", name, (long long)value);
}

/* Takes the comma behind the last member away. */
static void end_json(struct view *view, char closing)
{
    struct buf *text = &view->text;

    if (text->len > 2 && text->ptr[text->len - 2] == ',')
        buf_truncate(text, text->len - 2);
    buf_printf(text, "%c, ", closing);
}

static void put_json_limits(struct view *view, struct str transport,
                            const struct wire_tool_limit *limits, size_t count)
{
    buf_append(&view->text, STR("\"limits\": ["));
    for (size_t i = 0; i < count; i++) {
        struct limit_origin origin =
            queue_status_origin(&view->tool, &view->arena, transport, &limits[i]);
        buf_append_byte(&view->text, '{');
        put_json_text(view, "name", origin.name);
        put_json_number(view, "value", limits[i].value);
        put_json_text(view, "set_by", str_from(origin.place));
        buf_printf(&view->text, "\"is_stale\": %s", origin.is_stale ? "true" : "false");
        end_json(view, '}');
    }
    end_json(view, ']');
}

static void put_json_replies(struct view *view, const struct status_destination *destination)
{
    buf_append(&view->text, STR("\"replies\": ["));
    for (size_t i = 0; i < destination->reply_count; i++) {
        const struct wire_tool_reply *reply = &destination->replies[i];
        buf_append_byte(&view->text, '{');
        put_json_number(view, "time", reply->wall_ms / 1000);
        put_json_number(view, "repeats", reply->repeats);
        put_json_text(view, "status", str_from(status_text(reply->status)));
        put_json_text(view, "text", reply->text);
        end_json(view, '}');
    }
    end_json(view, ']');
}

static void put_json_destination(struct view *view, const struct status_destination *destination)
{
    const struct wire_tool_destination *row = &destination->row;

    buf_append_byte(&view->text, '{');
    put_json_text(view, "transport", row->transport);
    put_json_text(view, "nexthop", row->nexthop);
    if (row->recipient.len > 0)
        put_json_text(view, "recipient", row->recipient);
    put_json_text(view, "blocked_by", str_from(queue_status_block(row->block)));
    if (row->wake_ms > 0)
        put_json_number(view, "blocked_until", row->wake_ms / 1000);
    if (row->dead_reason.len > 0)
        put_json_text(view, "dead_reason", row->dead_reason);
    put_json_number(view, "in_flight", (int64_t)row->busy);
    put_json_number(view, "waiting", (int64_t)row->waiting);
    put_json_number(view, "window", (int64_t)row->window);
    put_json_number(view, "deferred", (int64_t)row->deferred);
    put_json_number(view, "incoming", (int64_t)row->incoming);
    put_json_number(view, "held", (int64_t)row->held);
    if (row->oldest_us > 0)
        put_json_number(view, "oldest_arrival_time", row->oldest_us / 1000000);
    put_json_number(view, "sent_total", (int64_t)row->sent);
    put_json_number(view, "deferred_total", (int64_t)row->failed);
    put_json_number(view, "bounced_total", (int64_t)row->bounced);
    put_json_replies(view, destination);
    put_json_limits(view, row->transport, destination->limits, destination->limit_count);
    end_json(view, '}');
}

static void put_json_message(struct view *view, const char *id, const struct envelope *envelope)
{
    const struct wire_tool_message *message = &view->status.message;

    buf_append(&view->text, STR("\"message\": {"));
    put_json_text(view, "queue_id", str_from(id));
    put_json_text(view, "queue_name", str_from(queue_name_text((enum queue_name)message->queue)));
    put_json_text(view, "sender", envelope->sender);
    put_json_number(view, "arrival_time", envelope->arrival_us / 1000000);
    put_json_number(view, "attempts", envelope->attempts);
    if (message->next_attempt_ms != QUEUE_TOOL_NEVER_MS)
        put_json_number(view, "next_attempt_time", message->next_attempt_ms / 1000);
    buf_append(&view->text, STR("\"recipients\": ["));
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        const struct recipient *recipient = &envelope->recipients[i];
        if (recipient->state != RECIPIENT_WAITING)
            continue;
        buf_append_byte(&view->text, '{');
        put_json_text(view, "address", recipient->address);
        if (recipient->diagnostic.len > 0)
            put_json_text(view, "delay_reason", recipient->diagnostic);
        end_json(view, '}');
    }
    end_json(view, ']');
    end_json(view, '}');
}

/* ---- the whole ---- */

static void show_text(struct view *view, const char *id, const struct envelope *envelope)
{
    if (envelope != NULL)
        put_message(view, id, envelope);
    for (size_t i = 0; i < view->status.count; i++) {
        if (i > 0 || envelope != NULL)
            end_line(view);
        put_destination(view, &view->status.destinations[i]);
    }
}

static void show_json(struct view *view, const char *id, const struct envelope *envelope)
{
    buf_append_byte(&view->text, '{');
    if (envelope != NULL)
        put_json_message(view, id, envelope);
    put_json_limits(view, STR(""), view->status.limits, view->status.limit_count);
    buf_append(&view->text, STR("\"destinations\": ["));
    for (size_t i = 0; i < view->status.count; i++)
        put_json_destination(view, &view->status.destinations[i]);
    end_json(view, ']');
    end_json(view, '}');
    buf_truncate(&view->text, view->text.len - 2);
    end_line(view);
}

static int show(struct view *view, const char *name, bool is_json)
{
    struct envelope envelope;
    struct error error;
    bool has_message = view->status.has_message;

    view->now_ms = clock_wall_ms();
    if (has_message &&
        !envelope_decode(&view->arena, view->status.message.envelope, &envelope, &error))
        return tool_fail(&view->tool, EX_DATAERR, "%s", error.message);
    if (is_json)
        show_json(view, name, has_message ? &envelope : NULL);
    else
        show_text(view, name, has_message ? &envelope : NULL);
    fwrite(buf_text(&view->text), 1, view->text.len, stdout);
    return tool_flush_output(&view->tool);
}

static int ask_and_show(struct view *view, const char *name, bool is_json)
{
    struct queue_client client;
    struct error error;
    uint64_t queue_id;
    int status;
    bool is_id = queue_id_parse(str_from(name), &queue_id);
    struct wire_tool_status request = { .destination = is_id ? STR("") : str_from(name),
                                        .id = is_id ? str_from(name) : STR(""),
                                        .census = 2 };

    if (!tool_configure(&view->tool, view->tool.folder))
        return EX_CONFIG;
    if (!queue_client_open(&client, &view->tool, QUEUE_ONLY_WHEN_UP, &error))
        return tool_fail(&view->tool, EX_UNAVAILABLE, "the mail system is down (%s)",
                         error.message);
    if (!queue_status_ask(&client, &request, &view->status, &status, &error))
        status = tool_fail(&view->tool, status, "%.100s: %s", name, error.message);
    else
        status = show(view, name, is_json);
    queue_client_close(&client);
    return status;
}

int waypost_why_main(int argc, char **argv)
{
    static const struct option options[] = { { "json", no_argument, NULL, 'j' },
                                             { NULL, 0, NULL, 0 } };
    struct view view = { .out = terminal_of(STDOUT_FILENO) };
    bool is_json = false;
    int option;

    tool_start(&view.tool, "waypost why");
    opterr = 0;
    while (argc > 0 && (option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (option == 'c')
            view.tool.folder = optarg;
        else if (option == 'j')
            is_json = true;
        else
            return tool_usage(&view.tool, "there is no such option, or it lacks its value");
    }
    if (argc - optind != 1)
        return tool_usage(&view.tool, "it needs one destination or queue id");
    int status = ask_and_show(&view, argv[optind], is_json);
    queue_status_clear(&view.status);
    arena_clear(&view.arena);
    buf_free(&view.text);
    tool_end(&view.tool);
    return status;
}
