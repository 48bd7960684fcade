/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/header.h"

/* Up to and with its line end; the whole rest where there is none. */
static size_t line_length(struct str text)
{
    const char *newline = memchr(text.ptr, '\n', text.len);

    return newline != NULL ? (size_t)(newline - text.ptr) + 1 : text.len;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_empty_line(struct str text)
{
    return text.ptr[0] == '\n' || (text.len > 1 && text.ptr[0] == '\r' && text.ptr[1] == '\n');
}

/* The length of the name, 0 where the line is no header; the colon is behind the name and, if any,
 * blanks. */
static size_t name_length(struct str line)
{
    size_t len = 0;

    while (len < line.len && line.ptr[len] > ' ' && line.ptr[len] < 0x7f && line.ptr[len] != ':')
        len++;
    size_t colon = len;
    while (colon < line.len && is_blank(line.ptr[colon]))
        colon++;
    return colon < line.len && line.ptr[colon] == ':' ? len : 0;
}

bool header_next(struct str *content, struct header *header)
{
    if (content->len == 0)
        return false;
    if (is_empty_line(*content)) {
        *content = str_skip(*content, line_length(*content));
        return false;
    }
    size_t len = line_length(*content);
    size_t name_len = name_length(str_take(*content, len));
    if (name_len == 0)
        return false;
    while (len < content->len && is_blank(content->ptr[len]))
        len += line_length(str_skip(*content, len));
    header->whole = str_take(*content, len);
    if (str_ends_with(header->whole, STR("\n")))
        header->whole.len--;
    if (str_ends_with(header->whole, STR("\r")))
        header->whole.len--;
    header->name = str_take(header->whole, name_len);
    struct str rest = str_skip(header->whole, name_len);
    header->value = str_trim(str_skip(rest, (size_t)str_find_byte(rest, ':') + 1));
    *content = str_skip(*content, len);
    return true;
}

struct str header_raw_value(const struct header *header)
{
    struct str rest = str_skip(header->whole, header->name.len);

    return str_skip(rest, (size_t)str_find_byte(rest, ':') + 1);
}

struct str header_block(struct str content)
{
    struct str rest = content;
    struct header header;
    size_t len = 0;

    while (header_next(&rest, &header))
        len = content.len - rest.len;
    return str_take(content, len);
}

static bool is_any_of(const struct header *header, const char *const names[])
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (header_is(header, names[i]))
            return true;
    return false;
}

bool header_has_recipients(const struct header *header, bool is_resent)
{
    static const char *const plain[] = { "To", "Cc", "Bcc", NULL };
    static const char *const resent[] = { "Resent-To", "Resent-Cc", "Resent-Bcc", NULL };

    return is_any_of(header, is_resent ? resent : plain);
}

void header_summarise(struct str content, struct header_summary *summary)
{
    static const char *const visible[] = { "To", "Cc", "Resent-To", "Resent-Cc", NULL };
    struct header header;

    *summary = (struct header_summary){ .message_id = STR("") };
    while (header_next(&content, &header)) {
        /* Most headers are none of these: one look at the first letter settles it. */
        switch (ascii_lower(header.name.ptr[0])) {
        case 'm':
            if (header_is(&header, "Message-Id") && summary->message_id.len == 0)
                summary->message_id = header.value;
            break;
        case 'd':
            summary->delivered_to_count += header_is(&header, "Delivered-To");
            summary->has_date |= header_is(&header, "Date");
            break;
        case 'f':
            summary->has_from |= header_is(&header, "From");
            break;
        case 'r':
            summary->received_count += header_is(&header, "Received");
            summary->has_recipient |= is_any_of(&header, visible);
            break;
        default:
            summary->has_recipient |= is_any_of(&header, visible);
        }
    }
}
