/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/path_tolerance.h"

#include "mail/enclosed.h"

/* What was read so far. */
struct simpler {
    struct str rest;
    char *text;
    size_t len;
    bool has_gap; /* blanks or a comment since the last byte */
    bool is_over; /* behind '>' */
};

static void keep(struct simpler *simpler, size_t count)
{
    memcpy(simpler->text + simpler->len, simpler->rest.ptr, count);
    simpler->len += count;
    simpler->rest = str_skip(simpler->rest, count);
    simpler->has_gap = false;
}

static bool is_joint(char byte)
{
    return byte == '@' || byte == '.';
}

/* A word, a quoted string or a literal: only a joint, or a route's end, may stand before it once
 * there was a gap. */
static bool keep_word(struct simpler *simpler)
{
    char first = simpler->rest.ptr[0],
         last = simpler->len > 0 ? simpler->text[simpler->len - 1] : '@';
    size_t count = 1;

    if (simpler->is_over)
        return false;
    if (simpler->has_gap && !is_joint(last) && last != ':' && last != ',' && !is_joint(first))
        return false;
    if (first == '"' || first == '[')
        count = enclosed_length(simpler->rest, first == '"' ? '"' : ']');
    else if (first == '\\')
        count = 2;
    if (count == 0 || count > simpler->rest.len)
        return false;
    keep(simpler, count);
    return true;
}

static bool step(struct simpler *simpler, bool has_comments)
{
    size_t comment;

    switch (simpler->rest.ptr[0]) {
    case ' ':
    case '\t':
        simpler->rest = str_skip(simpler->rest, 1);
        simpler->has_gap = true;
        return true;
    case '(':
        comment = has_comments ? enclosed_comment_length(simpler->rest) : 0;
        simpler->rest = str_skip(simpler->rest, comment);
        simpler->has_gap = true;
        return comment > 0;
    case '<': /* what stood before it was a name */
        simpler->rest = str_skip(simpler->rest, 1);
        simpler->len = 0;
        return !simpler->is_over;
    case '>':
        simpler->rest = str_skip(simpler->rest, 1);
        simpler->is_over = true;
        return true;
    default:
        return keep_word(simpler);
    }
}

bool path_simplify(struct arena *arena, struct str text, bool has_comments, struct str *plain)
{
    struct simpler simpler = { .rest = text, .text = arena_new(arena, text.len + 1) };

    while (simpler.rest.len > 0) {
        if (!step(&simpler, has_comments))
            return false;
    }
    /* "@:a@b": a route that names nobody. */
    *plain = str_of(simpler.text, simpler.len);
    if (str_starts_with(*plain, STR("@:")))
        *plain = str_skip(*plain, 2);
    return plain->len > 0;
}
