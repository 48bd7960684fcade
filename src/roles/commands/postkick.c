/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postkick: sends a request to a service. Of Postfix's requests those make sense here that scripts
 * send: wake the queue manager or have it look at everything. Other services that master.cf has
 * are told nothing, as they need nothing.
 */
#include "commands.h"
#include "queue_client.h"

#include <string.h>
#include <unistd.h>

const char postkick_help[] =
    "usage: postkick [-c config_dir] [-v] class service request\n"
    "\n"
    "  public qmgr REQUEST    any request with W, D, I, A or F: attempt all queued mail now\n"
    "  CLASS SERVICE REQUEST  another service of master.cf: nothing is needed, nothing is done\n"
    "\n"
    "  -c DIR      use the configuration in DIR\n"
    "  -v          accepted, does nothing\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

enum { STATUS_FATAL = 1 }; /* whatever it is: Postfix's exit status */

/* The queue listens where the mail system runs. */
static int kick(const struct tool *tool, const char *class, const char *service, bool is_flush)
{
    struct queue_client client;
    struct wire_tool_done done = { 0 };
    struct arena arena = { 0 };
    struct error error;
    autofree_buf struct buf payload = { 0 };
    int status = EX_OK;

    if (!queue_client_open(&client, tool, QUEUE_ONLY_WHEN_UP, &error)) {
        tool_warn(tool,
                  "Cannot contact class %.100s service %.100s - perhaps the mail system is down",
                  class, service);
        return STATUS_FATAL;
    }
    wire_encode_tool_flush(&payload, &(struct wire_tool_flush){ .id = STR(""), .site = STR("") });
    if (is_flush && !queue_client_ask(&client, WIRE_tool_flush, buf_str(&payload), NULL, NULL,
                                      &arena, &done, &error))
        status = tool_fail(tool, STATUS_FATAL, "%s", error.message);
    else if (done.status != 0)
        status = tool_fail(tool, STATUS_FATAL, "%.*s", STR_ARGS(done.reason));
    queue_client_close(&client);
    arena_clear(&arena);
    return status;
}

/* A service of master.cf, in its class. */
static bool has_service(const struct tool *tool, struct str class, struct str name)
{
    const struct master_cf *master_cf = &tool->source.master_cf;

    for (size_t i = 0; i < master_cf->count; i++) {
        const struct master_service *service = &master_cf->services[i];
        if (service->type != SERVICE_INET && str_equal(service->name, name) &&
            str_equal(class, service->is_private ? STR("private") : STR("public")))
            return true;
    }
    return false;
}

static int send_request(const struct tool *tool, char **words)
{
    struct str class = str_from(words[0]), service = str_from(words[1]);
    bool is_queue = str_equal(class, STR("public")) && str_equal(service, STR("qmgr"));

    if (!has_service(tool, class, service)) {
        tool_warn(tool, "unable to look up %.100s/%.100s: No such file or directory", words[0],
                  words[1]);
        tool_warn(tool,
                  "Cannot contact class %.100s service %.100s - perhaps the mail system is down",
                  words[0], words[1]);
        return STATUS_FATAL;
    }
    return kick(tool, words[0], words[1], is_queue && strpbrk(words[2], "WDIAF") != NULL);
}

int postkick_main(int argc, char **argv)
{
    struct tool tool;
    int option;

    tool_start(&tool, "postkick");
    while ((option = tool_next_option(&tool, argc, argv, "c:v")) != -1 && option != '?')
        ;
    if (option == '?' || argc - optind != 3)
        return tool_fail(&tool, STATUS_FATAL,
                         "usage: postkick [-c config_dir] [-v] class service request");
    if (!tool_configure(&tool, tool.folder))
        return STATUS_FATAL;
    int status = send_request(&tool, argv + optind);
    tool_end(&tool);
    return status;
}
