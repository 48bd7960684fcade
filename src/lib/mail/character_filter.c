/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/character_filter.h"

enum { SHOWN_BYTES_MAX = 200 };

struct character_rules character_rules_parse(struct str rejected, struct str stripped)
{
    return (struct character_rules){ byte_set_parse(rejected), byte_set_parse(stripped) };
}

bool character_rules_are_empty(const struct character_rules *rules)
{
    return byte_set_is_empty(&rules->rejected) && byte_set_is_empty(&rules->stripped);
}

void character_filter_clear(struct character_filter *filter)
{
    buf_free(&filter->line);
}

/* `text` is (a part of) a line without its end. */
static void note_line(struct character_filter *filter, struct str text)
{
    buf_append(&filter->line, str_take(text, SHOWN_BYTES_MAX - filter->line.len));
}

static bool has_any(const struct byte_set *set, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (byte_set_has(set, text.ptr[i]))
            return true;
    }
    return false;
}

static void put_without(const struct byte_set *set, struct str text, struct buf *out)
{
    size_t start = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!byte_set_has(set, text.ptr[i]))
            continue;
        buf_append(out, str_of(text.ptr + start, i - start));
        start = i + 1;
    }
    buf_append(out, str_skip(text, start));
}

/* Content has no CR but those of line ends. */
static size_t line_len(struct str bytes)
{
    ptrdiff_t newline = str_find_byte(bytes, '\n');
    size_t len = newline < 0 ? bytes.len : (size_t)newline;

    return len > 0 && bytes.ptr[len - 1] == '\r' ? len - 1 : len;
}

bool character_filter_add(struct character_filter *filter, const struct character_rules *rules,
                          struct str bytes, struct buf *out)
{
    bool may_reject = !byte_set_is_empty(&rules->rejected);

    while (bytes.len > 0) {
        struct str line = str_take(bytes, line_len(bytes));
        if (may_reject) {
            note_line(filter, line);
            if (has_any(&rules->rejected, line))
                return false;
        }
        put_without(&rules->stripped, line, out);
        bytes = str_skip(bytes, line.len);
        while (bytes.len > 0 && (bytes.ptr[0] == '\r' || bytes.ptr[0] == '\n')) {
            bool ends_line = bytes.ptr[0] == '\n';
            buf_append_byte(out, bytes.ptr[0]);
            bytes = str_skip(bytes, 1);
            if (!ends_line)
                continue;
            buf_clear(&filter->line);
            break;
        }
    }
    return true;
}
