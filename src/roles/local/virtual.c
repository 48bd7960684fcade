/* SPDX-License-Identifier: Apache-2.0 */
#include "virtual.h"

#include "mail/address.h"
#include "placing.h"
#include "report.h"
#include "split_address.h"
#include "worker.h"

/* The address, then without its extension, then "@domain". */
static enum lookup_outcome find(struct delivery *delivery, struct maps *maps, struct str address,
                                struct str *value)
{
    struct arena *arena = &delivery->job.arena;
    const struct config *config = delivery->agent->config;
    struct str key = address_fold(arena, address);
    struct split_address split = split_address(address_local(key), config);
    enum lookup_outcome outcome = maps_find(maps, key, arena, value, NULL);

    if (outcome == LOOKUP_ABSENT && split.has_extension)
        outcome = maps_find_part(maps,
                                 str_from(arena_printf(arena, "%.*s@%.*s", STR_ARGS(split.user),
                                                       STR_ARGS(address_domain(key)))),
                                 arena, value);
    if (outcome == LOOKUP_ABSENT)
        outcome = maps_find_part(
            maps, str_from(arena_printf(arena, "@%.*s", STR_ARGS(address_domain(key)))), arena,
            value);
    return outcome;
}

/* A user's or group's number. */
static bool find_id(struct delivery *delivery, struct maps *maps, struct str address,
                    int64_t minimum, uint32_t *id, const char *what, struct outcome *outcome)
{
    struct str text;
    uint64_t number;

    switch (find(delivery, maps, address, &text)) {
    case LOOKUP_FAILED:
        outcome_set(outcome, "4.3.0", "mail system configuration error");
        return false;
    case LOOKUP_ABSENT:
        log_warning(&delivery->agent->log, "recipient %.*s: not found in virtual_%s_maps",
                    STR_ARGS(address), what);
        outcome_set(outcome, "4.3.5", "mail system configuration error");
        return false;
    case LOOKUP_FOUND:
        break;
    }
    if (!str_to_u64(str_trim(text), &number) || number == 0 || number > UINT32_MAX - 1 ||
        (int64_t)number < minimum) {
        log_warning(&delivery->agent->log, "recipient %.*s: bad %s %.*s in virtual_%s_maps",
                    STR_ARGS(address), what, STR_ARGS(text), what);
        outcome_set(outcome, "4.3.5", "mail system configuration error");
        return false;
    }
    *id = (uint32_t)number;
    return true;
}

/* No part of the path may lead out of its folder. */
static bool has_dot_dot(struct str path)
{
    struct str part;

    while (str_next_word(&path, "/", &part))
        if (str_equal(part, STR("..")))
            return true;
    return false;
}

/* False: `outcome` says why there is no mailbox. */
static bool find_path(struct delivery *delivery, struct str address, const char **path,
                      struct outcome *outcome)
{
    const struct config *config = delivery->agent->config;
    struct str value;

    switch (find(delivery, delivery->agent->virtual_mailbox_maps, address, &value)) {
    case LOOKUP_FAILED:
        outcome_set(outcome, "4.3.0", "mail system configuration error");
        return false;
    case LOOKUP_ABSENT:
        outcome_set(outcome, "5.1.1", "unknown user: \"%.*s\"",
                    STR_ARGS(address_fold(&delivery->job.arena, address)));
        return false;
    case LOOKUP_FOUND:
        break;
    }
    if (config->virtual_mailbox_base.len == 0 && (value.len == 0 || value.ptr[0] != '/')) {
        log_warning(&delivery->agent->log,
                    "do not specify relative pathname: virtual_mailbox_base =");
        outcome_set(outcome, "4.3.5", "mail system configuration error");
        return false;
    }
    if (value.len == 0 || has_dot_dot(value)) {
        log_warning(&delivery->agent->log,
                    "recipient %.*s: bad mailbox path in "
                    "virtual_mailbox_maps",
                    STR_ARGS(address));
        outcome_set(outcome, "4.3.5", "mail system configuration error");
        return false;
    }
    *path = config->virtual_mailbox_base.len > 0
                ? arena_printf(&delivery->job.arena, "%.*s/%.*s",
                               STR_ARGS(config->virtual_mailbox_base), STR_ARGS(value))
                : arena_text(&delivery->job.arena, value);
    return true;
}

static bool prepare(struct delivery *delivery, size_t recipient, struct placing *placing,
                    struct outcome *outcome)
{
    const struct agent *agent = delivery->agent;
    struct str address = delivery->job.envelope.recipients[recipient].address;

    placing_init(placing, delivery, recipient);
    placing->mailbox.size_limit_bytes = agent->config->virtual_mailbox_limit;
    if (!find_path(delivery, address, &placing->mailbox.path, outcome) ||
        !find_id(delivery, agent->virtual_uid_maps, address, agent->config->virtual_minimum_uid,
                 &placing->rights.uid, "uid", outcome) ||
        !find_id(delivery, agent->virtual_gid_maps, address, 1, &placing->rights.gid, "gid",
                 outcome))
        return false;
    placing->is_maildir = str_ends_with(str_from(placing->mailbox.path), STR("/"));
    return true;
}

void virtual_deliver(struct delivery *delivery, size_t recipient)
{
    struct placing placing;
    struct outcome outcome;

    if (!prepare(delivery, recipient, &placing, &outcome)) {
        report(delivery, recipient, &outcome);
        return;
    }
    if (!placing_run(delivery, &placing, &outcome)) {
        delivery->is_cancelled = true;
        return;
    }
    if (!outcome_is_sent(&outcome) && !placing.is_maildir)
        outcome_prepend(&outcome, "delivery failed to mailbox %s: ", placing.mailbox.path);
    report(delivery, recipient, &outcome);
}
