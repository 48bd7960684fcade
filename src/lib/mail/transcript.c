/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/transcript.h"

#include "mail/address.h"

enum {
    COLUMNS_MAX = 78,
    INDENT = 4,
    LINE_BYTES_MAX = 1000,
    TRANSCRIPT_BYTES_MAX = 32 * 1024,
};

void transcript_clear(struct transcript *transcript)
{
    buf_free(&transcript->lines);
    transcript->line_count = 0;
    transcript->seen = 0;
}

static void add(struct transcript *transcript, struct str direction, struct str line)
{
    if (transcript->wanted == 0 || transcript->lines.len > TRANSCRIPT_BYTES_MAX)
        return;
    line = str_take(line, LINE_BYTES_MAX);
    buf_append(&transcript->lines, direction);
    char *room = buf_reserve(&transcript->lines, line.len + 1);
    if (room == NULL)
        return;
    for (size_t i = 0; i < line.len; i++)
        room[i] = ascii_is_print(line.ptr[i]) ? line.ptr[i] : '?';
    room[line.len] = '\n';
    buf_commit(&transcript->lines, line.len + 1);
    transcript->line_count++;
}

void transcript_add_in(struct transcript *transcript, struct str line)
{
    add(transcript, STR("In:  "), line);
}

void transcript_add_out(struct transcript *transcript, struct str line)
{
    add(transcript, STR("Out: "), line);
}

bool transcript_is_due(const struct transcript *transcript)
{
    return (transcript->seen & transcript->wanted) != 0 && transcript->line_count > 0;
}

/* Broken at blanks; a blank in front of everything that came from outside. */
static void put_wrapped(struct str line, struct buf *out)
{
    size_t room = COLUMNS_MAX;

    while (line.len > room) {
        ptrdiff_t blank = str_find_last_byte(str_take(line, room + 1), ' ');
        if (blank <= INDENT)
            break;
        buf_append_byte(out, ' ');
        buf_append(out, str_take(line, (size_t)blank));
        buf_append(out, STR("\r\n    "));
        line = str_skip(line, (size_t)blank + 1);
        room = COLUMNS_MAX - INDENT;
    }
    buf_append_byte(out, ' ');
    buf_append(out, line);
    buf_append(out, STR("\r\n"));
}

void transcript_format(const struct transcript *transcript, const struct transcript_notice *notice,
                       struct buf *out)
{
    struct str rest = buf_str(&transcript->lines);

    buf_append(out, STR("From: Mail Delivery System <MAILER-DAEMON>\r\nTo: Postmaster <"));
    address_format(notice->recipient, out);
    buf_printf(out, ">\r\nSubject: %.*s %s: errors from %.*s\r\n\r\n", STR_ARGS(notice->mail_name),
               notice->program, STR_ARGS(notice->peer));
    if (notice->is_client)
        buf_printf(out, "Unexpected response from %.*s.\r\n\r\n", STR_ARGS(notice->peer));
    buf_append(out, STR("Transcript of session follows.\r\n\r\n"));
    while (rest.len > 0)
        put_wrapped(str_cut(&rest, "\n"), out);
    if (!notice->is_client)
        buf_append(out, STR("\r\n"));
    if (notice->reason.len > 0)
        buf_printf(out, "Session aborted, reason: %.*s\r\n", STR_ARGS(notice->reason));
    buf_append(out, STR("\r\nFor other details, see the local mail logfile\r\n"));
}
