/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ensure.h"
#include "mail/address.h"
#include "mail/date.h"
#include "mail/header.h"

enum { ENCODED_WORD_BYTES_MAX = 60 };

/* What the message has, as its headers go by. */
struct seen {
    struct str *dropped; /* the names in message_drop_headers, cut apart once */
    size_t dropped_count;
    bool has_message_id, has_date, has_from;
    bool has_resent, has_resent_message_id, has_resent_date, has_resent_from;
    bool has_recipient;
    struct str message_id; /* the first one */
};

static void look_at(const struct header *header, struct seen *seen)
{
    if (!str_starts_with_fold(header->name, STR("resent-"))) {
        seen->has_message_id |= header_is(header, "Message-Id");
        seen->has_date |= header_is(header, "Date");
        seen->has_from |= header_is(header, "From");
        seen->has_recipient |= header_is(header, "To") || header_is(header, "Cc");
        return;
    }
    seen->has_resent = true;
    seen->has_resent_message_id |= header_is(header, "Resent-Message-Id");
    seen->has_resent_date |= header_is(header, "Resent-Date");
    seen->has_resent_from |= header_is(header, "Resent-From");
    seen->has_recipient |= header_is(header, "Resent-To") || header_is(header, "Resent-Cc");
}

static void cut_dropped(struct arena *arena, struct str drop, struct seen *seen)
{
    /* No more names than every other byte. */
    seen->dropped = arena_new_array(arena, drop.len / 2 + 1, sizeof *seen->dropped);
    while (str_next_word(&drop, ", \t\r\n", &seen->dropped[seen->dropped_count]))
        seen->dropped_count++;
}

static bool is_dropped(const struct header *header, const struct seen *seen)
{
    for (size_t i = 0; i < seen->dropped_count; i++)
        if (str_equal_fold(seen->dropped[i], header->name))
            return true;
    return false;
}

static void put_line_end(struct buf *out)
{
    buf_append(out, STR("\r\n"));
}

enum header_class { HEADER_OTHER, HEADER_SENDER, HEADER_RECIPIENT };

/* Whether, and whose, addresses a header has. */
static enum header_class class_of(const struct header *header)
{
    static const struct {
        struct str name;
        enum header_class class;
    } classes[] = {
        { STR_INIT("From"), HEADER_SENDER },
        { STR_INIT("Sender"), HEADER_SENDER },
        { STR_INIT("Reply-To"), HEADER_SENDER },
        { STR_INIT("Return-Receipt-To"), HEADER_SENDER },
        { STR_INIT("Errors-To"), HEADER_SENDER },
        { STR_INIT("Mail-Followup-To"), HEADER_SENDER },
        { STR_INIT("Disposition-Notification-To"), HEADER_SENDER },
        { STR_INIT("To"), HEADER_RECIPIENT },
        { STR_INIT("Cc"), HEADER_RECIPIENT },
        { STR_INIT("Bcc"), HEADER_RECIPIENT },
        { STR_INIT("Apparently-To"), HEADER_RECIPIENT },
    };
    struct str name = header->name;

    if (str_starts_with_fold(name, STR("resent-")))
        name = str_skip(name, 7);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (str_equal_fold(name, classes[i].name))
            return classes[i].class;
    return HEADER_OTHER;
}

bool header_has_addresses(const struct header *header, bool *is_sender)
{
    enum header_class class = class_of(header);

    *is_sender = class == HEADER_SENDER;
    return class != HEADER_OTHER;
}

/* The blanks that may stand between name and colon go. */
static bool put_header(const struct header_completion *completion, const struct header *header,
                       struct buf *out)
{
    bool is_good = true;

    buf_append(out, header->name);
    buf_append_byte(out, ':');
    enum header_class class = completion->rewriter != NULL ? class_of(header) : HEADER_OTHER;
    if (class == HEADER_OTHER)
        buf_append(out, header_raw_value(header));
    else
        is_good =
            header_rewrite_addresses(completion->rewriter, class == HEADER_SENDER, header, out);
    put_line_end(out);
    return is_good;
}

/* ---- From: ---- */

enum phrase_form { PHRASE_PLAIN, PHRASE_QUOTED, PHRASE_ENCODED };

static enum phrase_form phrase_form(struct str name)
{
    enum phrase_form form = PHRASE_PLAIN;

    for (size_t i = 0; i < name.len; i++) {
        unsigned char byte = (unsigned char)name.ptr[i];
        if (byte >= 0x80)
            return PHRASE_ENCODED;
        if (byte != ' ' && !ascii_is_alnum((char)byte) &&
            memchr("#$&'*+-/=?^_`{|}~", byte, 17) == NULL) /* ! and % route */
            form = PHRASE_QUOTED;
    }
    return form;
}

static void put_quoted(struct str name, struct buf *out)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.ptr[i];
        if (byte == '"' || byte == '\\')
            buf_append_byte(out, '\\');
        buf_append_byte(out, (unsigned char)byte < 0x20 || byte == 0x7f ? ' ' : byte);
    }
    buf_append_byte(out, '"');
}

/* RFC 2047, "Q" encoding; a new word before a character that would not fit. */
static void put_encoded(struct str name, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t word_bytes = 0;

    for (size_t i = 0; i < name.len; i++) {
        unsigned char byte = (unsigned char)name.ptr[i];
        bool starts_character = (byte & 0xc0) != 0x80;
        if (word_bytes == 0 || (word_bytes > ENCODED_WORD_BYTES_MAX - 12 && starts_character)) {
            buf_append(out, word_bytes == 0 ? STR("=?utf-8?Q?") : STR("?=\r\n =?utf-8?Q?"));
            word_bytes = 10;
        }
        if (ascii_is_alnum((char)byte)) {
            buf_append_byte(out, (char)byte);
            word_bytes++;
        } else {
            char coded[3] = { '=', digits[byte >> 4], digits[byte & 15] };
            buf_append(out, str_of(coded, sizeof coded));
            word_bytes += sizeof coded;
        }
    }
    buf_append(out, STR("?="));
}

static bool is_balanced(struct str text)
{
    int depth = 0;

    for (size_t i = 0; i < text.len && depth >= 0; i++)
        depth += (text.ptr[i] == '(') - (text.ptr[i] == ')');
    return depth == 0;
}

/* A comment may have comments inside. */
static void put_comment(struct str name, struct buf *out)
{
    bool is_whole = is_balanced(name), is_encoded = phrase_form(name) == PHRASE_ENCODED;

    buf_append_byte(out, '(');
    if (is_encoded)
        put_encoded(name, out);
    for (size_t i = 0; !is_encoded && i < name.len; i++) {
        char byte = name.ptr[i];
        if (!is_whole && (byte == '(' || byte == ')' || byte == '\\'))
            buf_append_byte(out, '\\');
        buf_append_byte(out, (unsigned char)byte < 0x20 || byte == 0x7f ? ' ' : byte);
    }
    buf_append_byte(out, ')');
}

static void put_from(const struct header_completion *completion, struct buf *out)
{
    if (completion->sender.len == 0) {
        buf_append(out, STR("MAILER-DAEMON"));
        return;
    }
    if (completion->full_name.len == 0) {
        address_format(completion->sender, out);
        return;
    }
    if (completion->has_name_behind) {
        address_format(completion->sender, out);
        buf_append_byte(out, ' ');
        put_comment(completion->full_name, out);
        return;
    }
    switch (phrase_form(completion->full_name)) {
    case PHRASE_PLAIN:
        buf_append(out, completion->full_name);
        break;
    case PHRASE_QUOTED:
        put_quoted(completion->full_name, out);
        break;
    case PHRASE_ENCODED:
        put_encoded(completion->full_name, out);
        break;
    }
    buf_append_byte(out, ' ');
    address_format_angle(completion->sender, out);
}

/* ---- the rest ---- */

static void put_missing(struct arena *arena, const struct header_completion *completion,
                        const struct seen *seen, struct buf *out, struct str *message_id)
{
    struct str prefix = seen->has_resent ? STR("Resent-") : STR("");

    if (!(seen->has_resent ? seen->has_resent_message_id : seen->has_message_id)) {
        buf_append(out, prefix);
        buf_append(out, STR("Message-Id: "));
        size_t start = out->len;
        buf_append_byte(out, '<');
        date_format_compact(completion->wall_s, out);
        buf_append_byte(out, '.');
        buf_append(out, completion->queue_id);
        buf_append_byte(out, '@');
        buf_append(out, completion->myhostname);
        buf_append_byte(out, '>');
        if (!seen->has_resent && !out->is_overflowed)
            *message_id = arena_copy(arena, str_skip(buf_str(out), start));
        put_line_end(out);
    }
    if (!(seen->has_resent ? seen->has_resent_date : seen->has_date)) {
        buf_append(out, prefix);
        buf_append(out, STR("Date: "));
        date_format_mail(completion->wall_s, out);
        put_line_end(out);
    }
    if (!(seen->has_resent ? seen->has_resent_from : seen->has_from)) {
        buf_append(out, prefix);
        buf_append(out, STR("From: "));
        put_from(completion, out);
        put_line_end(out);
    }
    if (!seen->has_recipient && completion->undisclosed_recipients_header.len > 0) {
        buf_append(out, completion->undisclosed_recipients_header);
        put_line_end(out);
    }
}

/* mbox separators at the start of the content. */
static void put_mailbox_lines(struct str *content, struct buf *out)
{
    while (str_starts_with(*content, STR("From ")) || str_starts_with(*content, STR(">From "))) {
        ptrdiff_t newline = str_find_byte(*content, '\n');
        size_t len = newline < 0 ? content->len : (size_t)newline + 1;
        buf_append(out, STR("X-Mailbox-Line: "));
        buf_append(out, str_trim_end(str_take(*content, len)));
        put_line_end(out);
        *content = str_skip(*content, len);
    }
}

/* Written so and not otherwise, as Postfix has it. */
static bool says_8bit(const struct header *header)
{
    struct str value = str_trim_start(header_raw_value(header));

    return header_is(header, "Content-Transfer-Encoding") &&
           (str_equal_fold(value, STR("8bit")) || str_equal_fold(value, STR("binary")));
}

/* One header on its way, through the check first. */
static bool take_header(struct arena *arena, const struct header_completion *completion,
                        struct header *header, struct seen *seen, struct buf *out)
{
    struct str whole = header->whole;

    if (completion->check != NULL) {
        if (!completion->check(completion->check_argument, &whole, out))
            return true;
        ensure(header_next(&whole, header));
    }
    look_at(header, seen);
    if (seen->message_id.len == 0 && header_is(header, "Message-Id"))
        seen->message_id = arena_copy(arena, header->value);
    if (completion->is_8bit != NULL)
        *completion->is_8bit |= says_8bit(header);
    return is_dropped(header, seen) || put_header(completion, header, out);
}

static bool take_opening(struct arena *arena, const struct header_completion *completion,
                         struct seen *seen, struct buf *out)
{
    struct str rest = completion->opening;
    struct header header;

    while (header_next(&rest, &header))
        if (!take_header(arena, completion, &header, seen, out))
            return false;
    return true;
}

bool header_complete(struct arena *arena, const struct header_completion *completion,
                     struct str content, struct buf *out, struct str *message_id)
{
    struct seen seen = { .message_id = STR("") };
    struct header header;

    *message_id = STR("");
    cut_dropped(arena, completion->drop, &seen);
    if (!take_opening(arena, completion, &seen, out))
        return false;
    put_mailbox_lines(&content, out);
    struct str headers = content;
    size_t header_bytes = 0;
    while (header_next(&content, &header)) {
        header_bytes = headers.len - content.len;
        if (!take_header(arena, completion, &header, &seen, out))
            return false;
    }
    *message_id = seen.message_id;
    if (completion->may_add_missing)
        put_missing(arena, completion, &seen, out, message_id);
    /* An empty line ended the headers, or the body starts without one: it needs one. */
    bool had_empty_line = headers.len - content.len > header_bytes;
    if (had_empty_line || content.len > 0)
        put_line_end(out);
    if (completion->body != NULL)
        *completion->body = content;
    else
        buf_append(out, content);
    return true;
}
