/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe.h"

#include "base/clock.h"
#include "command.h"
#include "command_environment.h"
#include "mail/address.h"
#include "mail/header.h"
#include "report.h"
#include "service/environment.h"
#include "split_address.h"
#include "worker.h"

#include <paths.h>

static struct str lower(struct arena *arena, struct str text)
{
    char *copy = arena_new(arena, text.len + 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(text.ptr[i]);
    return str_of(copy, text.len);
}

static struct str external(struct arena *arena, struct str address)
{
    autofree_buf struct buf out = { 0 };

    address_format(address, &out);
    return arena_copy(arena, buf_str(&out));
}

/* flags h, u and q. */
static struct str shaped(struct delivery *delivery, struct str address)
{
    const struct pipe_settings *settings = &delivery->agent->pipe;
    struct arena *arena = &delivery->job.arena;
    struct str local = address_local(address), domain = address_domain(address);

    if (settings->folds_local)
        local = lower(arena, local);
    if (settings->folds_domain)
        domain = lower(arena, domain);
    address = address_has_domain(address)
                  ? str_from(arena_printf(arena, "%.*s@%.*s", STR_ARGS(local), STR_ARGS(domain)))
                  : local;
    return settings->quotes_local ? external(arena, address) : address;
}

static void fill_recipient(struct delivery *delivery, size_t index, struct pipe_recipient *out)
{
    struct str address = delivery->job.envelope.recipients[index].address;
    const struct pipe_settings *settings = &delivery->agent->pipe;
    struct arena *arena = &delivery->job.arena;
    struct str local = address_local(address), domain = address_domain(address);

    if (settings->folds_local)
        local = lower(arena, local);
    struct split_address split = split_address(local, delivery->agent->config);
    *out = (struct pipe_recipient){
        .address = shaped(delivery, address),
        .original = shaped(delivery, delivery_original(delivery, index)),
        .user = split.user,
        .extension = split.extension,
        .mailbox = local,
        .domain = settings->folds_domain ? lower(arena, domain) : domain,
    };
}

static struct str sender_of(struct delivery *delivery)
{
    const struct pipe_settings *settings = &delivery->agent->pipe;
    struct str sender = delivery->job.envelope.sender;

    if (sender.len == 0)
        return settings->null_sender;
    return settings->quotes_local ? external(&delivery->job.arena, sender) : sender;
}

static void fill_values(struct delivery *delivery, struct macro_value *values)
{
    const struct envelope *envelope = &delivery->job.envelope;
    const struct pipe_settings *settings = &delivery->agent->pipe;
    struct arena *arena = &delivery->job.arena;
    const char *size = arena_printf(arena, "%llu", (unsigned long long)envelope->size_bytes);
    const struct macro_value all[] = {
        { "sender", sender_of(delivery) },
        { "nexthop",
          settings->folds_domain ? lower(arena, delivery->job.nexthop) : delivery->job.nexthop },
        { "size", str_from(size) },
        { "queue_id", str_from(delivery->job.queue_id.text) },
        { "envid", envelope->dsn_envid },
        { "client_address", envelope->client_address },
        { "client_helo", envelope->helo_name },
        { "client_hostname", envelope->client_name },
        { "client_port", STR_INIT("") },
        { "client_protocol", envelope->protocol },
        { "sasl_method", STR_INIT("") },
        { "sasl_sender", STR_INIT("") },
        { "sasl_username", envelope->sasl_username },
        { NULL, STR_INIT("") },
    };

    memcpy(values, all, sizeof all);
}

/* An address that a program would take for an option. */
static bool looks_like_option(struct str address)
{
    return address.len > 0 && address.ptr[0] == '-';
}

static bool is_loop(struct delivery *delivery)
{
    struct arena *arena = &delivery->job.arena;
    struct str content = delivery->job.content;
    struct str key = address_fold(arena, delivery->job.envelope.recipients[0].address);
    struct header header;

    while (header_next(&content, &header))
        if (header_is(&header, "Delivered-To") &&
            str_equal(address_fold(arena, address_unquote(arena, header.value)), key))
            return true;
    return false;
}

static bool check(struct delivery *delivery, struct outcome *outcome)
{
    const struct pipe_settings *settings = &delivery->agent->pipe;
    const struct envelope *envelope = &delivery->job.envelope;

    if ((settings->copy_flags & (COPY_DELIVERED | COPY_ORIGINAL)) &&
        envelope->recipient_count > 1) {
        log_warning(
            &delivery->agent->log, "pipe flag `%c' requires %.*s_destination_recipient_limit = 1",
            settings->copy_flags & COPY_DELIVERED ? 'D' : 'O', STR_ARGS(delivery->agent->name));
        outcome_set(outcome, "4.3.5", "mail system configuration error");
        return false;
    }
    if (settings->size_limit_bytes > 0 &&
        envelope->size_bytes > (uint64_t)settings->size_limit_bytes) {
        outcome_set(outcome, "5.2.3", "message too large");
        return false;
    }
    if ((settings->copy_flags & COPY_DELIVERED) && is_loop(delivery)) {
        outcome_set(outcome, "5.4.6", "mail forwarding loop for %.*s",
                    STR_ARGS(envelope->recipients[0].address));
        return false;
    }
    if (looks_like_option(envelope->sender)) {
        outcome_set(outcome, "5.1.7", "the sender address begins with a hyphen");
        return false;
    }
    for (size_t i = 0; i < envelope->recipient_count; i++)
        if (looks_like_option(envelope->recipients[i].address)) {
            outcome_set(outcome, "5.1.3", "a recipient address begins with a hyphen");
            return false;
        }
    return true;
}

/* export_environment's, and a path. */
static const char *const *environment_of(struct delivery *delivery)
{
    enum { VARIABLES_MAX = 50 };
    struct arena *arena = &delivery->job.arena;
    const char **items = arena_new_array(arena, VARIABLES_MAX + 1, sizeof *items);
    struct str list = delivery->agent->config->export_environment, word;
    size_t count = 0;

    items[count++] = "PATH=" _PATH_DEFPATH;
    while (count < VARIABLES_MAX && environment_next(&list, &word))
        count += command_exported(delivery->agent->config, arena, word, &items[count]);
    return items;
}

static int64_t limit_ms_of(const struct delivery *delivery)
{
    const struct config *config = delivery->agent->config;
    struct error error = { 0 };
    int64_t seconds;

    if (!config_transport_number(config, delivery->agent->name, "time_limit", &seconds, &error) ||
        seconds <= 0)
        seconds = config->command_time_limit;
    return seconds * 1000;
}

static bool run(struct delivery *delivery, const char *const *arguments, struct outcome *outcome)
{
    const struct agent *agent = delivery->agent;
    struct command command = {
        .rights = agent->pipe.rights,
        .arguments = arguments,
        .shell = "",
        .environment = environment_of(delivery),
        .root =
            agent->pipe.root.len > 0 ? arena_text(&delivery->job.arena, agent->pipe.root) : NULL,
        .folder = agent->pipe.folder.len > 0 ? arena_text(&delivery->job.arena, agent->pipe.folder)
                                             : NULL,
        .default_folder = arena_text(&delivery->job.arena, agent->config->queue_directory),
        .copy = { .flags = agent->pipe.copy_flags,
                  .sender = delivery->job.envelope.sender,
                  .original_to = delivery_original(delivery, 0),
                  .delivered_to = delivery->job.envelope.recipients[0].address,
                  .content = delivery->job.content,
                  .eol = agent->pipe.eol,
                  .wall_s = clock_wall_ms() / 1000 },
        .limit_ms = limit_ms_of(delivery),
    };

    if (delivery_is_probe(delivery)) {
        outcome_set(outcome, "2.0.0", "delivers to command: %s", arguments[0]);
        return true;
    }
    if (!command_run(delivery->worker->loop, &command, outcome))
        return false;
    if (outcome_is_sent(outcome))
        outcome_set(outcome, "2.0.0", "delivered via %.*s service", STR_ARGS(agent->name));
    return true;
}

static bool deliver(struct delivery *delivery, struct outcome *outcome)
{
    struct pipe_delivery pipe = { .recipient_count = delivery->job.envelope.recipient_count };
    struct pipe_recipient *recipients = arena_new_array(
        &delivery->job.arena, delivery->job.envelope.recipient_count, sizeof *recipients);
    struct error error = { 0 };

    if (!check(delivery, outcome))
        return true;
    for (size_t i = 0; i < pipe.recipient_count; i++)
        fill_recipient(delivery, i, &recipients[i]);
    pipe.recipients = recipients;
    fill_values(delivery, pipe.values);
    const char *const *arguments =
        pipe_arguments(&delivery->job.arena, &delivery->agent->pipe, &pipe, &error);
    if (arguments == NULL) {
        log_warning(&delivery->agent->log, "service %.*s: %s", STR_ARGS(delivery->agent->name),
                    error.message);
        outcome_set(outcome, "4.3.5", "mail system configuration error");
        return true;
    }
    return run(delivery, arguments, outcome);
}

void pipe_deliver(struct delivery *delivery)
{
    struct outcome outcome;

    delivery->success = delivery->agent->pipe.is_final ? DSN_ACTION_DELIVERED : DSN_ACTION_RELAYED;
    if (!deliver(delivery, &outcome)) {
        delivery->is_cancelled = true;
        return;
    }
    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++)
        report(delivery, i, &outcome);
}
