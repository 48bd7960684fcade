/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/reply.h"

enum {
    CODE_DIGITS = 3,
    /* Lines are cut on arrival, so this is never passed. */
    TEXT_BYTES_MAX = (REPLY_LINE_BYTES_MAX + 1) * REPLY_LINES_MAX,
};

void reply_clear(struct reply *reply)
{
    buf_clear(&reply->text);
    reply->text.limit = TEXT_BYTES_MAX;
    reply->code = 0;
    reply->enhanced[0] = '\0';
    reply->line_count = 0;
    reply->is_truncated = false;
}

void reply_free(struct reply *reply)
{
    buf_free(&reply->text);
}

static void append_neutralised(struct reply *reply, struct str line)
{
    if (line.len > REPLY_LINE_BYTES_MAX) {
        line.len = REPLY_LINE_BYTES_MAX;
        reply->is_truncated = true;
    }
    reply->text.limit = TEXT_BYTES_MAX;
    if (reply->line_count > 0)
        buf_append_byte(&reply->text, '\n');
    char *room = buf_reserve(&reply->text, line.len);
    if (room == NULL)
        return;
    for (size_t i = 0; i < line.len; i++) {
        unsigned char byte = (unsigned char)line.ptr[i];
        room[i] = byte == '\t' ? ' ' : byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
    }
    buf_commit(&reply->text, line.len);
}

/* Up to three digits; 0 where there are none or too many. */
static size_t number_length(struct str text)
{
    size_t len = 0;

    while (len < text.len && ascii_is_digit(text.ptr[len]))
        len++;
    return len <= 3 ? len : 0;
}

/* "5.1.1 text": class.subject.detail, followed by a blank or the end. */
static void find_enhanced(struct reply *reply, struct str text)
{
    struct str rest = text;

    reply->enhanced[0] = '\0';
    if (number_length(rest) != 1 || rest.ptr[0] != '0' + reply->code / 100)
        return;
    rest = str_skip(rest, 1);
    for (int part = 0; part < 2; part++) {
        if (rest.len == 0 || rest.ptr[0] != '.')
            return;
        rest = str_skip(rest, 1);
        size_t len = number_length(rest);
        if (len == 0)
            return;
        rest = str_skip(rest, len);
    }
    if (rest.len > 0 && rest.ptr[0] != ' ')
        return;
    size_t len = text.len - rest.len;
    memcpy(reply->enhanced, text.ptr, len);
    reply->enhanced[len] = '\0';
}

enum reply_progress reply_add_line(struct reply *reply, struct str line)
{
    bool is_first = reply->line_count == 0;

    if (reply->line_count >= REPLY_LINES_MAX)
        return REPLY_MALFORMED;
    append_neutralised(reply, line);
    reply->line_count++;
    if (number_length(str_take(line, CODE_DIGITS + 1)) != CODE_DIGITS)
        return REPLY_MALFORMED;
    int code = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + (line.ptr[2] - '0');
    char separator = line.len > CODE_DIGITS ? line.ptr[CODE_DIGITS] : ' ';
    if (code < 200 || code > 599 || (separator != ' ' && separator != '-') ||
        (!is_first && code != reply->code))
        return REPLY_MALFORMED;
    reply->code = code;
    find_enhanced(reply, str_skip(line, CODE_DIGITS + 1));
    return separator == '-' ? REPLY_MORE : REPLY_COMPLETE;
}

bool reply_line(const struct reply *reply, int index, struct str *text)
{
    struct str rest = buf_str(&reply->text);

    if (index < 0 || index >= reply->line_count)
        return false;
    for (int i = 0; i <= index; i++)
        *text = str_cut(&rest, "\n");
    *text = str_skip(*text, CODE_DIGITS + 1);
    return true;
}

struct str reply_status(const struct reply *reply)
{
    if (reply->enhanced[0] != '\0')
        return str_from(reply->enhanced);
    if (reply->code >= 500)
        return STR("5.0.0");
    return reply->code >= 400 ? STR("4.0.0") : STR("2.0.0");
}

void reply_format(const struct reply *reply, struct buf *out)
{
    struct str text = buf_str(&reply->text);
    char *room = buf_reserve(out, text.len);

    if (room == NULL)
        return;
    for (size_t i = 0; i < text.len; i++)
        room[i] = text.ptr[i] == '\n' ? ' ' : text.ptr[i];
    buf_commit(out, text.len);
}
