/* SPDX-License-Identifier: Apache-2.0 */
/* postcat: shows a queued message: its envelope, headers and body. */
#include "commands.h"
#include "mail/header.h"
#include "mail/queue_format.h"
#include "mail/queue_id.h"
#include "queue_client.h"

#include <time.h>
#include <unistd.h>

const char postcat_help[] =
    "usage: postcat [-v] [-c config_dir] -q [-beh] queue_id ...\n"
    "\n"
    "Without -b, -e or -h all three are shown.\n"
    "\n"
    "  -q          the arguments are queue ids (the queue has no files to name instead)\n"
    "  -e          show the envelope\n"
    "  -h          show the headers\n"
    "  -b          show the body\n"
    "  -c DIR      use the configuration in DIR\n"
    "  -d, -n, -o, -r, -s OFFSET  about records in Postfix's files: not supported\n"
    "  -v          accepted, does nothing\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

enum part { PART_ENVELOPE = 1, PART_HEADERS = 2, PART_BODY = 4, PART_ALL = 7 };

enum { HEADERS_BYTES_MAX = 1024 * 1024 };

struct view {
    const struct tool *tool;
    const char *id;
    int parts;
    bool has_message;
    bool is_in_body;
    struct str queue;
    struct buf headers; /* content until the headers' end is seen */
};

/* Message content may hold anything; only a terminal needs protection from it. */
static void print_content(struct str content)
{
    bool is_terminal = isatty(STDOUT_FILENO);

    for (size_t i = 0; i < content.len; i++) {
        unsigned char byte = (unsigned char)content.ptr[i];
        if (byte == '\r' && i + 1 < content.len && content.ptr[i + 1] == '\n')
            continue;
        if (is_terminal && byte < ' ' && byte != '\n' && byte != '\t')
            byte = '?';
        putchar(byte);
    }
}

static void print_text(const char *label, struct str value)
{
    fputs(label, stdout);
    for (size_t i = 0; i < value.len; i++)
        putchar((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 0x7f ? '?' : value.ptr[i]);
    putchar('\n');
}

static void print_field(const char *name, struct str value)
{
    fputs(name, stdout);
    print_text(": ", value);
}

static void print_attribute(const char *name, struct str value)
{
    if (str_is_empty(value))
        return;
    fputs("named_attribute: ", stdout);
    fputs(name, stdout);
    print_text("=", value);
}

static void print_time(const char *name, int64_t time_us)
{
    time_t time_s = (time_t)(time_us / 1000000);
    struct tm parts;
    char text[64] = "";

    if (localtime_r(&time_s, &parts) != NULL)
        strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &parts);
    print_field(name, str_from(text));
}

static void print_recipient(const struct recipient *recipient)
{
    static const char *const names[] = {
        [RECIPIENT_WAITING] = "recipient",
        [RECIPIENT_DELIVERED] = "done_recipient",
        [RECIPIENT_BOUNCED] = "done_recipient",
        [RECIPIENT_UNREPORTED] = "done_recipient",
    };

    print_attribute("dsn_orig_rcpt", recipient->dsn_orcpt);
    print_field("original_recipient", str_is_empty(recipient->original_recipient)
                                          ? recipient->address
                                          : recipient->original_recipient);
    print_field(recipient->state <= RECIPIENT_UNREPORTED ? names[recipient->state] : "recipient",
                recipient->address);
    if (!str_is_empty(recipient->diagnostic))
        print_field("reason", recipient->diagnostic);
}

static void print_envelope(const struct envelope *envelope)
{
    printf("message_size: %llu\n", (unsigned long long)envelope->size_bytes);
    print_time("message_arrival_time", envelope->arrival_us);
    print_attribute("log_message_origin",
                    envelope->flags & ENVELOPE_LOCAL ? STR("local") : envelope->client_name);
    print_attribute("log_client_address", envelope->client_address);
    print_attribute("log_helo_name", envelope->helo_name);
    print_attribute("log_protocol_name", envelope->protocol);
    print_attribute("envelope_id", envelope->dsn_envid);
    print_field("sender", envelope->sender);
    for (size_t i = 0; i < envelope->recipient_count; i++)
        print_recipient(&envelope->recipients[i]);
}

static void print_title(const struct view *view, const char *what)
{
    if (view->parts & PART_ENVELOPE)
        printf("*** %s %.*s/%s ***\n", what, STR_ARGS(view->queue), view->id);
}

static bool show_message(struct view *view, struct str payload)
{
    struct wire_tool_message message;
    struct envelope envelope;
    struct arena scratch = { 0 };
    struct error error;

    if (!wire_decode_tool_message(NULL, payload, &message))
        return false;
    bool is_good = envelope_decode(&scratch, message.envelope, &envelope, &error);
    if (is_good) {
        view->has_message = true;
        view->queue = str_from(queue_name_text((enum queue_name)message.queue));
        print_title(view, "ENVELOPE RECORDS");
        if (view->parts & PART_ENVELOPE)
            print_envelope(&envelope);
        print_title(view, "MESSAGE CONTENTS");
    }
    arena_clear(&scratch);
    return is_good;
}

/* The empty line between headers and body goes with the body, as Postfix does it. */
static void show_gathered(struct view *view)
{
    struct str content = buf_str(&view->headers);
    struct str headers = header_block(content);

    if (view->parts & PART_HEADERS)
        print_content(headers);
    if (view->parts & PART_BODY)
        print_content(str_skip(content, headers.len));
    view->is_in_body = true;
    buf_free(&view->headers);
}

static void show_content(struct view *view, struct str content)
{
    if (view->is_in_body) {
        if (view->parts & PART_BODY)
            print_content(content);
        return;
    }
    buf_append(&view->headers, content);
    if (str_find(buf_str(&view->headers), STR("\r\n\r\n")) >= 0 ||
        view->headers.len > HEADERS_BYTES_MAX)
        show_gathered(view);
}

static bool on_answer(void *argument, uint16_t number, struct str payload)
{
    struct view *view = argument;
    struct wire_tool_content content;

    if (number == WIRE_tool_message)
        return show_message(view, payload);
    if (number != WIRE_tool_content || !wire_decode_tool_content(NULL, payload, &content))
        return false;
    show_content(view, content.content);
    return true;
}

static int show(const struct tool *tool, struct queue_client *client, int parts, const char *id)
{
    struct view view = { .tool = tool, .id = id, .parts = parts, .queue = STR("") };
    struct wire_tool_done done = { 0 };
    struct arena arena = { 0 };
    struct error error;
    autofree_buf struct buf payload = { 0 };
    uint64_t queue_id;
    int status = EX_OK;

    if (!queue_id_parse(str_from(id), &queue_id))
        return tool_fail(tool, EX_DATAERR, "no message has the queue id %.100s", id);
    wire_encode_tool_show(&payload, &(struct wire_tool_show){ .id = str_from(id) });
    if (!queue_client_ask(client, WIRE_tool_show, buf_str(&payload), on_answer, &view, &arena,
                          &done, &error))
        status = tool_fail(tool, EX_UNAVAILABLE, "%s", error.message);
    else if (done.status != 0)
        status = tool_fail(tool, (int)done.status, "%.*s", STR_ARGS(done.reason));
    else if (!view.has_message)
        status = tool_fail(tool, EX_DATAERR, "no message has the queue id %.100s", id);
    if (view.has_message && !view.is_in_body)
        show_gathered(&view);
    if (view.has_message) {
        print_title(&view, "HEADER EXTRACTED");
        print_title(&view, "MESSAGE FILE END");
    }
    buf_free(&view.headers);
    arena_clear(&arena);
    return status;
}

static int show_all(const struct tool *tool, int parts, int count, char **ids)
{
    struct queue_client client;
    struct error error;
    int status = EX_OK;

    if (!queue_client_open(&client, tool, QUEUE_ALSO_WHEN_DOWN, &error))
        return tool_fail(tool, EX_UNAVAILABLE, "%s", error.message);
    for (int i = 0; i < count && status == EX_OK; i++)
        status = show(tool, &client, parts, ids[i]);
    queue_client_close(&client);
    int flushed = tool_flush_output(tool);
    return status != EX_OK ? status : flushed;
}

int postcat_main(int argc, char **argv)
{
    const char *folder = NULL;
    bool is_queue = false;
    int parts = 0, option;
    struct tool tool;

    tool_start(&tool, "postcat");
    opterr = 0;
    while (argc > 0 && (option = getopt(argc, argv, "+bc:ehqv")) != -1) {
        if (option == 'c')
            folder = optarg;
        else if (option == 'q')
            is_queue = true;
        else if (option == '?')
            return tool_bad_option(&tool, optopt);
        else if (option != 'v')
            parts |= option == 'b' ? PART_BODY : option == 'e' ? PART_ENVELOPE : PART_HEADERS;
    }
    if (!is_queue || optind >= argc)
        return tool_usage(&tool, "the queue keeps no file per message: use -q and a queue id");
    if (!tool_configure(&tool, folder))
        return EX_CONFIG;
    int status = show_all(&tool, parts != 0 ? parts : PART_ALL, argc - optind, argv + optind);
    tool_end(&tool);
    return status;
}
