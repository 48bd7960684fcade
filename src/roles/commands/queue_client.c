/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_client.h"

#include "base/file.h"
#include "queue_direct.h"
#include "store/store.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STORE_FOLDER "store" /* below the queue directory, which connect_queue has entered */

enum { PATIENCE_MS = 5000 };

/* The name is relative, so that a long queue_directory does not pass a socket name's limit. */
static const struct sockaddr_un queue_address = { .sun_family = AF_UNIX,
                                                  .sun_path = "public/queue" };

static bool connect_queue(struct queue_client *client, struct error *error)
{
    struct arena scratch = { 0 };
    const char *folder = arena_text(&scratch, client->tool->config->queue_directory);
    int entered = chdir(folder);

    if (entered < 0)
        error_errno(error, "enter the queue directory %s", folder);
    arena_clear(&scratch);
    if (entered < 0)
        return false;
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(error, "make a socket");
    if (connect(fd, (const struct sockaddr *)&queue_address, sizeof queue_address) < 0)
        return error_errno(error, "Connect to the Waypost queue service");
    client->fd = client->input.fd = fd_take(&fd);
    return true;
}

bool queue_client_open(struct queue_client *client, const struct tool *tool, enum queue_access when,
                       struct error *error)
{
    *client = (struct queue_client){ .tool = tool, .fd = -1 };
    signal(SIGPIPE, SIG_IGN);
    if (connect_queue(client, error))
        return true;
    if (when == QUEUE_ONLY_WHEN_UP ||
        (error->system_errno != ENOENT && error->system_errno != ECONNREFUSED))
        return false;
    tool_warn(tool, "Mail system is down -- accessing queue directly (%s)", error->message);
    /* Before the first start there is no store, and so no mail in it. */
    client->is_empty = access(STORE_FOLDER, F_OK) < 0 && errno == ENOENT;
    if (client->is_empty)
        return true;
    client->store = queue_direct_open(tool->config, error);
    return client->store != NULL;
}

/* A queue that starts, or cannot, is waited for; whoever waits is told. */
static void wait_for_answer(const struct queue_client *client)
{
    struct pollfd answer = { .fd = client->fd, .events = POLLIN };

    if (poll(&answer, 1, PATIENCE_MS) == 0)
        tool_warn(client->tool,
                  "the queue has not answered for %d seconds; waiting (the log says "
                  "what it does)",
                  PATIENCE_MS / 1000);
}

static bool receive_answers(struct queue_client *client,
                            bool (*answer)(void *argument, uint16_t number, struct str payload),
                            void *argument, struct buf *payload, struct error *error)
{
    wait_for_answer(client);
    for (;;) {
        uint16_t number;
        if (!channel_receive_blocking(&client->input, &number, payload, error))
            return false;
        if (number == 0)
            return error_set(error, "the queue went away before it had answered; try again");
        if (number == WIRE_tool_done)
            return true;
        if (answer == NULL || !answer(argument, number, buf_str(payload)))
            return error_set(error, "the queue's answer was not understood");
    }
}

bool queue_client_ask(struct queue_client *client, uint16_t number, struct str payload,
                      bool (*answer)(void *argument, uint16_t number, struct str payload),
                      void *argument, struct arena *arena, struct wire_tool_done *done,
                      struct error *error)
{
    autofree_buf struct buf received = { 0 };

    if (client->is_empty) {
        *done = (struct wire_tool_done){ .reason = STR("") };
        return true;
    }
    if (client->store != NULL)
        return queue_direct_ask(client->store, number, payload, answer, argument, arena, done,
                                error);
    if (!channel_send_blocking(client->fd, number, payload, error) ||
        !receive_answers(client, answer, argument, &received, error))
        return false;
    if (!wire_decode_tool_done(NULL, buf_str(&received), done))
        return error_set(error, "the queue's answer was not understood");
    done->reason = arena_copy(arena, done->reason);
    return true;
}

void queue_client_close(struct queue_client *client)
{
    fd_close(&client->fd);
    buf_free(&client->input.bytes);
    client->input.used = 0;
    if (client->store != NULL)
        store_close(&client->store);
}

bool queue_listed_is_damaged(const struct tool *tool, uint16_t number, struct str payload)
{
    struct wire_tool_damaged message;

    if (number != WIRE_tool_damaged || !wire_decode_tool_damaged(NULL, payload, &message))
        return false;
    struct queue_id_text id =
        queue_id_format(message.queue_id, tool->config->enable_long_queue_ids);
    tool_warn(tool,
              "%s: its record in the queue is damaged, and it is left alone: look at it with "
              "postcat -q %s, or delete it with postsuper -d %s",
              id.text, id.text, id.text);
    return true;
}

bool queue_listed_decode(const struct tool *tool, struct arena *arena, struct str payload,
                         struct queue_listed *listed)
{
    struct wire_tool_message message;
    struct error error;

    if (!wire_decode_tool_message(NULL, payload, &message) ||
        !envelope_decode(arena, message.envelope, &listed->envelope, &error))
        return false;
    listed->queue_id = message.queue_id;
    listed->next_attempt_ms = message.next_attempt_ms;
    listed->id = queue_id_format(message.queue_id, tool->config->enable_long_queue_ids);
    listed->entry = (struct queue_entry){
        .queue_id = str_from(listed->id.text),
        .queue = (enum queue_name)message.queue,
        .is_forced_expire = (listed->envelope.flags & ENVELOPE_FORCE_EXPIRED) != 0,
        .envelope = &listed->envelope,
    };
    return true;
}
