/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/queue_filter.h"

#include "base/arena.h"
#include "base/memory.h"
#include "config/value.h"
#include "mail/address.h"
#include "table/expression.h"

enum { REASON_BYTES_MAX = 1000 };

struct queue_filter {
    struct arena arena;
    struct str destination, sender, recipient;
    bool is_null_sender;
    unsigned queues;
    struct expression *reason; /* NULL: any */
    int64_t older_ms;
    uint64_t larger_bytes;
};

bool queue_pattern_matches(struct str pattern, struct str text)
{
    size_t in_pattern = 0, in_text = 0;
    size_t star = SIZE_MAX, star_text = 0; /* where the last '*' is tried again from */

    while (in_text < text.len) {
        char wanted = in_pattern < pattern.len ? pattern.ptr[in_pattern] : '\0';
        if (in_pattern < pattern.len && wanted == '*') {
            star = in_pattern++;
            star_text = in_text;
        } else if (in_pattern < pattern.len &&
                   (wanted == '?' || ascii_lower(wanted) == ascii_lower(text.ptr[in_text]))) {
            in_pattern++;
            in_text++;
        } else if (star != SIZE_MAX) {
            in_pattern = star + 1;
            in_text = ++star_text;
        } else {
            return false;
        }
    }
    while (in_pattern < pattern.len && pattern.ptr[in_pattern] == '*')
        in_pattern++;
    return in_pattern == pattern.len;
}

bool queue_size_parse(struct str text, uint64_t *bytes, struct error *error)
{
    static const char units[] = "kmgt";
    struct str digits = text;
    unsigned shift = 0;

    for (unsigned i = 0; digits.len > 1 && i < sizeof units - 1; i++)
        if (ascii_lower(text.ptr[text.len - 1]) == units[i]) {
            shift = 10 * (i + 1);
            digits = str_take(text, text.len - 1);
        }
    if (!str_to_u64(digits, bytes) || *bytes > UINT64_MAX >> 1 >> shift)
        return error_set(error, "\"%.*s\" is no size: a number, then K, M, G or nothing for bytes",
                         STR_ARGS(str_take(text, 100)));
    *bytes <<= shift;
    return true;
}

static bool queues_parse(struct str text, unsigned *queues, struct error *error)
{
    struct str word;

    while (str_next_word(&text, " ,\t", &word)) {
        enum queue_name name;
        if (!queue_name_parse(word, &name))
            return error_set(error,
                             "\"%.*s\" is no status: active, deferred, hold, incoming or maildrop",
                             STR_ARGS(str_take(word, 100)));
        *queues |= 1u << name;
    }
    return true;
}

static bool reason_parse(struct queue_filter *filter, struct str text, struct error *error)
{
    if (text.len == 0)
        return true;
    if (text.len > REASON_BYTES_MAX || memchr(text.ptr, '\0', text.len) != NULL)
        return error_set(error, "the regular expression is too long");
    filter->reason = expression_new(text, error);
    return filter->reason != NULL;
}

static bool older_parse(struct queue_filter *filter, struct str text, struct error *error)
{
    if (text.len > 0 && !value_to_seconds(text, 's', &filter->older_ms, error))
        return false;
    filter->older_ms *= 1000;
    return true;
}

/* "@example.com" is everybody there. */
static struct str pattern_of(struct arena *arena, struct str text)
{
    if (text.len > 0 && text.ptr[0] == '@')
        return str_from(arena_printf(arena, "*%.*s", STR_ARGS(text)));
    return arena_copy(arena, text);
}

struct queue_filter *queue_filter_new(const struct queue_filter_texts *texts, struct error *error)
{
    struct queue_filter *filter = memory_new(sizeof *filter);

    filter->is_null_sender = str_equal(texts->sender, STR("<>"));
    filter->sender = pattern_of(&filter->arena, texts->sender);
    filter->recipient = pattern_of(&filter->arena, texts->recipient);
    filter->destination = arena_copy(&filter->arena, texts->destination);
    if (!queues_parse(texts->status, &filter->queues, error) ||
        !older_parse(filter, texts->older, error) ||
        (texts->larger.len > 0 && !queue_size_parse(texts->larger, &filter->larger_bytes, error)) ||
        !reason_parse(filter, texts->reason, error))
        queue_filter_free(&filter);
    return filter;
}

void queue_filter_free(struct queue_filter **filter)
{
    struct queue_filter *gone = *filter;

    if (gone == NULL)
        return;
    expression_free(&gone->reason);
    arena_clear(&gone->arena);
    memory_free(gone);
    *filter = NULL;
}

static bool recipient_matches(const struct queue_filter *filter, const struct recipient *recipient)
{
    return recipient->state == RECIPIENT_WAITING &&
           (filter->destination.len == 0 ||
            queue_pattern_matches(filter->destination, address_domain(recipient->address))) &&
           (filter->recipient.len == 0 ||
            queue_pattern_matches(filter->recipient, recipient->address)) &&
           (filter->reason == NULL || expression_matches(filter->reason, recipient->diagnostic));
}

static bool some_recipient_matches(const struct queue_filter *filter,
                                   const struct envelope *envelope)
{
    if (filter->destination.len == 0 && filter->recipient.len == 0 && filter->reason == NULL)
        return true;
    for (size_t i = 0; i < envelope->recipient_count; i++)
        if (recipient_matches(filter, &envelope->recipients[i]))
            return true;
    return false;
}

bool queue_filter_matches(const struct queue_filter *filter, const struct queue_entry *entry,
                          int64_t now_ms)
{
    const struct envelope *envelope = entry->envelope;

    if (filter->queues != 0 && !(filter->queues & 1u << entry->queue))
        return false;
    if (filter->is_null_sender
            ? envelope->sender.len > 0
            : filter->sender.len > 0 && !queue_pattern_matches(filter->sender, envelope->sender))
        return false;
    return now_ms - envelope->arrival_us / 1000 >= filter->older_ms &&
           envelope->size_bytes >= filter->larger_bytes && some_recipient_matches(filter, envelope);
}

unsigned queue_filter_queues(const struct queue_filter *filter)
{
    return filter->queues;
}
