/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dsn.h"

#include "mail/address.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/xtext.h"

enum { COLUMNS_MAX = 79 };

/* ---- what differs between the kinds ---- */

struct wording {
    const char *subject;
    const char *introduction;
    const char *action;
    const char *description; /* of the returned part; " Headers" may follow */
};

static const struct wording wordings[] = {
    [DSN_FAILURE] = { "Undelivered Mail Returned to Sender",
                      "Your message could not be delivered to the recipients named below, and "
                      "no\r\n"
                      "further attempt will be made. What each of them answered stands behind "
                      "its\r\n"
                      "address; the message itself is attached.\r\n\r\n"
                      "If you need help, forward this whole report to your postmaster.\r\n",
                      "failed", "Undelivered Message" },
    [DSN_DELAY] = { "Delayed Mail (still being retried)",
                    "THIS IS A WARNING ONLY. YOU DO NOT NEED TO SEND THE MESSAGE AGAIN.\r\n\r\n"
                    "Your message has not reached the recipients named below yet. It stays in "
                    "the\r\n"
                    "queue and is attempted again",
                    "delayed", "Delayed Message" },
    [DSN_SUCCESS] = { "Successful Mail Delivery Report",
                      "Your message was handed over for the recipients named below. If a report\r\n"
                      "about it is to follow, the next mail system will send it.\r\n",
                      "delivered", "Message" },
};

static struct str effective_action(const struct dsn *dsn, const struct dsn_recipient *recipient)
{
    return recipient->action.len > 0 ? recipient->action : str_from(wordings[dsn->kind].action);
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

static bool is_report_ascii(const struct dsn *dsn)
{
    bool is_plain = is_ascii(dsn->envelope->sender);

    for (size_t i = 0; i < dsn->recipient_count && is_plain; i++)
        is_plain = is_ascii(dsn->recipients[i].recipient->address) &&
                   is_ascii(dsn->recipients[i].recipient->diagnostic) &&
                   is_ascii(dsn->recipients[i].smtp_reply);
    return is_plain;
}

static void put_encoding(struct buf *out, bool is_plain)
{
    if (!is_plain)
        put(out, "Content-Transfer-Encoding: 8bit\r\n");
}

/* ---- the parts ---- */

static void put_head(const struct dsn *dsn, bool is_plain, struct buf *out)
{
    put_date(out, "Date: ", dsn->wall_s);
    put(out, "From: Mail Delivery System <MAILER-DAEMON@");
    buf_append(out, dsn->myhostname);
    put(out, ">\r\nSubject: ");
    put(out, wordings[dsn->kind].subject);
    put(out, "\r\nTo: ");
    address_format(dsn->envelope->sender, out);
    put(out, "\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
             "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
    put_boundary(out, dsn);
    put(out, "\"\r\n");
    put_encoding(out, is_plain);
    put(out, "Message-Id: <");
    date_format_compact(dsn->wall_s, out);
    buf_append_byte(out, '.');
    buf_append(out, dsn->notification_id);
    buf_append_byte(out, '@');
    buf_append(out, dsn->myhostname);
    put(out, ">\r\n\r\nThis is a MIME-encapsulated message.\r\n");
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
    put_printable(out, who->diagnostic);
    fold_line(out, start);
}

static void put_human_part(const struct dsn *dsn, bool is_plain, struct buf *out)
{
    put_separator(out, dsn, "");
    put(out, "Content-Description: Notification\r\nContent-Type: text/plain; charset=");
    put(out, is_plain ? "us-ascii\r\n" : "utf-8\r\n");
    put_encoding(out, is_plain);
    put(out, "\r\nThis is the mail system at host ");
    buf_append(out, dsn->myhostname);
    put(out, ".\r\n\r\n");
    put(out, wordings[dsn->kind].introduction);
    if (dsn->kind == DSN_DELAY) {
        if (dsn->expires_s > 0) {
            put(out, " until\r\n");
            date_format_mail(dsn->expires_s, out);
        }
        put(out, ".\r\n");
    }
    for (size_t i = 0; i < dsn->recipient_count; i++)
        put_human_recipient(&dsn->recipients[i], out);
}

/* ORCPT as the sender gave it, or what we know ourselves. */
static void put_original_recipient(const struct recipient *who, struct buf *out)
{
    struct str rest = who->dsn_orcpt, type = str_cut(&rest, ";");

    put(out, "Original-Recipient: ");
    if (type.len > 0 && rest.len > 0) {
        autofree_buf struct buf decoded = { 0 };
        put_printable(out, type);
        buf_append_byte(out, ';');
        put_printable(out, xtext_decode(rest, &decoded) ? buf_str(&decoded) : rest);
    } else {
        put(out, "rfc822;");
        address_format(who->original_recipient.len > 0 ? who->original_recipient : who->address,
                       out);
    }
    put_line_end(out);
}

static void put_status_recipient(const struct dsn *dsn, const struct dsn_recipient *recipient,
                                 struct buf *out)
{
    const struct recipient *who = recipient->recipient;

    put(out, "\r\nFinal-Recipient: rfc822; ");
    address_format(who->address, out);
    put_line_end(out);
    put_original_recipient(who, out);
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
    put_printable(out, is_theirs ? recipient->smtp_reply : who->diagnostic);
    fold_line(out, start);
    if (dsn->kind == DSN_DELAY && dsn->expires_s > 0)
        put_date(out, "Will-Retry-Until: ", dsn->expires_s);
}

static void put_status_part(const struct dsn *dsn, bool is_plain, struct buf *out)
{
    const struct envelope *envelope = dsn->envelope;

    put_separator(out, dsn, "");
    put(out, "Content-Description: Delivery report\r\nContent-Type: ");
    put(out, is_plain ? "message/delivery-status\r\n" : "message/global-delivery-status\r\n");
    put_encoding(out, is_plain);
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
    buf_printf(out, "X-%.*s-Queue-ID: %.*s\r\nX-%.*s-Sender: rfc822; ", STR_ARGS(dsn->mail_name),
               STR_ARGS(dsn->queue_id), STR_ARGS(dsn->mail_name));
    address_format(envelope->sender, out);
    put_line_end(out);
    put_date(out, "Arrival-Date: ", envelope->arrival_us / 1000000);
    for (size_t i = 0; i < dsn->recipient_count; i++)
        put_status_recipient(dsn, &dsn->recipients[i], out);
}

static void put_returned_part(const struct dsn *dsn, struct buf *out)
{
    bool is_whole =
        dsn->kind == DSN_FAILURE && (dsn->envelope->flags & ENVELOPE_RET_HEADERS) == 0 &&
        dsn->content.len == dsn->content_bytes && dsn->content_bytes <= dsn->bounce_size_limit;
    struct str returned = is_whole ? dsn->content : header_block(dsn->content);

    put_separator(out, dsn, "");
    put(out, "Content-Description: ");
    put(out, wordings[dsn->kind].description);
    put(out, is_whole ? "\r\nContent-Type: message/rfc822\r\n"
                      : " Headers\r\nContent-Type: text/rfc822-headers\r\n");
    put_encoding(out, is_ascii(returned));
    put(out, "\r\nReturn-Path: ");
    address_format_angle(dsn->envelope->sender, out);
    put_line_end(out);
    buf_append(out, returned);
    if (!str_ends_with(returned, STR("\n")))
        put_line_end(out);
}

void dsn_format(const struct dsn *dsn, struct buf *out)
{
    bool is_plain = is_report_ascii(dsn);

    put_head(dsn, is_plain && is_ascii(dsn->content), out);
    put_human_part(dsn, is_plain, out);
    put_status_part(dsn, is_plain, out);
    put_returned_part(dsn, out);
    put_separator(out, dsn, "--");
}
