/* SPDX-License-Identifier: Apache-2.0 */
#include "mark.h"

static void format_hex(uint64_t value, char *out, size_t digits)
{
    for (; digits > 0; digits--, value >>= 4)
        out[digits - 1] = "0123456789abcdef"[value & 15];
}

static bool parse_hex(struct str text, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < text.len; i++) {
        char byte = ascii_lower(text.ptr[i]);
        if (!ascii_is_digit(byte) && (byte < 'a' || byte > 'f'))
            return false;
        *value = *value << 4 | (uint64_t)(ascii_is_digit(byte) ? byte - '0' : byte - 'a' + 10);
    }
    return true;
}

void mark_format_id(const struct mark *mark, char *out)
{
    format_hex(mark->run, out, 4);
    out[4] = '.';
    format_hex(mark->number, out + 5, 8);
}

void mark_format_time(const struct mark *mark, char *out)
{
    format_hex((uint64_t)mark->due_us, out, MARK_TIME_LEN);
}

void mark_format_copy(uint64_t copy, char *out)
{
    format_hex(copy, out, MARK_COPY_LEN - 1);
    out[MARK_COPY_LEN - 1] = '\n';
}

static bool parse_id(struct str text, struct mark *mark)
{
    uint64_t run, number;

    if (text.len != MARK_ID_LEN || text.ptr[4] != '.' || !parse_hex(str_take(text, 4), &run) ||
        !parse_hex(str_skip(text, 5), &number))
        return false;
    mark->run = (uint16_t)run;
    mark->number = (uint32_t)number;
    return run != 0;
}

bool mark_find(struct str part, struct mark *mark)
{
    static const struct str header = STR_INIT(MARK_HEADER);
    const char *place = memmem(part.ptr, part.len, header.ptr, header.len);
    uint64_t due_us;

    if (place == NULL)
        return false;
    struct str line = str_skip(part, (size_t)(place - part.ptr) + header.len);
    struct str time = str_take(str_skip(line, MARK_ID_LEN + 1), MARK_TIME_LEN);
    if (time.len != MARK_TIME_LEN || !parse_hex(time, &due_us))
        return false;
    mark->due_us = (int64_t)due_us;
    return parse_id(str_take(line, MARK_ID_LEN), mark);
}

bool mark_ends(struct str end, const struct mark *mark)
{
    struct mark last;
    struct str line = str_skip(end, end.len > MARK_END_LEN ? end.len - MARK_END_LEN : 0);

    return line.len == MARK_END_LEN && str_starts_with(line, STR(MARK_LAST_LINE)) &&
           parse_id(str_take(str_skip(line, sizeof MARK_LAST_LINE - 1), MARK_ID_LEN), &last) &&
           last.run == mark->run && last.number == mark->number;
}

bool mark_parse_copy(struct str line, uint64_t *copy)
{
    return line.len == MARK_COPY_LEN && line.ptr[MARK_COPY_LEN - 1] == '\n' &&
           parse_hex(str_take(line, MARK_COPY_LEN - 1), copy);
}

uint64_t mark_copy(const struct mark *mark, uint32_t ordinal)
{
    return (uint64_t)mark->run << 48 | (uint64_t)mark->number << 16 | (uint16_t)ordinal;
}
