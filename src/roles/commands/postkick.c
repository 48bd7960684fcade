/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postkick: sends a request to a service. Of Postfix's requests those make sense here that scripts
 * send: wake the queue manager or have it look at everything. Pickup needs no wake-up.
 */
#include "commands.h"
#include "queue_client.h"

#include <string.h>
#include <unistd.h>

const char postkick_help[] =
    "usage: postkick [-c config_dir] [-v] class service request\n"
    "\n"
    "  public qmgr REQUEST    any request with W, D, I, A or F: attempt all queued mail now\n"
    "  public pickup REQUEST  nothing is needed: mail in the maildrop is taken at once\n"
    "\n"
    "  -c DIR      use the configuration in DIR\n"
    "  -v          accepted, does nothing\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

static int kick_queue(const struct tool *tool)
{
    struct queue_client client;
    struct wire_tool_done done = { 0 };
    struct arena arena = { 0 };
    struct error error;
    autofree_buf struct buf payload = { 0 };
    int status = EX_OK;

    if (!queue_client_open(&client, tool, QUEUE_ONLY_WHEN_UP, &error))
        return tool_fail(tool, EX_UNAVAILABLE,
                         "Cannot contact class public service qmgr - perhaps the mail system is "
                         "down (%s)",
                         error.message);
    wire_encode_tool_flush(&payload, &(struct wire_tool_flush){ .id = STR(""), .site = STR("") });
    if (!queue_client_ask(&client, WIRE_tool_flush, buf_str(&payload), NULL, NULL, &arena, &done,
                          &error))
        status = tool_fail(tool, EX_UNAVAILABLE, "%s", error.message);
    else if (done.status != 0)
        status = tool_fail(tool, (int)done.status, "%.*s", STR_ARGS(done.reason));
    queue_client_close(&client);
    arena_clear(&arena);
    return status;
}

int postkick_main(int argc, char **argv)
{
    const char *folder = NULL;
    struct tool tool;
    int option;

    tool_start(&tool, "postkick");
    opterr = 0;
    while (argc > 0 && (option = getopt(argc, argv, "+c:v")) != -1) {
        if (option == 'c')
            folder = optarg;
        else if (option == '?')
            return tool_bad_option(&tool, optopt);
    }
    if (argc - optind != 3)
        return tool_usage(&tool, "it needs a class, a service and a request");
    if (!tool_configure(&tool, folder))
        return EX_CONFIG;
    char **words = argv + optind;
    int status = EX_OK;
    if (strcmp(words[0], "public") == 0 && strcmp(words[1], "qmgr") == 0 &&
        strpbrk(words[2], "WDIAF") != NULL)
        status = kick_queue(&tool);
    else if (strcmp(words[0], "public") != 0 || strcmp(words[1], "pickup") != 0)
        status = tool_fail(&tool, EX_UNAVAILABLE,
                           "there is no service %.50s/%.50s that takes "
                           "requests",
                           words[0], words[1]);
    tool_end(&tool);
    return status;
}
