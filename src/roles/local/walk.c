/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include "mail/address.h"
#include "mail/header.h"
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

static void note_delivered_to(struct walk *walk)
{
    struct str content = walk->delivery->job.content;
    struct header header;

    while (header_next(&content, &header)) {
        if (!header_is(&header, "Delivered-To"))
            continue;
        struct str address = address_unquote(walk->arena, header.value);
        map_set(walk->delivered_to, address_fold(walk->arena, address), walk);
    }
}

void walk_init(struct walk *walk, struct delivery *delivery, size_t recipient)
{
    *walk = (struct walk){ .delivery = delivery,
                           .recipient = recipient,
                           .agent = delivery->agent,
                           .arena = &delivery->job.arena,
                           .seen = map_new(),
                           .delivered_to = map_new(),
                           .passed_to = STR("") };
    forwards_init(&walk->forwards, delivery, recipient);
    note_delivered_to(walk);
}

void walk_clear(struct walk *walk)
{
    map_free(&walk->seen);
    map_free(&walk->delivered_to);
}

void walk_push(struct walk *walk, enum item_kind kind, struct str text, const struct step *step)
{
    if (walk->item_count == walk->item_capacity) {
        size_t capacity = walk->item_capacity > 0 ? walk->item_capacity * 2 : 16;
        struct item *larger = arena_new_array(walk->arena, capacity, sizeof *larger);
        if (walk->item_count > 0)
            memcpy(larger, walk->items, walk->item_count * sizeof *larger);
        walk->items = larger;
        walk->item_capacity = capacity;
    }
    walk->items[walk->item_count++] = (struct item){ kind, text, *step };
}

bool walk_push_entries(struct walk *walk, const struct str *entries, size_t count,
                       const struct step *step)
{
    walk->items_total += count;
    if (walk->items_total > ENTRIES_MAX)
        return false;
    for (size_t i = count; i > 0; i--)
        walk_push(walk, ITEM_ENTRY, entries[i - 1], step);
    return true;
}

bool walk_pop(struct walk *walk, struct item *item)
{
    if (walk->item_count == 0)
        return false;
    *item = walk->items[--walk->item_count];
    return true;
}

static struct str key_of(const struct walk *walk, const char *what, struct str name)
{
    return str_from(arena_printf(walk->arena, "%s %.*s", what, STR_ARGS(name)));
}

bool walk_has_seen(const struct walk *walk, const char *what, struct str name)
{
    return map_find(walk->seen, key_of(walk, what, name)) != NULL;
}

/* The number is bounded by that of the entries, so there is no need to forget. */
bool walk_see(struct walk *walk, const char *what, struct str name)
{
    return map_set(walk->seen, key_of(walk, what, name), walk) != NULL;
}

static int badness(const struct outcome *outcome)
{
    return outcome_is_sent(outcome) ? 0 : outcome_is_soft(outcome) ? 2 : 1;
}

void walk_tell(struct walk *walk, const struct step *step, const struct outcome *outcome)
{
    struct outcome softened = *outcome;

    report_adjust(walk->delivery, &softened);
    report_line(walk->delivery, walk->recipient, step->address, &softened);
    if (!walk->has_outcome || badness(&softened) > badness(&walk->outcome))
        walk->outcome = softened;
    walk->has_outcome = true;
}

void walk_fail(struct walk *walk, const struct step *step, const char *dsn, const char *format, ...)
{
    struct outcome outcome;
    char text[OUTCOME_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    outcome_set(&outcome, dsn, "%s", text);
    walk_tell(walk, step, &outcome);
}
