/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dsn.h"

#include "mail/address.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/xtext.h"

enum { COLUMNS_MAX = 79 };

/* ---- what differs between the kinds ---- */

struct wording {
    const char *action;
    const char *description; /* of the returned part; " Headers" may follow */
};

static const struct wording wordings[DSN_KINDS] = {
    [DSN_FAILURE] = { "failed", "Undelivered Message" },
    [DSN_DELAY] = { "delayed", "Undelivered Message" },
    [DSN_SUCCESS] = { "delivered", "Message" },
    [DSN_REPORT] = { "delivered", "Message" },
};

struct str dsn_action_name(enum dsn_action action)
{
    switch (action) {
    case DSN_ACTION_NONE:
        break;
    case DSN_ACTION_DELIVERED:
        return STR("delivered");
    case DSN_ACTION_RELAYED:
    case DSN_ACTION_PASSED_ON:
        return STR("relayed");
    case DSN_ACTION_EXPANDED:
        return STR("expanded");
    case DSN_ACTION_DELIVERABLE:
        return STR("deliverable");
    case DSN_ACTION_UNDELIVERABLE:
        return STR("undeliverable");
    }
    return STR("");
}

static struct str effective_action(const struct dsn *dsn, const struct dsn_recipient *recipient)
{
    return recipient->action.len > 0 ? recipient->action : str_from(wordings[dsn->kind].action);
}

/* RFC 6533 has its own types for what reports on a message that needs SMTPUTF8. */
static bool is_global(const struct dsn *dsn)
{
    return (dsn->envelope->flags & ENVELOPE_SMTPUTF8) != 0;
}

/* ---- pieces ---- */

static void put(struct buf *out, const char *text)
{
    buf_append_text(out, text);
}

static void put_line_end(struct buf *out)
{
    buf_append(out, STR("\r\n"));
}

/* Bytes from outside on one line. */
static void put_printable(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        buf_append_byte(out, byte == '\n' || byte == '\t'  ? ' '
                             : byte < 0x20 || byte == 0x7f ? '?'
                                                           : (char)byte);
    }
}

/* The line that starts at `start` in `out`, broken at blanks to fit, continued with four blanks;
 * with its line end. */
static void fold_line(struct buf *out, size_t start)
{
    autofree_buf struct buf folded = { 0 };
    struct str rest = str_skip(buf_str(out), start);
    size_t room = COLUMNS_MAX;

    while (rest.len > room) {
        ptrdiff_t blank = str_find_last_byte(str_take(rest, room + 1), ' ');
        if (blank <= 0)
            blank = str_find_byte(rest, ' ');
        if (blank <= 0)
            break;
        buf_append(&folded, str_take(rest, (size_t)blank));
        buf_append(&folded, STR("\r\n    "));
        rest = str_skip(rest, (size_t)blank + 1);
        room = COLUMNS_MAX - 4;
    }
    buf_append(&folded, rest);
    buf_truncate(out, start);
    buf_append(out, buf_str(&folded));
    put_line_end(out);
}

static void put_boundary(struct buf *out, const struct dsn *dsn)
{
    buf_append(out, dsn->notification_id);
    buf_append_byte(out, '.');
    buf_append_u64(out, (uint64_t)dsn->wall_s);
    buf_append_byte(out, '/');
    buf_append(out, dsn->myhostname);
}

static void put_separator(struct buf *out, const struct dsn *dsn, const char *behind)
{
    put(out, "\r\n--");
    put_boundary(out, dsn);
    put(out, behind);
    put_line_end(out);
}

static void put_date(struct buf *out, const char *name, int64_t wall_s)
{
    put(out, name);
    date_format_mail(wall_s, out);
    put_line_end(out);
}

static bool is_ascii(struct str text)
{
    unsigned char all = 0;

    for (size_t i = 0; i < text.len; i++)
        all |= (unsigned char)text.ptr[i];
    return all < 0x80;
}

static void put_encoding(const struct dsn *dsn, struct buf *out)
{
    if (dsn->is_8bit)
        put(out, "Content-Transfer-Encoding: 8bit\r\n");
}

/* ---- the parts ---- */

static void put_thread(const struct dsn *dsn, struct buf *out)
{
    struct header_summary summary;

    if (!dsn->is_threaded)
        return;
    header_summarise(dsn->content, &summary);
    if (summary.message_id.len == 0)
        return;
    put(out, "References: ");
    put_printable(out, summary.message_id);
    put(out, "\r\nIn-Reply-To: ");
    put_printable(out, summary.message_id);
    put_line_end(out);
}

static void put_head(const struct dsn *dsn, struct buf *out)
{
    const struct bounce_template *template = dsn->template;

    put_date(out, "Date: ", dsn->wall_s);
    put(out, "From: ");
    buf_append(out, template->from);
    put(out, "\r\nSubject: ");
    buf_append(out, dsn->is_for_postmaster ? template->postmaster_subject : template->subject);
    put(out, "\r\nTo: ");
    address_format(dsn->to, out);
    put_line_end(out);
    put_thread(dsn, out);
    buf_printf(out, "Auto-Submitted: auto-%s\r\n",
               dsn->is_for_postmaster ? "generated" : "replied");
    put(out, "MIME-Version: 1.0\r\n"
             "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
    put_boundary(out, dsn);
    put(out, "\"\r\n");
    put_encoding(dsn, out);
    put(out, "Message-Id: <");
    date_format_compact(dsn->wall_s, out);
    buf_append_byte(out, '.');
    buf_append(out, dsn->notification_id);
    buf_append_byte(out, '@');
    buf_append(out, dsn->myhostname);
    put(out, ">\r\n\r\nThis is a MIME-encapsulated message.\r\n");
}

static struct str diagnostic_of(const struct dsn_recipient *recipient)
{
    return recipient->told.len > 0 ? recipient->told : recipient->recipient->diagnostic;
}

static void put_human_recipient(const struct dsn_recipient *recipient, struct buf *out)
{
    const struct recipient *who = recipient->recipient;
    size_t start;

    put_line_end(out);
    start = out->len;
    address_format_angle(who->address, out);
    if (who->original_recipient.len > 0 && !str_equal(who->original_recipient, who->address)) {
        put(out, " (expanded from ");
        address_format_angle(who->original_recipient, out);
        buf_append_byte(out, ')');
    }
    put(out, ": ");
    put_printable(out, diagnostic_of(recipient));
    fold_line(out, start);
}

/* What the template says; its lines end with LF. */
static void put_template_text(const struct dsn *dsn, struct buf *out)
{
    struct str rest = dsn->template->text;

    while (rest.len > 0) {
        struct str line = str_cut(&rest, "\n");
        for (size_t i = 0; i < line.len; i++)
            if (line.ptr[i] != '\r' && line.ptr[i] != '\0')
                buf_append_byte(out, line.ptr[i]);
        put_line_end(out);
    }
}

/* What is not ASCII in it, beside the template's text, is UTF-8. */
static struct str charset_of(const struct dsn *dsn)
{
    return dsn->is_8bit && str_equal_fold(dsn->template->charset, STR("us-ascii"))
               ? STR("utf-8")
               : dsn->template->charset;
}

static void put_human_part(const struct dsn *dsn, struct buf *out)
{
    put_separator(out, dsn, "");
    put(out, "Content-Description: Notification\r\nContent-Type: text/plain; charset=");
    buf_append(out, charset_of(dsn));
    put_line_end(out);
    put_encoding(dsn, out);
    put_line_end(out);
    if (!dsn->is_for_postmaster)
        put_template_text(dsn, out);
    for (size_t i = 0; i < dsn->recipient_count; i++)
        put_human_recipient(&dsn->recipients[i], out);
}

/* "rfc822; a@b", or RFC 6533's form where the address needs it. */
static void put_address_field(const struct dsn *dsn, const char *name, const char *blank,
                              struct str address, struct buf *out)
{
    bool is_utf8 = is_global(dsn) && !is_ascii(address);

    buf_printf(out, "%s: %s;%s", name, is_utf8 ? "utf-8" : "rfc822", blank);
    address_format(address, out);
    put_line_end(out);
}

/* ORCPT as the sender gave it, or what we know ourselves. */
static void put_original_recipient(const struct dsn *dsn, const struct recipient *who,
                                   struct buf *out)
{
    struct str rest = who->dsn_orcpt, type = str_cut(&rest, ";");
    autofree_buf struct buf decoded = { 0 };

    if (type.len == 0 || rest.len == 0) {
        put_address_field(dsn, "Original-Recipient", "",
                          who->original_recipient.len > 0 ? who->original_recipient : who->address,
                          out);
        return;
    }
    bool is_decoded = str_equal_fold(type, STR("utf-8")) ? unitext_decode(rest, &decoded)
                                                         : xtext_decode(rest, &decoded);
    put(out, "Original-Recipient: ");
    put_printable(out, type);
    buf_append_byte(out, ';');
    put_printable(out, is_decoded ? buf_str(&decoded) : rest);
    put_line_end(out);
}

static void put_status_recipient(const struct dsn *dsn, const struct dsn_recipient *recipient,
                                 struct buf *out)
{
    const struct recipient *who = recipient->recipient;

    put_line_end(out);
    put_address_field(dsn, "Final-Recipient", " ", who->address, out);
    put_original_recipient(dsn, who, out);
    put(out, "Action: ");
    buf_append(out, effective_action(dsn, recipient));
    put(out, "\r\nStatus: ");
    buf_append(out, who->dsn_status);
    put_line_end(out);
    if (recipient->remote_mta.len > 0) {
        put(out, "Remote-MTA: dns; ");
        put_printable(out, recipient->remote_mta);
        put_line_end(out);
    }
    size_t start = out->len;
    bool is_theirs = recipient->smtp_reply.len > 0;
    put(out, is_theirs ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: X-");
    if (!is_theirs) {
        buf_append(out, dsn->mail_name);
        put(out, "; ");
    }
    put_printable(out, is_theirs ? recipient->smtp_reply : diagnostic_of(recipient));
    fold_line(out, start);
    if (dsn->kind == DSN_DELAY && dsn->expires_s > 0)
        put_date(out, "Will-Retry-Until: ", dsn->expires_s);
}

/* The sender, or for the null sender whom that stands for. */
static struct str sender_shown(const struct dsn *dsn, struct arena *arena)
{
    if (dsn->envelope->sender.len > 0)
        return dsn->envelope->sender;
    return str_from(arena_printf(arena, "MAILER-DAEMON@%.*s", STR_ARGS(dsn->myhostname)));
}

static void put_status_part(const struct dsn *dsn, struct buf *out)
{
    const struct envelope *envelope = dsn->envelope;
    autoclear_arena struct arena scratch = { 0 };

    put_separator(out, dsn, "");
    put(out, "Content-Description: Delivery report\r\nContent-Type: ");
    put(out,
        is_global(dsn) ? "message/global-delivery-status\r\n" : "message/delivery-status\r\n");
    if (is_global(dsn))
        put_encoding(dsn, out);
    put(out, "\r\nReporting-MTA: dns; ");
    buf_append(out, dsn->myhostname);
    put_line_end(out);
    if (envelope->dsn_envid.len > 0) {
        autofree_buf struct buf decoded = { 0 };
        put(out, "Original-Envelope-Id: ");
        put_printable(out, xtext_decode(envelope->dsn_envid, &decoded) ? buf_str(&decoded)
                                                                       : envelope->dsn_envid);
        put_line_end(out);
    }
    buf_printf(out, "X-%.*s-Queue-ID: %.*s\r\nX-%.*s", STR_ARGS(dsn->mail_name),
               STR_ARGS(dsn->queue_id), STR_ARGS(dsn->mail_name));
    put_address_field(dsn, "-Sender", " ", sender_shown(dsn, &scratch), out);
    put_date(out, "Arrival-Date: ", envelope->arrival_us / 1000000);
    for (size_t i = 0; i < dsn->recipient_count; i++)
        put_status_recipient(dsn, &dsn->recipients[i], out);
}

static void put_returned_part(const struct dsn *dsn, struct buf *out)
{
    bool is_whole = !dsn->returns_headers && dsn->content.len == dsn->content_bytes &&
                    dsn->content_bytes <= dsn->bounce_size_limit;
    struct str returned = is_whole ? dsn->content : header_block(dsn->content);
    autoclear_arena struct arena scratch = { 0 };

    put_separator(out, dsn, "");
    buf_printf(out, "Content-Description: %s%s\r\nContent-Type: ", wordings[dsn->kind].description,
               is_whole ? "" : " Headers");
    if (is_global(dsn))
        put(out, is_whole ? "message/global\r\n" : "message/global-headers\r\n");
    else
        put(out, is_whole ? "message/rfc822\r\n" : "text/rfc822-headers\r\n");
    put_encoding(dsn, out);
    put(out, "\r\nReturn-Path: ");
    address_format_angle(sender_shown(dsn, &scratch), out);
    put_line_end(out);
    buf_append(out, returned);
    if (!str_ends_with(returned, STR("\n")))
        put_line_end(out);
}

static bool is_report_ascii(const struct dsn *dsn)
{
    bool is_plain = is_ascii(dsn->envelope->sender) && is_ascii(dsn->content);

    for (size_t i = 0; i < dsn->recipient_count && is_plain; i++)
        is_plain = is_ascii(dsn->recipients[i].recipient->address) &&
                   is_ascii(diagnostic_of(&dsn->recipients[i])) &&
                   is_ascii(dsn->recipients[i].smtp_reply);
    return is_plain;
}

void dsn_format(const struct dsn *given, struct buf *out)
{
    struct dsn settled = *given;
    const struct dsn *dsn = &settled;

    settled.is_8bit = settled.is_8bit || !is_report_ascii(given);
    put_head(dsn, out);
    put_human_part(dsn, out);
    put_status_part(dsn, out);
    put_returned_part(dsn, out);
    put_separator(out, dsn, "--");
}
