/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/queue_format.h"

#include "mail/address.h"
#include "mail/date.h"
#include "mail/json.h"
#include "mail/utf8.h"

enum { REASON_COLUMNS = 76 };

static const char *const names[] = {
    [QUEUE_ACTIVE] = "active",     [QUEUE_DEFERRED] = "deferred", [QUEUE_HOLD] = "hold",
    [QUEUE_INCOMING] = "incoming", [QUEUE_MAILDROP] = "maildrop",
};

const char *queue_name_text(enum queue_name name)
{
    return names[name];
}

bool queue_name_parse(struct str text, enum queue_name *name)
{
    for (size_t i = QUEUE_ACTIVE; i < sizeof names / sizeof *names; i++) {
        if (str_equal(text, str_from(names[i]))) {
            *name = (enum queue_name)i;
            return true;
        }
    }
    return false;
}

/* What no terminal should see becomes '?', one for each bad byte or character. */
static void put_harmless(struct buf *out, struct str text)
{
    while (text.len > 0) {
        struct str before = text;
        int32_t character = utf8_next(&text);
        if (character >= 0 && utf8_is_harmless(character))
            buf_append(out, str_take(before, before.len - text.len));
        else
            buf_append_byte(out, '?');
    }
}

static void put_blanks(struct buf *out, size_t count)
{
    while (count-- > 0)
        buf_append_byte(out, ' ');
}

/* ---- mailq ---- */

static void put_sender_line(const struct queue_entry *entry, bool has_long_ids, struct buf *out)
{
    const struct envelope *envelope = entry->envelope;
    autofree_buf struct buf id = { 0 };
    autofree_buf struct buf sender = { 0 };

    buf_append(&id, entry->queue_id);
    if (entry->queue == QUEUE_ACTIVE)
        buf_append_byte(&id, '*');
    else if (entry->queue == QUEUE_HOLD)
        buf_append_byte(&id, '!');
    if (entry->is_forced_expire)
        buf_append_byte(&id, '#');
    if (envelope->sender.len > 0)
        address_format(envelope->sender, &sender);
    else
        buf_append(&sender, STR("MAILER-DAEMON"));
    buf_printf(out, has_long_ids ? "%-17s %8llu " : "%-11s %7llu ", buf_text(&id),
               (unsigned long long)envelope->size_bytes);
    date_format_mailq(envelope->arrival_us / 1000000, out);
    buf_append(out, has_long_ids ? STR(" ") : STR("  "));
    put_harmless(out, buf_str(&sender));
    buf_append_byte(out, '\n');
}

static void put_reason_line(struct str reason, struct buf *out)
{
    if (reason.len == 0)
        reason = STR("reason unavailable");
    put_blanks(out, reason.len < REASON_COLUMNS ? REASON_COLUMNS - reason.len : 0);
    buf_append_byte(out, '(');
    put_harmless(out, reason);
    buf_append(out, STR(")\n"));
}

void queue_format_entry(struct queue_totals *totals, const struct queue_entry *entry,
                        bool has_long_ids, struct buf *out)
{
    const struct envelope *envelope = entry->envelope;
    struct str reason = STR("");

    if (totals->message_count == 0)
        buf_append(out, has_long_ids ? STR("----Queue ID----- --Size-- ---Arrival Time---- "
                                           "--Sender/Recipient------\n")
                                     : STR("-Queue ID-  --Size-- ----Arrival Time---- "
                                           "-Sender/Recipient-------\n"));
    else
        buf_append_byte(out, '\n');
    totals->message_count++;
    totals->size_bytes += envelope->size_bytes;
    put_sender_line(entry, has_long_ids, out);
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        const struct recipient *recipient = &envelope->recipients[i];
        autofree_buf struct buf address = { 0 };
        if (recipient->state != RECIPIENT_WAITING)
            continue;
        if (!str_equal(reason, recipient->diagnostic)) {
            reason = recipient->diagnostic;
            put_reason_line(reason, out);
        }
        address_format(recipient->address, &address);
        put_blanks(out, has_long_ids ? 47 : 41);
        put_harmless(out, buf_str(&address));
        buf_append_byte(out, '\n');
    }
}

void queue_format_end(const struct queue_totals *totals, struct buf *out)
{
    if (totals->message_count == 0) {
        buf_append(out, STR("Mail queue is empty\n"));
        return;
    }
    buf_append(out, STR("\n-- "));
    buf_append_u64(out, totals->size_bytes / 1024);
    buf_append(out, STR(" Kbytes in "));
    buf_append_u64(out, totals->message_count);
    buf_append(out, totals->message_count == 1 ? STR(" Request.\n") : STR(" Requests.\n"));
}

/* ---- postqueue -j ---- */

static void put_json_field(struct buf *out, const char *name, struct str value)
{
    buf_append_byte(out, '"');
    buf_append_text(out, name);
    buf_append(out, STR("\": "));
    json_append_string(out, value);
}

static void put_json_address(struct buf *out, const char *name, struct str address)
{
    autofree_buf struct buf external = { 0 };

    address_format(address, &external);
    put_json_field(out, name, buf_str(&external));
}

static void put_json_recipient(const struct recipient *recipient, struct buf *out)
{
    buf_append_byte(out, '{');
    put_json_address(out, "address", recipient->address);
    if (recipient->original_recipient.len > 0 &&
        !str_equal(recipient->original_recipient, recipient->address)) {
        buf_append(out, STR(", "));
        put_json_address(out, "orig_address", recipient->original_recipient);
    }
    if (recipient->diagnostic.len > 0) {
        buf_append(out, STR(", "));
        put_json_field(out, "delay_reason", recipient->diagnostic);
    }
    buf_append_byte(out, '}');
}

void queue_format_json(const struct queue_entry *entry, struct buf *out)
{
    const struct envelope *envelope = entry->envelope;
    bool is_first = true;

    buf_append_byte(out, '{');
    put_json_field(out, "queue_name", str_from(queue_name_text(entry->queue)));
    buf_append(out, STR(", "));
    put_json_field(out, "queue_id", entry->queue_id);
    buf_append(out, STR(", \"arrival_time\": "));
    buf_append_u64(out, (uint64_t)(envelope->arrival_us / 1000000));
    buf_append(out, STR(", \"message_size\": "));
    buf_append_u64(out, envelope->size_bytes);
    buf_append(out, STR(", \"forced_expire\": "));
    buf_append_text(out, entry->is_forced_expire ? "true" : "false");
    buf_append(out, STR(", "));
    if (envelope->sender.len > 0)
        put_json_address(out, "sender", envelope->sender);
    else
        put_json_field(out, "sender", STR("MAILER-DAEMON"));
    buf_append(out, STR(", \"recipients\": ["));
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        if (envelope->recipients[i].state != RECIPIENT_WAITING)
            continue;
        if (!is_first)
            buf_append(out, STR(", "));
        put_json_recipient(&envelope->recipients[i], out);
        is_first = false;
    }
    buf_append(out, STR("]}\n"));
}
