/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waypost top: how the mail flows, live: rates, and for each destination what is on its way, what
 * waits, the last answer or what keeps the next delivery. The frame is made by one pure function of
 * two snapshots and a size; the loop around it asks, draws and listens to the keyboard.
 */
#include "base/clock.h"
#include "commands.h"
#include "mail/delivery.h"
#include "mail/json.h"
#include "queue_status.h"
#include "terminal.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

const char waypost_top_help[] =
    "usage: waypost top [--once | --json] [--interval SECONDS] [-c config_dir]\n"
    "\n"
    "Watches the queue: rates of messages in and recipients out, and for each destination\n"
    "  SEND    deliveries on their way\n"
    "  WAIT    deliveries that wait for their turn\n"
    "  DEFER   recipients deferred, incoming or on hold (h), as counted last\n"
    "  OLDEST  how long the oldest of them has been here\n"
    "and what keeps its next delivery from beginning, or its last answer. Keys: q quits, the\n"
    "space bar looks again now.\n"
    "\n"
    "  --once      print it once; rates are those since the start\n"
    "  --json      the same as one JSON object\n"
    "  --interval  seconds between two looks; 2\n"
    "  -c DIR      use the configuration in DIR\n"
    "  --help      show this text\n";

enum {
    DESTINATION_COLUMNS = 26,
    REST_COLUMN = DESTINATION_COLUMNS + 30, /* where the last column begins */
    HEAD_ROWS = 4,
    INTERVAL_MAX_S = 3600,
};

struct top {
    struct tool tool;
    struct queue_client client;
    struct queue_status status;
    struct wire_tool_totals before; /* a snapshot ago, for rates; now_ms 0: none */
    struct terminal out;
    int64_t interval_ms;
    bool is_once, is_json;
    struct buf frame;
};

/* ---- the frame ---- */

static uint64_t at_rest(const struct wire_tool_destination *row)
{
    return row->deferred + row->incoming + row->held;
}

/* The most mail first. */
static int compare(const void *left, const void *right)
{
    const struct wire_tool_destination *a = &((const struct status_destination *)left)->row;
    const struct wire_tool_destination *b = &((const struct status_destination *)right)->row;
    uint64_t of_a = a->busy + a->waiting + at_rest(a), of_b = b->busy + b->waiting + at_rest(b);

    if (of_a != of_b)
        return of_a < of_b ? 1 : -1;
    int order = str_compare(a->nexthop, b->nexthop);
    return order != 0 ? order : str_compare(a->transport, b->transport);
}

static double rate(uint64_t now, uint64_t before, int64_t duration_ms)
{
    return duration_ms > 0 && now >= before ? (double)(now - before) * 1000 / (double)duration_ms
                                            : 0;
}

struct rates {
    double in, sent, deferred, bounced;
};

static struct rates rates_of(const struct top *top)
{
    const struct wire_tool_totals *now = &top->status.totals, *before = &top->before;
    bool has_before = before->now_ms > 0 && before->started_ms == now->started_ms;
    struct wire_tool_totals none = { .now_ms = now->started_ms };
    const struct wire_tool_totals *since = has_before ? before : &none;
    int64_t duration_ms = now->now_ms - since->now_ms;

    return (struct rates){ .in = rate(now->accepted, since->accepted, duration_ms),
                           .sent = rate(now->delivered, since->delivered, duration_ms),
                           .deferred = rate(now->deferred, since->deferred, duration_ms),
                           .bounced = rate(now->bounced, since->bounced, duration_ms) };
}

/* One line, cut to the terminal. */
static void put_line(struct top *top, struct str text)
{
    terminal_text(text, top->out.columns, &top->frame);
    if (top->out.is_terminal && !top->is_once)
        buf_append_text(&top->frame, "\033[K");
    buf_append_byte(&top->frame, '\n');
}

static void put_head(struct top *top)
{
    const struct wire_tool_totals *totals = &top->status.totals;
    struct rates rates = rates_of(top);
    autofree_buf struct buf line = { 0 };
    time_t now_s = (time_t)(totals->now_ms / 1000);
    struct tm parts;
    char text[16] = "";

    if (localtime_r(&now_s, &parts) != NULL)
        strftime(text, sizeof text, "%H:%M:%S", &parts);
    buf_printf(&line, "waypost top  %s  up ", text);
    terminal_duration((totals->now_ms - totals->started_ms) / 1000, &line);
    buf_printf(&line, "  %llu messages in the queue, %llu active",
               (unsigned long long)totals->messages, (unsigned long long)totals->active);
    if (totals->active >= totals->active_limit)
        buf_append_text(&line, " (all there may be)");
    put_line(top, buf_str(&line));
    buf_clear(&line);
    buf_printf(&line, "per second: %.1f in, %.1f sent, %.1f deferred, %.1f bounced", rates.in,
               rates.sent, rates.deferred, rates.bounced);
    put_line(top, buf_str(&line));
    buf_clear(&line);
    buf_printf(&line, "deliveries: %llu on their way, %llu wait; room on disk: ",
               (unsigned long long)totals->in_flight, (unsigned long long)totals->waiting);
    terminal_size(totals->free_bytes, &line);
    if (!totals->is_open)
        buf_append_text(&line, ": NEW MAIL IS REFUSED");
    put_line(top, buf_str(&line));
}

static void put_count(uint64_t count, int columns, struct buf *line)
{
    if (count == 0)
        buf_printf(line, "%*s", columns, "-");
    else if (count < 100000)
        buf_printf(line, "%*llu", columns, (unsigned long long)count);
    else
        buf_printf(line, "%*lluk", columns - 1, (unsigned long long)(count / 1000));
}

/* What blocks it, else its last answer. */
static void put_rest(const struct top *top, const struct status_destination *destination,
                     struct buf *line)
{
    const struct wire_tool_destination *row = &destination->row;

    if (row->block != BLOCK_NONE) {
        buf_append_text(line, queue_status_block(row->block));
        if (row->wake_ms > top->status.totals.now_ms) {
            buf_append_text(line, " ");
            terminal_duration((row->wake_ms - top->status.totals.now_ms) / 1000, line);
        }
        if (row->dead_reason.len > 0)
            buf_append_text(line, ": ");
        buf_append(line, row->dead_reason);
    } else if (destination->reply_count > 0) {
        buf_append(line, destination->replies[0].text);
    }
}

static void put_destination(struct top *top, const struct status_destination *destination)
{
    const struct wire_tool_destination *row = &destination->row;
    autofree_buf struct buf name = { 0 };
    autofree_buf struct buf line = { 0 };
    autofree_buf struct buf rest = { 0 };
    autofree_buf struct buf oldest = { 0 };
    int columns = top->out.columns > REST_COLUMN ? top->out.columns - REST_COLUMN : 0;
    bool is_bad = row->block == BLOCK_DEAD ||
                  (destination->reply_count > 0 && destination->replies[0].status != DELIVERY_SENT);

    buf_printf(&name, "%.*s:%.*s", STR_ARGS(row->transport), STR_ARGS(row->nexthop));
    terminal_field(buf_str(&name), DESTINATION_COLUMNS, &line);
    put_count(row->busy, 6, &line);
    put_count(row->waiting, 7, &line);
    put_count(at_rest(row), 7, &line);
    buf_append_byte(&line, row->held > 0 ? 'h' : ' ');
    if (row->oldest_us > 0)
        terminal_duration((top->status.totals.now_ms - row->oldest_us / 1000) / 1000, &oldest);
    buf_printf(&line, "%7s  ", row->oldest_us > 0 ? buf_text(&oldest) : "-");
    buf_append(&top->frame, buf_str(&line));
    terminal_colour(&top->out, is_bad ? COLOUR_CARE : COLOUR_PLAIN, &top->frame);
    put_rest(top, destination, &rest);
    terminal_text(buf_str(&rest), columns, &top->frame);
    terminal_colour(&top->out, COLOUR_PLAIN, &top->frame);
    if (top->out.is_terminal && !top->is_once)
        buf_append_text(&top->frame, "\033[K");
    buf_append_byte(&top->frame, '\n');
}

static void make_frame(struct top *top)
{
    size_t shown = top->status.count;
    size_t room = (size_t)(top->out.rows > HEAD_ROWS + 2 ? top->out.rows - HEAD_ROWS - 2 : 1);
    autofree_buf struct buf title = { 0 };

    if (!top->is_once && shown > room)
        shown = room;
    put_head(top);
    terminal_field(STR("DESTINATION"), DESTINATION_COLUMNS, &title);
    buf_append_text(&title, "  SEND   WAIT  DEFER  OLDEST  LAST ANSWER, WHAT BLOCKS");
    terminal_colour(&top->out, COLOUR_BOLD, &top->frame);
    put_line(top, buf_str(&title));
    terminal_colour(&top->out, COLOUR_PLAIN, &top->frame);
    for (size_t i = 0; i < shown; i++)
        put_destination(top, &top->status.destinations[i]);
    if (shown < top->status.count) {
        buf_clear(&title);
        buf_printf(&title, "... and %zu more", top->status.count - shown);
        put_line(top, buf_str(&title));
    }
}

/* ---- as JSON ---- */

static void put_json_destination(const struct status_destination *destination, struct buf *out)
{
    const struct wire_tool_destination *row = &destination->row;

    buf_append(out, STR("{\"transport\": "));
    json_append_string(out, row->transport);
    buf_append(out, STR(", \"nexthop\": "));
    json_append_string(out, row->nexthop);
    buf_printf(out,
               ", \"in_flight\": %llu, \"waiting\": %llu, \"deferred\": %llu, \"incoming\": %llu, "
               "\"held\": %llu, \"blocked_by\": \"%s\"",
               (unsigned long long)row->busy, (unsigned long long)row->waiting,
               (unsigned long long)row->deferred, (unsigned long long)row->incoming,
               (unsigned long long)row->held, queue_status_block(row->block));
    if (row->wake_ms > 0)
        buf_printf(out, ", \"blocked_until\": %lld", (long long)(row->wake_ms / 1000));
    if (row->oldest_us > 0)
        buf_printf(out, ", \"oldest_arrival_time\": %lld", (long long)(row->oldest_us / 1000000));
    if (destination->reply_count > 0) {
        buf_append(out, STR(", \"last_reply\": "));
        json_append_string(out, destination->replies[0].text);
    }
    buf_append_byte(out, '}');
}

static void make_json(struct top *top)
{
    const struct wire_tool_totals *totals = &top->status.totals;
    struct rates rates = rates_of(top);
    struct buf *out = &top->frame;

    buf_printf(out,
               "{\"time\": %lld, \"started\": %lld, \"messages\": %llu, \"active\": %llu, "
               "\"active_limit\": %llu, \"in_flight\": %llu, \"waiting\": %llu, "
               "\"is_accepting\": %s, \"free_bytes\": %llu, \"accepted_total\": %llu, "
               "\"refused_total\": %llu, \"delivered_total\": %llu, \"deferred_total\": %llu, "
               "\"bounced_total\": %llu, \"expired_total\": %llu, "
               "\"per_second\": {\"in\": %.3f, \"sent\": %.3f, \"deferred\": %.3f, "
               "\"bounced\": %.3f}, \"destinations\": [",
               (long long)(totals->now_ms / 1000), (long long)(totals->started_ms / 1000),
               (unsigned long long)totals->messages, (unsigned long long)totals->active,
               (unsigned long long)totals->active_limit, (unsigned long long)totals->in_flight,
               (unsigned long long)totals->waiting, totals->is_open ? "true" : "false",
               (unsigned long long)totals->free_bytes, (unsigned long long)totals->accepted,
               (unsigned long long)totals->refused, (unsigned long long)totals->delivered,
               (unsigned long long)totals->deferred, (unsigned long long)totals->bounced,
               (unsigned long long)totals->expired, rates.in, rates.sent, rates.deferred,
               rates.bounced);
    for (size_t i = 0; i < top->status.count; i++) {
        if (i > 0)
            buf_append(out, STR(", "));
        put_json_destination(&top->status.destinations[i], out);
    }
    buf_append(out, STR("]}\n"));
}

/* ---- asking ---- */

static bool look(struct top *top, uint8_t census, int *status, struct error *error)
{
    struct wire_tool_status request = { .census = census };

    top->before = top->status.totals;
    if (top->client.fd < 0 &&
        !queue_client_open(&top->client, &top->tool, QUEUE_ONLY_WHEN_UP, error)) {
        *status = EX_UNAVAILABLE;
        return false;
    }
    if (!queue_status_ask(&top->client, &request, &top->status, status, error)) {
        queue_client_close(&top->client); /* the next look tries again */
        return false;
    }
    qsort(top->status.destinations, top->status.count, sizeof *top->status.destinations, compare);
    return true;
}

static int show_once(struct top *top)
{
    struct error error;
    int status;

    if (!look(top, 2, &status, &error))
        return tool_fail(&top->tool, status, "the mail system is down (%s)", error.message);
    if (top->is_json)
        make_json(top);
    else
        make_frame(top);
    fwrite(buf_text(&top->frame), 1, top->frame.len, stdout);
    return tool_flush_output(&top->tool);
}

/* ---- live ---- */

static volatile sig_atomic_t has_ended, has_resized;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        has_resized = 1;
    else
        has_ended = 1;
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static void write_frame(const struct top *top)
{
    fwrite(buf_text(&top->frame), 1, top->frame.len, stdout);
    fflush(stdout);
}

static void draw(struct top *top, bool is_good, const struct error *error)
{
    buf_clear(&top->frame);
    buf_append_text(&top->frame, "\033[H"); /* the upper left corner */
    if (is_good)
        make_frame(top);
    else
        buf_printf(&top->frame, "waypost top: %s; it is tried again\033[K\n", error->message);
    if (top->frame.len > 0 && top->frame.ptr[top->frame.len - 1] == '\n')
        buf_truncate(&top->frame, top->frame.len - 1); /* the last row must not scroll */
    buf_append_text(&top->frame, "\033[J"); /* and nothing below */
    write_frame(top);
}

/* Until the next look is due, a key or a signal. False: quit. */
static bool wait_for_key(const struct top *top)
{
    int64_t deadline_ms = clock_monotonic_ms() + top->interval_ms;
    struct pollfd keyboard = { .fd = STDIN_FILENO, .events = POLLIN };
    int64_t left_ms;
    char key;

    while (!has_ended && !has_resized && (left_ms = deadline_ms - clock_monotonic_ms()) > 0) {
        int ready = poll(&keyboard, 1, (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready <= 0)
            continue;
        if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')
            return false;
        if (key == ' ')
            return true;
    }
    return !has_ended;
}

static int watch(struct top *top)
{
    struct termios usual, raw;
    struct error error = { .message = "" };
    int status;
    bool is_good = look(top, 1, &status, &error);

    if (!is_good)
        return tool_fail(&top->tool, status, "the mail system is down (%s)", error.message);
    if (tcgetattr(STDIN_FILENO, &usual) < 0)
        return tool_fail(&top->tool, EX_USAGE,
                         "it is watched on a terminal; elsewhere use --once or --json");
    catch_signals();
    raw = usual;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?1049h\033[?25l", stdout); /* another screen, no cursor */
    do {
        has_resized = 0;
        top->out = terminal_of(STDOUT_FILENO);
        draw(top, is_good, &error);
        if (!wait_for_key(top))
            break;
        is_good = look(top, 1, &status, &error);
    } while (!has_ended);
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &usual);
    return EX_OK;
}

/* ---- the command line ---- */

static int read_options(struct top *top, int argc, char **argv)
{
    static const struct option options[] = { { "once", no_argument, NULL, 'o' },
                                             { "json", no_argument, NULL, 'j' },
                                             { "interval", required_argument, NULL, 'i' },
                                             { NULL, 0, NULL, 0 } };
    uint64_t seconds = 0;
    int option;

    opterr = 0;
    while (argc > 0 && (option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (option == 'c')
            top->tool.folder = optarg;
        else if (option == 'o' || option == 'j')
            top->is_once = true;
        if (option == 'j')
            top->is_json = true;
        if (option == 'i' && (!str_to_u64(str_from(optarg), &seconds) || seconds < 1 ||
                              seconds > INTERVAL_MAX_S))
            return tool_usage(&top->tool, "--interval takes seconds, from 1 to 3600");
        if (option == 'i')
            top->interval_ms = (int64_t)seconds * 1000;
        if (option == '?')
            return tool_usage(&top->tool, "there is no such option, or it lacks its value");
    }
    return optind < argc ? tool_usage(&top->tool, "it takes options only") : EX_OK;
}

int waypost_top_main(int argc, char **argv)
{
    struct top top = { .interval_ms = 2000, .client = { .fd = -1 } };

    tool_start(&top.tool, "waypost top");
    top.out = terminal_of(STDOUT_FILENO);
    int status = read_options(&top, argc, argv);
    if (status == EX_OK && !tool_configure(&top.tool, top.tool.folder))
        status = EX_CONFIG;
    else if (status == EX_OK && !top.is_once && (!top.out.is_terminal || !isatty(STDIN_FILENO)))
        status = tool_fail(&top.tool, EX_USAGE,
                           "it is watched on a terminal; elsewhere use --once or --json");
    if (status == EX_OK)
        status = top.is_once ? show_once(&top) : watch(&top);
    queue_client_close(&top.client);
    queue_status_clear(&top.status);
    buf_free(&top.frame);
    tool_end(&top.tool);
    return status;
}
