/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/log_line.h"

#include "base/ensure.h"
#include "mail/address.h"

static bool shows_internal_form;

bool log_line_show_addresses(struct str form, struct error *error)
{
    shows_internal_form = str_equal(form, STR("internal"));
    return shows_internal_form || str_equal(form, STR("external")) ||
           error_set(error, "info_log_address_format = %.*s: it is external or internal",
                     STR_ARGS(form));
}

static void put_address(struct str address, struct buf *out)
{
    if (!shows_internal_form) {
        address_format_angle(address, out);
        return;
    }
    buf_append_byte(out, '<');
    buf_append(out, address);
    buf_append_byte(out, '>');
}

enum { DECIMALS_MAX = 6, US_PER_S = 1000000 };

static void put(struct buf *out, const char *text)
{
    buf_append_text(out, text);
}

static void put_id(struct buf *out, struct str queue_id)
{
    buf_append(out, queue_id);
    put(out, ": ");
}

void log_line_put_client(struct buf *out, struct log_client client)
{
    buf_append(out, client.name);
    buf_append_byte(out, '[');
    buf_append(out, client.address);
    buf_append_byte(out, ']');
    if (client.port.len == 0)
        return;
    buf_append_byte(out, ':');
    buf_append(out, client.port);
}

/* ---- smtpd ---- */

void log_line_connect(struct log_client client, struct buf *out)
{
    put(out, "connect from ");
    log_line_put_client(out, client);
}

/* " rcpt=1", or " rcpt=0/1" where some failed. */
static void put_count(struct buf *out, const char *name, uint32_t good, uint32_t total)
{
    buf_append_byte(out, ' ');
    put(out, name);
    buf_append_byte(out, '=');
    buf_append_u64(out, good);
    if (good != total) {
        buf_append_byte(out, '/');
        buf_append_u64(out, total);
    }
}

void log_line_disconnect(struct log_client client, const struct command_counts *counts,
                         struct buf *out)
{
    static const char *const names[COUNTED_COMMANDS] = {
        [COUNTED_HELO] = "helo",         [COUNTED_EHLO] = "ehlo",
        [COUNTED_XCLIENT] = "xclient",   [COUNTED_XFORWARD] = "xforward",
        [COUNTED_STARTTLS] = "starttls", [COUNTED_AUTH] = "auth",
        [COUNTED_MAIL] = "mail",         [COUNTED_RCPT] = "rcpt",
        [COUNTED_DATA] = "data",         [COUNTED_BDAT] = "bdat",
        [COUNTED_RSET] = "rset",         [COUNTED_NOOP] = "noop",
        [COUNTED_VRFY] = "vrfy",         [COUNTED_ETRN] = "etrn",
        [COUNTED_QUIT] = "quit",         [COUNTED_UNKNOWN] = "unknown",
    };
    uint32_t good = 0, total = 0;

    put(out, "disconnect from ");
    log_line_put_client(out, client);
    for (int i = 0; i < COUNTED_COMMANDS; i++) {
        good += counts->good[i];
        total += counts->total[i];
        if (counts->total[i] > 0)
            put_count(out, names[i], counts->good[i], counts->total[i]);
    }
    put_count(out, "commands", good, total);
}

static void put_fact(struct buf *out, const char *name, struct str value)
{
    if (value.len == 0)
        return;
    put(out, name);
    buf_append(out, value);
}

void log_line_client(struct str queue_id, struct log_client client, const struct log_sasl *sasl,
                     struct buf *out)
{
    put_id(out, queue_id);
    put(out, "client=");
    log_line_put_client(out, client);
    put_fact(out, ", sasl_method=", sasl->method);
    put_fact(out, ", sasl_username=", sasl->username);
    put_fact(out, ", sasl_sender=", sasl->sender);
}

static void put_origin(struct str protocol, struct str helo_name, struct buf *out)
{
    if (protocol.len > 0) {
        put(out, " proto=");
        buf_append(out, protocol);
    }
    if (helo_name.len > 0) {
        put(out, " helo=<");
        buf_append(out, helo_name);
        buf_append_byte(out, '>');
    }
}

void log_line_reject(const struct log_reject *reject, struct buf *out)
{
    put_id(out, reject->queue_id.len > 0 ? reject->queue_id : STR("NOQUEUE"));
    buf_append(out, reject->action.len > 0 ? reject->action : STR("reject"));
    put(out, ": ");
    buf_append(out, reject->where);
    put(out, " from ");
    log_line_put_client(out, reject->client);
    put(out, ": ");
    buf_append(out, reject->reply);
    buf_append_byte(out, ';');
    if (reject->has_sender) {
        put(out, " from=");
        put_address(reject->sender, out);
    }
    if (reject->has_recipient) {
        put(out, " to=");
        put_address(reject->recipient, out);
    }
    put_origin(reject->protocol, reject->helo_name, out);
}

enum { CHECKED_BYTES_MAX = 200 };

void log_line_check(const struct log_check *check, struct buf *out)
{
    put_id(out, check->queue_id);
    put(out, check->action);
    put(out, ": ");
    put(out, check->what);
    buf_append_byte(out, ' ');
    struct str shown = str_take(check->content, CHECKED_BYTES_MAX);
    for (size_t i = 0; i < shown.len; i++) {
        bool is_control = (unsigned char)shown.ptr[i] < ' ' || shown.ptr[i] == 0x7f;
        buf_append_byte(out, is_control ? '?' : shown.ptr[i]);
    }
    put(out, " from ");
    if (check->client.address.len > 0)
        log_line_put_client(out, check->client);
    else
        put(out, "local");
    put(out, "; from=");
    put_address(check->sender, out);
    if (check->recipient.len > 0) {
        put(out, " to=");
        put_address(check->recipient, out);
    }
    put_origin(check->protocol, check->helo_name, out);
    if (check->status.len + check->text.len > 0)
        put(out, ": ");
    buf_append(out, check->status);
    if (check->status.len > 0)
        buf_append_byte(out, ' ');
    buf_append(out, check->text);
}

void log_line_aborted(const char *what, struct str where, struct log_client client, struct buf *out)
{
    put(out, what);
    put(out, " after ");
    buf_append(out, where);
    put(out, " from ");
    log_line_put_client(out, client);
}

/* As Postfix shows what a client said out of turn: what is not printable by its C escape. */
static void put_escaped(struct buf *out, struct str text)
{
    static const char special[] = "\a\b\f\n\r\t\v\\", names[] = "abfnrtv\\";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        const char *found = byte == '\0' ? NULL : strchr(special, byte);
        if (found != NULL)
            buf_printf(out, "\\%c", names[found - special]);
        else if (byte < ' ' || byte >= 0x7f)
            buf_printf(out, "\\%03o", byte);
        else
            buf_append_byte(out, (char)byte);
    }
}

void log_line_pipelining(struct str where, struct log_client client, struct str text,
                         struct buf *out)
{
    log_line_aborted("improper command pipelining", where, client, out);
    put(out, ": ");
    put_escaped(out, text);
}

void log_line_non_smtp(struct log_client client, struct str line, struct buf *out)
{
    put(out, "non-SMTP command from ");
    log_line_put_client(out, client);
    put(out, ": ");
    put_escaped(out, line);
}

void log_line_illegal_address(struct log_client client, struct str verb, struct str text,
                              struct buf *out)
{
    put(out, "Illegal address syntax from ");
    log_line_put_client(out, client);
    put(out, " in ");
    buf_append(out, verb);
    put(out, " command: <");
    buf_append(out, text);
    buf_append_byte(out, '>');
}

/* ---- cleanup, pickup, qmgr ---- */

void log_line_message_id(struct str queue_id, struct str message_id, struct buf *out)
{
    put_id(out, queue_id);
    put(out, "message-id=");
    buf_append(out, message_id.len > 0 ? message_id : STR("<>"));
}

void log_line_pickup(struct str queue_id, uint32_t uid, struct str sender, struct buf *out)
{
    put_id(out, queue_id);
    put(out, "uid=");
    buf_append_u64(out, uid);
    put(out, " from=");
    put_address(sender, out);
}

void log_line_active(struct str queue_id, struct str sender, uint64_t size_bytes,
                     size_t recipient_count, struct buf *out)
{
    put_id(out, queue_id);
    put(out, "from=");
    put_address(sender, out);
    put(out, ", size=");
    buf_append_u64(out, size_bytes);
    put(out, ", nrcpt=");
    buf_append_u64(out, recipient_count);
    put(out, " (queue active)");
}

void log_line_removed(struct str queue_id, struct buf *out)
{
    put_id(out, queue_id);
    put(out, "removed");
}

void log_line_expired(struct str queue_id, struct str sender, bool is_forced, struct buf *out)
{
    put_id(out, queue_id);
    put(out, "from=");
    put_address(sender, out);
    put(out, is_forced ? ", status=force-expired, returned to sender"
                       : ", status=expired, returned to sender");
}

void log_line_still_delivered(struct str queue_id, struct buf *out)
{
    put_id(out, queue_id);
    put(out, "skipped, still being delivered");
}

/* ---- delivery agents ---- */

void log_line_connect_failure(struct str host, struct str address, uint16_t port, const char *why,
                              struct buf *out)
{
    put(out, "connect to ");
    log_line_put_client(out, (struct log_client){ .name = host, .address = address });
    buf_append_byte(out, ':');
    buf_append_u64(out, port);
    put(out, ": ");
    put(out, why);
}

void log_line_broken_line(struct str queue_id, size_t limit_bytes, struct buf *out)
{
    put_id(out, queue_id);
    put(out, "breaking line > ");
    buf_append_u64(out, limit_bytes);
    put(out, " bytes with <CR><LF>SPACE");
}

void log_delay_format(int64_t delay_us, int64_t decimals_max, struct buf *out)
{
    static const int64_t powers[] = { 1, 10, 100, 1000, 10000, 100000, 1000000 };
    int decimals = 0;

    if (delay_us < 0)
        delay_us = 0;
    /* With so many digits behind the point there are two that count. */
    while (decimals < DECIMALS_MAX && decimals < decimals_max &&
           delay_us * powers[decimals] < 10 * (int64_t)US_PER_S)
        decimals++;
    int64_t unit_us = powers[DECIMALS_MAX - decimals];
    int64_t units = (delay_us + unit_us / 2) / unit_us;

    while (decimals > 0 && units % 10 == 0) {
        units /= 10;
        decimals--;
    }
    buf_append_u64(out, (uint64_t)(units / powers[decimals]));
    if (decimals == 0)
        return;
    uint64_t fraction = (uint64_t)(units % powers[decimals]);
    buf_printf(out, ".%0*llu", decimals, (unsigned long long)fraction);
}

/* delay=, and delays= of its stages: before the queue manager, in it, connection set-up,
 * transmission. */
static void put_delays(struct buf *out, const struct delivery_times *times, int64_t decimals_max)
{
    int64_t stages_us[4] = { 0 };

    if (times->queue_manager_us == 0) {
        stages_us[0] = times->done_us - times->arrival_us;
    } else {
        stages_us[0] = times->queue_manager_us - times->arrival_us;
        if (times->agent_us == 0) {
            stages_us[1] = times->done_us - times->queue_manager_us;
        } else {
            int64_t connected_us = times->connected_us > 0 ? times->connected_us : times->agent_us;
            stages_us[1] = times->agent_us - times->queue_manager_us;
            stages_us[2] = connected_us - times->agent_us;
            stages_us[3] = times->done_us - connected_us;
        }
    }
    put(out, ", delay=");
    log_delay_format(times->done_us - times->arrival_us, decimals_max, out);
    put(out, ", delays=");
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            buf_append_byte(out, '/');
        log_delay_format(stages_us[i], decimals_max, out);
    }
}

struct str delivery_status_word(enum delivery_status status, bool is_probe)
{
    if (is_probe)
        return status == DELIVERY_SENT ? STR("deliverable") : STR("undeliverable");
    return status == DELIVERY_SENT      ? STR("sent")
           : status == DELIVERY_BOUNCED ? STR("bounced")
                                        : STR("deferred");
}

void log_line_delivery(const struct log_delivery *delivery, struct buf *out)
{
    put_id(out, delivery->queue_id);
    put(out, "to=");
    put_address(delivery->recipient, out);
    if (delivery->original_recipient.len > 0 &&
        !str_equal(delivery->original_recipient, delivery->recipient)) {
        put(out, ", orig_to=");
        put_address(delivery->original_recipient, out);
    }
    put(out, ", relay=");
    buf_append(out, delivery->relay);
    if (delivery->connection_use > 1) {
        put(out, ", conn_use=");
        buf_append_u64(out, delivery->connection_use);
    }
    put_delays(out, &delivery->times, delivery->delay_decimals);
    put(out, ", dsn=");
    buf_append(out, delivery->dsn);
    put(out, ", status=");
    buf_append(out, delivery->status);
    put(out, " (");
    buf_append(out, delivery->diagnostic);
    buf_append_byte(out, ')');
}

/* ---- bounce ---- */

void log_line_notification(struct str queue_id, enum notification notification,
                           struct str notification_id, struct buf *out)
{
    put_id(out, queue_id);
    switch (notification) {
    case NOTIFICATION_FAILURE:
        put(out, "sender non-delivery notification: ");
        break;
    case NOTIFICATION_DELAY:
        put(out, "sender delay notification: ");
        break;
    case NOTIFICATION_SUCCESS:
        put(out, "sender delivery status notification: ");
        break;
    case NOTIFICATION_POSTMASTER:
        put(out, "postmaster non-delivery notification: ");
        break;
    case NOTIFICATION_POSTMASTER_DELAY:
        put(out, "postmaster delay notification: ");
        break;
    }
    buf_append(out, notification_id);
}

/* ---- postsuper ---- */

void log_line_postsuper_count(const char *what, uint64_t count, struct buf *out)
{
    put(out, what);
    put(out, ": ");
    buf_append_u64(out, count);
    put(out, count == 1 ? " message" : " messages");
}
