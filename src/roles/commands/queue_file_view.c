/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_file_view.h"

#include <stdio.h>
#include <time.h>

/* Postfix's record types. */
enum record {
    RECORD_SIZE = 'C',
    RECORD_TIME = 'T',
    RECORD_ATTRIBUTE = 'A',
    RECORD_FILTER = 'L',
    RECORD_SENDER = 'S',
    RECORD_DONE = 'D',
    RECORD_ORIGINAL = 'O',
    RECORD_RECIPIENT = 'R',
    RECORD_CONTENT = 'M',
    RECORD_LINE = 'N',
    RECORD_LINE_PART = 'L',
    RECORD_EXTRACTED = 'X',
    RECORD_END = 'E',
};

enum {
    LINE_PART_MAX = 2048,  /* line_length_limit: a longer line takes several records */
    SIZE_RECORD_BYTES = 95 /* six numbers of fifteen columns */
};

/* Types, places and lengths in front of a record; the record counts. */
static bool begin_record(struct queue_file_view *view, enum record type, size_t bytes,
                         bool is_shown)
{
    size_t length_bytes = 1;

    if (is_shown && !view->is_dry) {
        if (view->has_offsets)
            printf("%9llu ", (unsigned long long)view->offset);
        if (view->has_types)
            printf("%3d ", type);
    }
    for (size_t rest = bytes >> 7; rest > 0; rest >>= 7)
        length_bytes++;
    view->offset += 1 + length_bytes + bytes;
    return is_shown && !view->is_dry;
}

static void print_harmless(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        putchar((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 0x7f ? '?' : value.ptr[i]);
}

static void put_field(struct queue_file_view *view, enum record type, const char *name,
                      struct str value)
{
    if (!begin_record(view, type, value.len, view->parts & VIEW_ENVELOPE))
        return;
    printf("%s: ", name);
    print_harmless(value);
    putchar('\n');
}

static void put_attribute(struct queue_file_view *view, const char *name, struct str value)
{
    autofree_buf struct buf text = { 0 };

    if (str_is_empty(value))
        return;
    buf_printf(&text, "%s=%.*s", name, STR_ARGS(value));
    put_field(view, RECORD_ATTRIBUTE, "named_attribute", buf_str(&text));
}

static void put_time(struct queue_file_view *view, enum record type, const char *name,
                     int64_t time_s, size_t bytes)
{
    time_t time = (time_t)time_s;
    struct tm parts;
    char text[64] = "";

    if (localtime_r(&time, &parts) != NULL)
        strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &parts);
    if (begin_record(view, type, bytes, view->parts & VIEW_ENVELOPE))
        printf("%s: %s\n", name, text);
}

static void put_times(struct queue_file_view *view, const struct envelope *envelope,
                      int64_t created_s)
{
    autofree_buf struct buf raw = { 0 };

    /* "SECONDS MICROSECONDS" and "create_time=SECONDS" */
    buf_printf(&raw, "%lld %6lld", (long long)(envelope->arrival_us / 1000000),
               (long long)(envelope->arrival_us % 1000000));
    put_time(view, RECORD_TIME, "message_arrival_time", envelope->arrival_us / 1000000, raw.len);
    buf_clear(&raw);
    buf_printf(&raw, "create_time=%lld", (long long)created_s);
    put_time(view, RECORD_ATTRIBUTE, "create_time", created_s, raw.len);
}

static void put_origin(struct queue_file_view *view, const struct envelope *envelope)
{
    bool is_local = (envelope->flags & ENVELOPE_LOCAL) != 0;

    put_attribute(view, "encoding", envelope->flags & ENVELOPE_8BITMIME ? STR("8bit") : STR(""));
    put_attribute(view, "envelope_id", envelope->dsn_envid);
    if (is_local) {
        put_attribute(view, "rewrite_context", STR("local"));
        return;
    }
    put_attribute(view, "log_client_name", envelope->client_name);
    put_attribute(view, "log_client_address", envelope->client_address);
    put_attribute(view, "log_helo_name", envelope->helo_name);
    put_attribute(view, "log_protocol_name", envelope->protocol);
    put_attribute(view, "sasl_username", envelope->sasl_username);
}

static void put_recipient(struct queue_file_view *view, const struct recipient *recipient)
{
    autofree_buf struct buf text = { 0 };
    struct str original = str_is_empty(recipient->original_recipient)
                              ? recipient->address
                              : recipient->original_recipient;
    bool is_done = recipient->state != RECIPIENT_WAITING;

    if (recipient->dsn_notify != 0) {
        buf_append_u64(&text, recipient->dsn_notify);
        put_attribute(view, "notify_flags", buf_str(&text));
        buf_clear(&text);
    }
    buf_printf(&text, "rfc822;%.*s", STR_ARGS(original));
    put_attribute(view, "dsn_orig_rcpt",
                  str_is_empty(recipient->dsn_orcpt) ? buf_str(&text) : recipient->dsn_orcpt);
    put_field(view, RECORD_ORIGINAL, "original_recipient", original);
    put_field(view, is_done ? RECORD_DONE : RECORD_RECIPIENT,
              is_done ? "done_recipient" : "recipient", recipient->address);
}

/* Everything behind the size record. */
static void put_envelope(struct queue_file_view *view, const struct envelope *envelope,
                         int64_t created_s)
{
    put_times(view, envelope, created_s);
    if (!str_is_empty(envelope->filter))
        put_field(view, RECORD_FILTER, "content_filter", envelope->filter);
    put_origin(view, envelope);
    put_field(view, RECORD_SENDER, "sender", envelope->sender);
    for (size_t i = 0; i < envelope->recipient_count; i++)
        put_recipient(view, &envelope->recipients[i]);
}

static void put_title(struct queue_file_view *view, enum record type, const char *what)
{
    if (begin_record(view, type, 0, view->parts & VIEW_ENVELOPE))
        printf("*** %s %.*s/%.*s ***\n", what, STR_ARGS(view->queue), STR_ARGS(view->id));
}

static void put_size(struct queue_file_view *view, const struct envelope *envelope,
                     uint64_t content_offset)
{
    if (begin_record(view, RECORD_SIZE, SIZE_RECORD_BYTES, view->parts & VIEW_ENVELOPE))
        printf("message_size: %15llu %15llu %15zu %15d %15llu %15d\n",
               (unsigned long long)envelope->size_bytes, (unsigned long long)content_offset,
               envelope->recipient_count, 0, (unsigned long long)envelope->size_bytes, 0);
}

void queue_file_view_begin(struct queue_file_view *view, struct str id, enum queue_name queue,
                           const struct envelope *envelope, int64_t created_s)
{
    view->id = id;
    view->queue = str_from(queue_name_text(queue));
    view->is_in_body = false;
    view->offset = 0;
    /* The first record says where the content begins: count, then print. */
    view->is_dry = true;
    put_size(view, envelope, 0);
    put_envelope(view, envelope, created_s);
    put_title(view, RECORD_CONTENT, "");
    uint64_t content_offset = view->offset;
    view->is_dry = false;
    view->offset = 0;
    if (view->parts & VIEW_ENVELOPE)
        printf("*** ENVELOPE RECORDS %.*s/%.*s ***\n", STR_ARGS(view->queue), STR_ARGS(view->id));
    put_size(view, envelope, content_offset);
    put_envelope(view, envelope, created_s);
    put_title(view, RECORD_CONTENT, "MESSAGE CONTENTS");
}

/* ---- content ---- */

static bool is_header_line(struct str line)
{
    ptrdiff_t colon = str_find_byte(line, ':');

    return colon > 0 || (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t'));
}

/* Message content may hold anything; only a terminal needs protection from it. */
static void put_line(struct queue_file_view *view, struct str line, bool is_whole)
{
    if (!view->is_in_body && !is_header_line(line))
        view->is_in_body = true;
    unsigned part = view->is_in_body ? VIEW_BODY : VIEW_HEADERS;
    if (!begin_record(view, is_whole ? RECORD_LINE : RECORD_LINE_PART, line.len,
                      (view->parts & part) != 0))
        return;
    if (view->is_verbose)
        fputs("regular_text: ", stdout);
    for (size_t i = 0; i < line.len; i++) {
        unsigned char byte = (unsigned char)line.ptr[i];
        putchar(view->is_terminal && byte < ' ' && byte != '\t' ? '?' : byte);
    }
    if (is_whole)
        putchar('\n');
}

void queue_file_view_content(struct queue_file_view *view, struct str content)
{
    while (content.len > 0) {
        ptrdiff_t end = str_find_byte(content, '\n');
        struct str piece = end < 0 ? content : str_take(content, (size_t)end);
        piece = str_take(piece, LINE_PART_MAX + 1 - view->line.len);
        buf_append(&view->line, piece);
        content = str_skip(content, piece.len);
        if (content.len > 0 && content.ptr[0] == '\n' && view->line.len <= LINE_PART_MAX) {
            if (view->line.len > 0 && view->line.ptr[view->line.len - 1] == '\r')
                buf_truncate(&view->line, view->line.len - 1);
            put_line(view, buf_str(&view->line), true);
            buf_clear(&view->line);
            content = str_skip(content, 1);
        } else if (view->line.len > LINE_PART_MAX) {
            put_line(view, str_of(view->line.ptr, LINE_PART_MAX), false);
            buf_consume(&view->line, LINE_PART_MAX);
        }
    }
}

void queue_file_view_end(struct queue_file_view *view)
{
    if (view->line.len > 0)
        put_line(view, buf_str(&view->line), true);
    put_title(view, RECORD_EXTRACTED, "HEADER EXTRACTED");
    put_title(view, RECORD_END, "MESSAGE FILE END");
    buf_free(&view->line);
}
