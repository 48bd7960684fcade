/* SPDX-License-Identifier: Apache-2.0 */
/* postcat: shows a queued message: its envelope, headers and body. */
#include "base/file.h"
#include "commands.h"
#include "mail/maildrop_file.h"
#include "mail/queue_id.h"
#include "postsuper_id.h"
#include "queue_client.h"
#include "queue_file_view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const char postcat_help[] =
    "usage: postcat [-bdehoqrv] [-c config_dir] queue_id ...\n"
    "\n"
    "Without -b, -e or -h all three are shown.\n"
    "\n"
    "  -q          the arguments are queue ids; without it they are files, and none is a message\n"
    "  -e          show the envelope\n"
    "  -h          show the headers\n"
    "  -b          show the body\n"
    "  -d          show the type that each line's record has in Postfix's queue files\n"
    "  -o          show the place that it would have there\n"
    "  -v          say of each line of content what it is\n"
    "  -r          accepted: records have one order here\n"
    "  -c DIR      use the configuration in DIR\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

#define POSTCAT_USAGE                                                                              \
    "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope "    \
    "records)] [-h (header text)] [-q (access queue)] [-v] [file(s)...]"

enum { STATUS_FATAL = 1 }; /* whatever it is: Postfix's exit status */

struct showing {
    const struct tool *tool;
    struct queue_file_view view;
    const char *id;
    bool has_message;
};

static bool show_message(struct showing *showing, struct str payload)
{
    struct wire_tool_message message;
    struct envelope envelope;
    struct arena scratch = { 0 };
    struct error error;

    if (!wire_decode_tool_message(NULL, payload, &message))
        return false;
    bool is_good = envelope_decode(&scratch, message.envelope, &envelope, &error);
    if (is_good) {
        showing->has_message = true;
        queue_file_view_begin(&showing->view, str_from(showing->id), (enum queue_name)message.queue,
                              &envelope, queue_id_wall_ms(message.queue_id) / 1000);
    }
    arena_clear(&scratch);
    return is_good;
}

static bool on_answer(void *argument, uint16_t number, struct str payload)
{
    struct showing *showing = argument;
    struct wire_tool_content content;

    if (number == WIRE_tool_message)
        return show_message(showing, payload);
    if (number != WIRE_tool_content || !wire_decode_tool_content(NULL, payload, &content))
        return false;
    queue_file_view_content(&showing->view, content.content);
    return true;
}

static int fail_to_open(const struct tool *tool, const char *id, int why)
{
    return tool_fail(tool, STATUS_FATAL, "open queue file %.200s: %s", id, strerror(why));
}

static int show_queued(struct showing *showing, struct queue_client *client)
{
    struct wire_tool_done done = { 0 };
    struct arena arena = { 0 };
    struct error error;
    autofree_buf struct buf payload = { 0 };
    int status = EX_OK;

    wire_encode_tool_show(&payload, &(struct wire_tool_show){ .id = str_from(showing->id) });
    if (!queue_client_ask(client, WIRE_tool_show, buf_str(&payload), on_answer, showing, &arena,
                          &done, &error))
        status = tool_fail(showing->tool, STATUS_FATAL, "%s", error.message);
    else if (done.status == EX_NOPERM)
        status = fail_to_open(showing->tool, showing->id, EACCES);
    else if (done.status == EX_NOINPUT || !showing->has_message)
        status = fail_to_open(showing->tool, showing->id, ENOENT);
    else if (done.status != 0)
        status = tool_fail(showing->tool, STATUS_FATAL, "%.*s", STR_ARGS(done.reason));
    arena_clear(&arena);
    return status;
}

/* Mail that pickup has not taken. */
static int show_maildrop(struct showing *showing)
{
    autoclear_arena struct arena scratch = { 0 };
    autoclose int folder = open(
        arena_printf(&scratch, "%.*s/maildrop", STR_ARGS(showing->tool->config->queue_directory)),
        O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct maildrop_file file;
    struct error error;
    char portion[16 * 1024];
    size_t count = 0;

    if (folder < 0 || !maildrop_name_is_valid(str_from(showing->id)))
        return fail_to_open(showing->tool, showing->id, folder < 0 ? errno : ENOENT);
    if (maildrop_file_open(&scratch, folder, showing->id, &file, &error) != MAILDROP_FILE_OK)
        return fail_to_open(showing->tool, showing->id, ENOENT);
    struct envelope *envelope = &file.envelope.envelope;
    envelope->size_bytes = file.header.content_bytes;
    showing->has_message = true;
    queue_file_view_begin(&showing->view, str_from(showing->id), QUEUE_MAILDROP, envelope,
                          file.modified_s);
    while (maildrop_file_read(&file, portion, sizeof portion, &count, &error) == MAILDROP_FILE_OK &&
           count > 0)
        queue_file_view_content(&showing->view, str_of(portion, count));
    maildrop_file_close(&file);
    return EX_OK;
}

static int show(const struct tool *tool, const struct queue_file_view *view,
                struct queue_client *client, const char *id)
{
    struct showing showing = { .tool = tool, .view = *view, .id = id };
    uint64_t queue_id;

    if (postsuper_id_parse(str_from(id)) == POSTSUPER_ID_INVALID)
        return tool_fail(tool, STATUS_FATAL, "bad mail queue ID: %.300s", id);
    int status = queue_id_parse(str_from(id), &queue_id) ? show_queued(&showing, client)
                                                         : show_maildrop(&showing);

    if (showing.has_message)
        queue_file_view_end(&showing.view);
    return status;
}

static int show_all(const struct tool *tool, const struct queue_file_view *view, int count,
                    char **ids)
{
    struct queue_client client;
    struct error error;
    int status = EX_OK;

    if (!queue_client_open(&client, tool, QUEUE_ALSO_WHEN_DOWN, &error))
        return tool_fail(tool, STATUS_FATAL, "%s", error.message);
    for (int i = 0; i < count && status == EX_OK; i++)
        status = show(tool, view, &client, ids[i]);
    queue_client_close(&client);
    return status;
}

/* The queue has no files, so no file is one of its. */
static int refuse_file(const struct tool *tool, const char *name, FILE *file)
{
    if (file == NULL)
        return tool_fail(tool, STATUS_FATAL, "open %.200s: %s", name, strerror(errno));
    if (getc(file) != EOF)
        tool_warn(tool, "%.200s: input is not a valid queue file", name);
    return EX_OK;
}

static int refuse_files(const struct tool *tool, int count, char **names)
{
    int status = count == 0 ? refuse_file(tool, "stdin", stdin) : EX_OK;

    for (int i = 0; i < count && status == EX_OK; i++) {
        FILE *file = fopen(names[i], "re");
        status = refuse_file(tool, names[i], file);
        if (file != NULL)
            fclose(file);
    }
    return status;
}

/* False: no such option. */
static bool take_option(struct queue_file_view *view, int option, bool *is_queue)
{
    switch (option) {
    case 'b':
        view->parts |= VIEW_BODY;
        return true;
    case 'e':
        view->parts |= VIEW_ENVELOPE;
        return true;
    case 'h':
        view->parts |= VIEW_HEADERS;
        return true;
    case 'd':
        view->has_types = true;
        return true;
    case 'o':
        view->has_offsets = true;
        return true;
    case 'q':
        *is_queue = true;
        return true;
    default:
        return option == 'r';
    }
}

int postcat_main(int argc, char **argv)
{
    struct queue_file_view view = { .is_terminal = isatty(STDOUT_FILENO) == 1 };
    bool is_queue = false;
    struct tool tool;
    int option;

    tool_start(&tool, "postcat");
    while ((option = tool_next_option(&tool, argc, argv, "bc:dehoqrs:v")) != -1) {
        if (option == 's')
            return tool_fail(&tool, STATUS_FATAL, "-s: the queue has no files to skip in");
        if (!take_option(&view, option, &is_queue))
            return tool_fail(&tool, STATUS_FATAL, "%s", POSTCAT_USAGE);
    }
    view.is_verbose = tool.is_verbose;
    if (view.parts == 0)
        view.parts = VIEW_ALL;
    if (!tool_configure(&tool, tool.folder))
        return STATUS_FATAL;
    int status = is_queue && optind < argc ? show_all(&tool, &view, argc - optind, argv + optind)
                                           : refuse_files(&tool, argc - optind, argv + optind);
    tool_end(&tool);
    int flushed = tool_flush_output(&tool);
    return status != EX_OK ? status : flushed;
}
