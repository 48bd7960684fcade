/* SPDX-License-Identifier: Apache-2.0 */
/* postqueue: what any user may do with the queue: list it, and have deferred mail tried now. */
#include "commands.h"
#include "mail/address.h"
#include "mail/flush_domains.h"
#include "mail/maildrop_file.h"
#include "mail/queue_format.h"
#include "mail/queue_id.h"
#include "mail/user_access.h"
#include "net/address.h"
#include "postsuper_id.h"
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
    size_t damaged_count;
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
    autoclear_arena struct arena scratch = { 0 };
    struct queue_listed listed;

    if (queue_listed_is_damaged(listing->tool, number, payload)) {
        listing->damaged_count++;
        return true;
    }
    if (number != WIRE_tool_message ||
        !queue_listed_decode(listing->tool, &scratch, payload, &listed))
        return false;
    print_entry(listing, &listed.entry);
    return true;
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
    bool is_all_damaged = listing.totals.message_count == 0 && listing.damaged_count > 0;
    if (!is_json && status == EX_OK && !is_all_damaged)
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
static bool may_flush(struct tool *tool, struct str site)
{
    struct error error = { 0 };
    enum match_outcome outcome = MATCH_FAILED;
    struct match_list *domains = flush_domains_new(tool->config, warn_of_list, tool, &error);

    if (domains != NULL)
        outcome = match_list_find_name(domains, site, &error);
    match_list_free(&domains);
    if (outcome == MATCH_ABSENT)
        tool_fail(tool, EX_UNAVAILABLE, "Flush service is not configured for destination \"%.*s\"",
                  STR_ARGS(str_take(site, 100)));
    else if (outcome == MATCH_FAILED)
        tool_fail(tool, EX_UNAVAILABLE, "fast_flush_domains: %s", error.message);
    return outcome == MATCH_FOUND;
}

/* The queue looks itself; here it is for the order of the answers, and while the system is down. */
static bool may(const struct tool *tool, enum user_right right)
{
    struct error error = { 0 };

    if (user_access_check_caller(tool->config, right, &error) == USER_ALLOWED)
        return true;
    tool_fail(tool, EX_UNAVAILABLE, "%s", error.message);
    return false;
}

/* Flushes nothing where there is nothing of that name; 69 as in Postfix for all that fails. */
static int flush_queue(struct tool *tool, struct str id, struct str site)
{
    struct wire_tool_flush request = { .id = id, .site = site };
    struct queue_client client;
    struct wire_tool_done done = { 0 };
    struct arena arena = { 0 };
    struct error error;
    autofree_buf struct buf payload = { 0 };
    int status = EX_OK;

    if (!may(tool, USER_RIGHT_FLUSH))
        return EX_UNAVAILABLE;
    if (!queue_client_open(&client, tool, QUEUE_ONLY_WHEN_UP, &error)) {
        if (id.len > 0 || site.len > 0)
            tool_warn(tool, "connect to public/flush: %s", strerror(error.system_errno));
        return tool_fail(tool, EX_UNAVAILABLE, "Cannot flush mail queue - mail system is down");
    }
    if (site.len > 0 && !may_flush(tool, site)) {
        queue_client_close(&client);
        return EX_UNAVAILABLE;
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

static int flush_message(struct tool *tool, struct str id)
{
    enum postsuper_id kind = postsuper_id_parse(id);

    if (kind == POSTSUPER_ID_INVALID)
        return tool_fail(tool, EX_UNAVAILABLE, "Cannot flush queue ID - invalid name: \"%.*s\"",
                         STR_ARGS(str_take(id, 200)));
    return flush_queue(tool, kind == POSTSUPER_ID_ALL ? STR("0") : id, STR(""));
}

static int flush_site(struct tool *tool, struct str site)
{
    if (!flush_site_is_valid(site))
        return tool_fail(tool, EX_UNAVAILABLE,
                         "Cannot flush mail queue - invalid destination: \"%.*s\"",
                         STR_ARGS(str_take(site, 200)));
    return flush_queue(tool, STR(""), site);
}

static int run(struct tool *tool, int action, const char *value)
{
    switch (action) {
    case 'f':
        return flush_queue(tool, STR(""), STR(""));
    case 'i':
        return flush_message(tool, str_from(value));
    case 's':
        return flush_site(tool, str_from(value));
    default:
        return may(tool, USER_RIGHT_VIEW) ? list_queue(tool, action == 'j') : EX_UNAVAILABLE;
    }
}

int postqueue_main(int argc, char **argv)
{
    const char *value = NULL;
    int option, action = 0;
    bool is_good = true;
    struct tool tool;

    tool_start(&tool, "postqueue");
    while (is_good && (option = tool_next_option(&tool, argc, argv, "c:fi:jps:v")) != -1) {
        is_good = option != '?' && action == 0;
        action = option;
        value = optarg;
    }
    if (!is_good || action == 0 || optind < argc)
        return tool_fail(&tool, EX_UNAVAILABLE,
                         "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p "
                         "| postqueue -s site");
    if (!tool_configure(&tool, tool.folder))
        return EX_UNAVAILABLE;
    int status = run(&tool, action, value);
    tool_end(&tool);
    return status;
}
