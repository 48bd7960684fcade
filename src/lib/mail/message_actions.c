/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/message_actions.h"

void message_actions_add_bcc(struct message_actions *actions, struct arena *arena,
                             struct str address)
{
    if (actions->bcc_count == MESSAGE_BCC_MAX)
        return;
    if (actions->bcc == NULL)
        actions->bcc = arena_new_array(arena, MESSAGE_BCC_MAX, sizeof *actions->bcc);
    actions->bcc[actions->bcc_count++] = arena_copy(arena, address);
}

void message_actions_prepend(struct message_actions *actions, struct arena *arena,
                             struct str header)
{
    actions->prepended = str_from(
        arena_printf(arena, "%.*s%.*s\r\n", STR_ARGS(actions->prepended), STR_ARGS(header)));
}

static bool has_recipient(const struct envelope *envelope, struct str address)
{
    for (size_t i = 0; i < envelope->recipient_count; i++)
        if (str_equal(envelope->recipients[i].address, address))
            return true;
    return false;
}

/* The first recipient stands for all: it is sent elsewhere, and its old address is shown in logs as
 * orig_to=. */
static void redirect(const struct message_actions *actions, struct arena *arena,
                     struct envelope *envelope)
{
    struct recipient *first = &envelope->recipients[0];

    if (first->original_recipient.len == 0)
        first->original_recipient = first->address;
    first->address = arena_copy(arena, actions->redirect);
    envelope->recipient_count = 1;
}

void message_actions_apply(const struct message_actions *actions, struct arena *arena,
                           struct envelope *envelope)
{
    if (actions->is_held)
        envelope->flags |= ENVELOPE_HELD;
    if (actions->filter.len > 0)
        envelope->filter = actions->filter;
    for (size_t i = 0; i < actions->bcc_count; i++) {
        struct recipient recipient = { .address = actions->bcc[i], .dsn_notify = DSN_NOTIFY_NEVER };
        if (!has_recipient(envelope, recipient.address))
            envelope_add_recipient(arena, envelope, &recipient);
    }
    if (actions->redirect.len > 0 && envelope->recipient_count > 0)
        redirect(actions, arena, envelope);
}
