/* SPDX-License-Identifier: Apache-2.0 */
/* Seven lines that somebody types as a selection, and behind them a message's reason. */
#include "base/arena.h"
#include "base/ensure.h"
#include "mail/queue_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_match(const struct queue_filter *filter, struct str reason)
{
    struct arena arena = { 0 };
    struct envelope envelope = { .sender = STR("sender@example.com"), .size_bytes = 1000 };
    struct queue_entry entry = { .queue = QUEUE_DEFERRED, .envelope = &envelope };

    envelope_add_recipient(
        &arena, &envelope,
        &(struct recipient){ .address = STR("recipient@example.org"), .diagnostic = reason });
    bool is_match = queue_filter_matches(filter, &entry, 1000000);
    arena_clear(&arena);
    return is_match;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_of((const char *)data, size > 2000 ? 2000 : size);
    struct queue_filter_texts texts = { .destination = str_cut(&rest, "\n"),
                                        .sender = str_cut(&rest, "\n"),
                                        .recipient = str_cut(&rest, "\n"),
                                        .status = str_cut(&rest, "\n"),
                                        /* Short: an expression of the user's own may be slow. */
                                        .reason = str_take(str_cut(&rest, "\n"), 12),
                                        .older = str_cut(&rest, "\n"),
                                        .larger = str_cut(&rest, "\n") };
    struct error error;
    struct queue_filter *filter = queue_filter_new(&texts, &error);

    if (filter == NULL)
        return 0;
    bool first = is_match(filter, str_take(rest, 64));
    ensure(is_match(filter, str_take(rest, 64)) == first);
    ensure(queue_pattern_matches(STR("*"), rest));
    queue_filter_free(&filter);
    return 0;
}
