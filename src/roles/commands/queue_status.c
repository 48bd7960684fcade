/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_status.h"

#include "base/memory.h"
#include "config/parameter.h"

/* ---- gathering ---- */

static struct status_destination *add_destination(struct queue_status *status)
{
    if (status->count == status->capacity) {
        status->capacity = status->capacity * 2 + 16;
        status->destinations = memory_resize(status->destinations,
                                             status->capacity * sizeof *status->destinations);
    }
    struct status_destination *added = &status->destinations[status->count++];
    *added = (struct status_destination){ .reply_count = 0 };
    return added;
}

static bool on_destination(struct queue_status *status, struct str payload)
{
    struct wire_tool_destination *row = &add_destination(status)->row;

    if (!wire_decode_tool_destination(NULL, payload, row))
        return false;
    row->transport = arena_copy(&status->arena, row->transport);
    row->nexthop = arena_copy(&status->arena, row->nexthop);
    row->recipient = arena_copy(&status->arena, row->recipient);
    row->dead_reason = arena_copy(&status->arena, row->dead_reason);
    return true;
}

static bool on_reply(struct queue_status *status, struct str payload)
{
    struct wire_tool_reply reply;

    if (!wire_decode_tool_reply(NULL, payload, &reply) || status->count == 0)
        return false;
    struct status_destination *destination = &status->destinations[status->count - 1];
    if (destination->reply_count == STATUS_REPLIES_MAX)
        return false;
    reply.text = arena_copy(&status->arena, reply.text);
    destination->replies[destination->reply_count++] = reply;
    return true;
}

static bool on_limit(struct queue_status *status, struct str payload)
{
    struct wire_tool_limit limit;
    bool is_global = status->count == 0;
    struct status_destination *destination =
        is_global ? NULL : &status->destinations[status->count - 1];
    size_t *count = is_global ? &status->limit_count : &destination->limit_count;

    if (!wire_decode_tool_limit(NULL, payload, &limit) || *count == STATUS_LIMITS_MAX)
        return false;
    limit.name = arena_copy(&status->arena, limit.name);
    (is_global ? status->limits : destination->limits)[(*count)++] = limit;
    return true;
}

static bool on_message(struct queue_status *status, struct str payload)
{
    if (!wire_decode_tool_message(NULL, payload, &status->message))
        return false;
    status->message.envelope = arena_copy(&status->arena, status->message.envelope);
    status->has_message = true;
    return true;
}

static bool on_answer(void *argument, uint16_t number, struct str payload)
{
    struct queue_status *status = argument;

    switch (number) {
    case WIRE_tool_totals:
        return wire_decode_tool_totals(NULL, payload, &status->totals);
    case WIRE_tool_destination:
        return on_destination(status, payload);
    case WIRE_tool_reply:
        return on_reply(status, payload);
    case WIRE_tool_limit:
        return on_limit(status, payload);
    case WIRE_tool_message:
        return on_message(status, payload);
    default:
        return false;
    }
}

bool queue_status_ask(struct queue_client *client, const struct wire_tool_status *request,
                      struct queue_status *answer, int *status, struct error *error)
{
    autofree_buf struct buf payload = { 0 };
    struct wire_tool_done done = { 0 };

    arena_clear(&answer->arena);
    answer->count = answer->limit_count = 0;
    answer->has_message = false;
    wire_encode_tool_status(&payload, request);
    *status = EX_UNAVAILABLE;
    if (!queue_client_ask(client, WIRE_tool_status, buf_str(&payload), on_answer, answer,
                          &answer->arena, &done, error))
        return false;
    *status = (int)done.status;
    return done.status == EX_OK || error_set(error, "%.*s", STR_ARGS(done.reason));
}

void queue_status_clear(struct queue_status *status)
{
    memory_free(status->destinations);
    arena_clear(&status->arena);
    *status = (struct queue_status){ .count = 0 };
}

const char *queue_status_block(uint8_t block)
{
    static const char *const texts[BLOCK_COUNT] = {
        [BLOCK_NONE] = "",
        [BLOCK_DEAD] = "dead",
        [BLOCK_CONCURRENCY] = "concurrency limit",
        [BLOCK_DELAY] = "destination rate delay",
        [BLOCK_TRANSPORT_DELAY] = "transport rate delay",
        [BLOCK_PROCESS_LIMIT] = "process limit",
        [BLOCK_WORKERS] = "no free worker",
        [BLOCK_DEFERRED] = "defer_transports",
    };

    return block < BLOCK_COUNT ? texts[block] : "";
}

/* ---- origins ---- */

/* Without the folder: there is one of each. */
static const char *line_of(struct arena *arena, const char *file, int line)
{
    struct str name = str_from(file);

    name = str_skip(name, (size_t)(str_find_last_byte(name, '/') + 1));
    return arena_printf(arena, "%.*s, line %d", STR_ARGS(name), line);
}

static const char *place_of(struct arena *arena, const struct main_cf_assignment *assignment)
{
    return assignment == NULL ? "default" : line_of(arena, assignment->file, assignment->line);
}

static struct limit_origin origin_in_main_cf(const struct tool *tool, struct arena *arena,
                                             struct str name)
{
    return (struct limit_origin){
        .name = name, .place = place_of(arena, main_cf_find(&tool->source.main_cf, name))
    };
}

static struct limit_origin transport_origin(const struct tool *tool, struct arena *arena,
                                            struct str transport,
                                            const struct wire_tool_limit *limit)
{
    const char *own =
        arena_printf(arena, "%.*s_%.*s", STR_ARGS(transport), STR_ARGS(limit->name));
    struct str owner;
    const struct transport_parameter *kind = transport_parameter_find(str_from(own), &owner);
    struct error error;
    int64_t value = 0;
    bool is_own = main_cf_find(&tool->source.main_cf, str_from(own)) != NULL;
    /* Some prefixes have a parameter of their own, such as local_destination_recipient_limit. */
    const struct parameter *parameter = parameter_find(str_from(own));
    struct str name = is_own || kind == NULL || parameter != NULL ? str_from(own)
                                                                  : kind->default_name;
    struct limit_origin origin = origin_in_main_cf(tool, arena, name);

    if (config_transport_number(tool->config, transport, arena_text(arena, limit->name), &value,
                                &error))
        origin.is_stale = value != limit->value;
    return origin;
}

static struct limit_origin service_origin(const struct tool *tool, struct arena *arena,
                                          struct str transport,
                                          const struct wire_tool_limit *limit)
{
    const struct master_service *service =
        master_cf_find(&tool->source.master_cf, transport, SERVICE_UNIX);
    struct limit_origin origin = { .name = limit->name, .place = "no such line in master.cf" };

    if (service == NULL)
        return origin;
    if (service->process_limit < 0) {
        origin = origin_in_main_cf(tool, arena, STR("default_process_limit"));
        origin.is_stale = tool->config->default_process_limit != limit->value;
        return origin;
    }
    origin.place = line_of(arena, service->file, service->line);
    origin.is_stale = service->process_limit != limit->value;
    return origin;
}

struct limit_origin queue_status_origin(const struct tool *tool, struct arena *arena,
                                        struct str transport, const struct wire_tool_limit *limit)
{
    switch ((enum limit_kind)limit->kind) {
    case LIMIT_TRANSPORT:
        return transport_origin(tool, arena, transport, limit);
    case LIMIT_SERVICE:
        return service_origin(tool, arena, transport, limit);
    case LIMIT_GLOBAL:
        break;
    }
    return origin_in_main_cf(tool, arena, limit->name);
}
