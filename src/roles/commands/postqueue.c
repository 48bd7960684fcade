/* SPDX-License-Identifier: Apache-2.0 */
/* postqueue: what any user may do with the queue: list it, and have deferred mail tried now. */
#include "commands.h"
#include "mail/flush_domains.h"
#include "mail/maildrop_file.h"
#include "mail/queue_format.h"
#include "mail/queue_id.h"
#include "queue_client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

const char postqueue_help[] =
    "usage: postqueue [-v] [-c config_dir] -f | -i queue_id | -j | -p | -s site\n"
    "\n"
    "  -p          list the queue; mailq does the same\n"
    "  -j          list the queue as JSON, one object per line\n"
    "  -f          attempt all queued mail now\n"
    "  -i ID       attempt one message now\n"
    "  -s SITE     attempt the mail for one destination now\n"
    "  -c DIR      use the configuration in DIR\n"
    "  -v          accepted, does nothing\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

struct listing {
    const struct tool *tool;
    bool is_json;
    struct queue_totals totals;
    struct buf text;
};

static void print_entry(struct listing *listing, const struct queue_entry *entry)
{
    buf_clear(&listing->text);
    if (listing->is_json)
        queue_format_json(entry, &listing->text);
    else
        queue_format_entry(&listing->totals, entry, listing->tool->config->enable_long_queue_ids,
                           &listing->text);
    fwrite(buf_text(&listing->text), 1, listing->text.len, stdout);
}

static bool on_message(void *argument, uint16_t number, struct str payload)
{
    struct listing *listing = argument;
    struct wire_tool_message message;
    struct envelope envelope;
    struct arena scratch = { 0 };
    struct error error;

    if (number != WIRE_tool_message || !wire_decode_tool_message(NULL, payload, &message))
        return false;
    bool is_good = envelope_decode(&scratch, message.envelope, &envelope, &error);
    if (is_good) {
        struct queue_id_text id =
            queue_id_format(message.queue_id, listing->tool->config->enable_long_queue_ids);
        struct queue_entry entry = { .queue_id = str_from(id.text),
                                     .queue = (enum queue_name)message.queue,
                                     .envelope = &envelope };
        print_entry(listing, &entry);
    }
    arena_clear(&scratch);
    return is_good;
}

static void list_maildrop_file(struct listing *listing, int folder_fd, const char *name)
{
    struct arena scratch = { 0 };
    struct maildrop_file file;
    struct error error;

    if (maildrop_file_open(&scratch, folder_fd, name, &file, &error) == MAILDROP_FILE_OK) {
        struct envelope *envelope = &file.envelope.envelope;
        envelope->size_bytes = file.header.content_bytes;
        if (envelope->arrival_us == 0)
            envelope->arrival_us = file.modified_s * 1000000;
        struct queue_entry entry = { .queue_id = str_from(name),
                                     .queue = QUEUE_MAILDROP,
                                     .envelope = envelope };
        print_entry(listing, &entry);
        maildrop_file_close(&file);
    }
    arena_clear(&scratch);
}

/* Mail that pickup has not taken yet. Only those who may read the folder see it. */
static void list_maildrop(struct listing *listing)
{
    struct arena scratch = { 0 };
    const char *path =
        arena_printf(&scratch, "%.*s/maildrop", STR_ARGS(listing->tool->config->queue_directory));
    DIR *folder = opendir(path);
    const struct dirent *entry;

    arena_clear(&scratch);
    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL)
        if (maildrop_name_is_valid(str_from(entry->d_name)))
            list_maildrop_file(listing, dirfd(folder), entry->d_name);
    closedir(folder);
}

static int list_queue(const struct tool *tool, bool is_json)
{
    struct listing listing = { .tool = tool, .is_json = is_json };
    struct queue_client client;
    struct wire_tool_done done = { 0 };
    struct arena arena = { 0 };
    struct error error;
    autofree_buf struct buf payload = { 0 };
    int status = EX_OK;

    if (!queue_client_open(&client, tool, QUEUE_ALSO_WHEN_DOWN, &error))
        return tool_fail(tool, EX_UNAVAILABLE, "%s", error.message);
    wire_encode_tool_list(&payload, &(struct wire_tool_list){ .queue = STR("") });
    if (!queue_client_ask(&client, WIRE_tool_list, buf_str(&payload), on_message, &listing, &arena,
                          &done, &error))
        status = tool_fail(tool, EX_UNAVAILABLE, "%s", error.message);
    else if (done.status != 0)
        status = tool_fail(tool, (int)done.status, "%.*s", STR_ARGS(done.reason));
    queue_client_close(&client);
    list_maildrop(&listing);
    buf_clear(&listing.text);
    if (!is_json && status == EX_OK)
        queue_format_end(&listing.totals, &listing.text);
    fwrite(buf_text(&listing.text), 1, listing.text.len, stdout);
    buf_free(&listing.text);
    arena_clear(&arena);
    int flushed = tool_flush_output(tool);
    return status != EX_OK ? status : flushed;
}

static void warn_of_list(void *argument, const char *text)
{
    const struct tool *tool = argument;

    tool_warn(tool, "%s", text);
}

/* False, and told: the domain is none of fast_flush_domains. */
static bool may_flush(struct tool *tool, const char *site)
{
    struct error error = { 0 };
    struct match_list *domains;
    enum match_outcome outcome = MATCH_FAILED;

    if (!flush_site_is_valid(str_from(site))) {
        tool_fail(tool, EX_UNAVAILABLE, "Cannot flush mail queue - invalid destination: \"%.100s\"",
                  site);
        return false;
    }
    domains = flush_domains_new(tool->config, warn_of_list, tool, &error);
    if (domains != NULL)
        outcome = match_list_find_name(domains, str_from(site), &error);
    match_list_free(&domains);
    if (outcome == MATCH_ABSENT)
        tool_fail(tool, EX_UNAVAILABLE,
                  "Flush service is not configured for destination \"%.100s\"", site);
    else if (outcome == MATCH_FAILED)
        tool_fail(tool, EX_UNAVAILABLE, "fast_flush_domains: %s", error.message);
    return outcome == MATCH_FOUND;
}

static int flush_queue(struct tool *tool, const char *id, const char *site)
{
    struct wire_tool_flush request = { .id = str_from(id), .site = str_from(site) };
    struct queue_client client;
    struct wire_tool_done done = { 0 };
    struct arena arena = { 0 };
    struct error error;
    autofree_buf struct buf payload = { 0 };
    uint64_t queue_id;
    int status = EX_OK;

    if (site != NULL && !may_flush(tool, site))
        return EX_UNAVAILABLE;
    if (id != NULL && !queue_id_parse(request.id, &queue_id))
        return tool_fail(tool, EX_USAGE, "invalid mail queue id: %.100s; 'mailq' lists them", id);
    if (!queue_client_open(&client, tool, QUEUE_ONLY_WHEN_UP, &error)) {
        tool_warn(tool, "%s", error.message);
        return tool_fail(tool, EX_UNAVAILABLE, "Cannot flush mail queue - mail system is down");
    }
    wire_encode_tool_flush(&payload, &request);
    if (!queue_client_ask(&client, WIRE_tool_flush, buf_str(&payload), NULL, NULL, &arena, &done,
                          &error))
        status = tool_fail(tool, EX_UNAVAILABLE, "%s", error.message);
    else if (done.status != 0)
        status = tool_fail(tool, (int)done.status, "%.*s", STR_ARGS(done.reason));
    queue_client_close(&client);
    arena_clear(&arena);
    return status;
}

int postqueue_main(int argc, char **argv)
{
    const char *folder = NULL, *value = NULL;
    int action = 0, option;
    struct tool tool;

    tool_start(&tool, "postqueue");
    opterr = 0;
    while (argc > 0 && (option = getopt(argc, argv, "+c:fi:jps:v")) != -1) {
        if (option == 'c')
            folder = optarg;
        else if (option == '?')
            return tool_bad_option(&tool, optopt);
        else if (option != 'v' && action != 0)
            return tool_usage(&tool, "only one of -f, -i, -j, -p, -s at a time");
        else if (option != 'v') {
            action = option;
            value = optarg;
        }
    }
    if (action == 0 || optind < argc)
        return tool_usage(&tool, "specify one of -f, -i ID, -j, -p, -s SITE");
    if (!tool_configure(&tool, folder))
        return EX_CONFIG;
    int status = action == 'p' || action == 'j' ? list_queue(&tool, action == 'j')
                                                : flush_queue(&tool, action == 'i' ? value : NULL,
                                                              action == 's' ? value : NULL);
    tool_end(&tool);
    return status;
}
