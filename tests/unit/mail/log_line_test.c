/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/date.h"
#include "mail/log_line.h"
#include "mail/received.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static const struct log_client client = { .name = STR_INIT("a.example"),
                                          .address = STR_INIT("192.0.2.1") };

static void expect(struct buf *out, const char *line)
{
    assert_string_equal(buf_text(out), line);
    buf_free(out);
}

static void smtpd_lines_read_as_postfix_writes_them(void **state)
{
    struct buf out = { 0 };
    struct command_counts counts = { 0 };

    log_line_connect(client, &out);
    expect(&out, "connect from a.example[192.0.2.1]");
    counts.good[COUNTED_EHLO] = counts.total[COUNTED_EHLO] = 1;
    counts.good[COUNTED_MAIL] = counts.total[COUNTED_MAIL] = 1;
    counts.total[COUNTED_RCPT] = 1;
    counts.good[COUNTED_DATA] = counts.total[COUNTED_DATA] = 1;
    counts.good[COUNTED_QUIT] = counts.total[COUNTED_QUIT] = 1;
    log_line_disconnect(client, &counts, &out);
    expect(&out, "disconnect from a.example[192.0.2.1] ehlo=1 mail=1 rcpt=0/1 data=1 quit=1 "
                 "commands=4/5");
    log_line_disconnect(client, &(struct command_counts){ 0 }, &out);
    expect(&out, "disconnect from a.example[192.0.2.1] commands=0");
    log_line_client(STR("4F0C"), client, &(struct log_sasl){ 0 }, &out);
    expect(&out, "4F0C: client=a.example[192.0.2.1]");
    log_line_client(STR("4F0C"), client,
                    &(struct log_sasl){ .method = STR("PLAIN"), .username = STR("joe") }, &out);
    expect(&out, "4F0C: client=a.example[192.0.2.1], sasl_method=PLAIN, sasl_username=joe");
    log_line_aborted("lost connection", STR("RCPT"), client, &out);
    expect(&out, "lost connection after RCPT from a.example[192.0.2.1]");
    log_line_pipelining(STR("EHLO"), client, STR("QUIT"), &out);
    expect(&out, "improper command pipelining after EHLO from a.example[192.0.2.1]: QUIT");
    log_line_non_smtp(client, STR("GET / HTTP/1.1"), &out);
    expect(&out, "non-SMTP command from a.example[192.0.2.1]: GET / HTTP/1.1");
    log_line_illegal_address(client, STR("RCPT"), STR("a b@c"), &out);
    expect(&out, "Illegal address syntax from a.example[192.0.2.1] in RCPT command: <a b@c>");
    struct log_client with_port = client;
    with_port.port = STR("2525");
    log_line_connect(with_port, &out);
    expect(&out, "connect from a.example[192.0.2.1]:2525");
}

static void reject_lines_leave_out_what_is_not_known(void **state)
{
    struct buf out = { 0 };
    struct log_reject reject = { .where = STR("RCPT"),
                                 .client = client,
                                 .reply = STR("554 5.7.1 <c@d>: Relay access denied"),
                                 .has_sender = true,
                                 .sender = STR("a b@c"),
                                 .has_recipient = true,
                                 .recipient = STR("c@d"),
                                 .protocol = STR("ESMTP"),
                                 .helo_name = STR("x") };

    log_line_reject(&reject, &out);
    expect(&out, "NOQUEUE: reject: RCPT from a.example[192.0.2.1]: 554 5.7.1 <c@d>: Relay access "
                 "denied; from=<\"a b\"@c> to=<c@d> proto=ESMTP helo=<x>");
    reject = (struct log_reject){ .queue_id = STR("4F0C"),
                                  .where = STR("END-OF-MESSAGE"),
                                  .client = client,
                                  .reply = STR("552 5.3.4 Error"),
                                  .has_sender = true,
                                  .sender = STR(""),
                                  .protocol = STR("SMTP") };
    log_line_reject(&reject, &out);
    expect(&out, "4F0C: reject: END-OF-MESSAGE from a.example[192.0.2.1]: 552 5.3.4 Error; "
                 "from=<> proto=SMTP");
}

static void queue_lines_read_as_postfix_writes_them(void **state)
{
    struct buf out = { 0 };

    log_line_message_id(STR("4F0C"), STR("<x@y>"), &out);
    expect(&out, "4F0C: message-id=<x@y>");
    log_line_message_id(STR("4F0C"), STR(""), &out);
    expect(&out, "4F0C: message-id=<>");
    log_line_pickup(STR("4F0C"), 0, STR("root"), &out);
    expect(&out, "4F0C: uid=0 from=<root>");
    log_line_active(STR("4F0C"), STR("a@b"), 316, 1, &out);
    expect(&out, "4F0C: from=<a@b>, size=316, nrcpt=1 (queue active)");
    log_line_removed(STR("4F0C"), &out);
    expect(&out, "4F0C: removed");
    log_line_expired(STR("4F0C"), STR("a@b"), false, &out);
    expect(&out, "4F0C: from=<a@b>, status=expired, returned to sender");
    log_line_notification(STR("4F0C"), NOTIFICATION_FAILURE, STR("4F0D"), &out);
    expect(&out, "4F0C: sender non-delivery notification: 4F0D");
    log_line_notification(STR("4F0C"), NOTIFICATION_DELAY, STR("4F0D"), &out);
    expect(&out, "4F0C: sender delay notification: 4F0D");
    log_line_postsuper_count("Deleted", 1, &out);
    expect(&out, "Deleted: 1 message");
    log_line_postsuper_count("Deleted", 3, &out);
    expect(&out, "Deleted: 3 messages");
}

static void delivery_lines_show_relay_and_delays(void **state)
{
    struct buf out = { 0 };
    struct log_delivery delivery = {
        .queue_id = STR("4F0C"),
        .recipient = STR("c@d"),
        .original_recipient = STR("alias@d"),
        .relay = STR("mx.d[192.0.2.9]:25"),
        .connection_use = 2,
        .times = { 1000000, 1050000, 1050400, 1070000, 1100000 },
        .delay_decimals = 2,
        .dsn = STR("2.0.0"),
        .status = STR("sent"),
        .diagnostic = STR("250 2.0.0 Ok"),
    };

    log_line_delivery(&delivery, &out);
    expect(&out, "4F0C: to=<c@d>, orig_to=<alias@d>, relay=mx.d[192.0.2.9]:25, conn_use=2, "
                 "delay=0.1, delays=0.05/0/0.02/0.03, dsn=2.0.0, status=sent (250 2.0.0 Ok)");
    log_line_connect_failure(STR("mx.d"), STR("192.0.2.9"), 25, "Connection refused", &out);
    expect(&out, "connect to mx.d[192.0.2.9]:25: Connection refused");
    log_line_broken_line(STR("4F0C"), 998, &out);
    expect(&out, "4F0C: breaking line > 998 bytes with <CR><LF>SPACE");
    delivery.original_recipient = STR("c@d");
    delivery.relay = STR("none");
    delivery.connection_use = 1;
    delivery.times = (struct delivery_times){ 1000000, 1050000, 0, 0, 31000000 };
    delivery.dsn = STR("4.4.1");
    delivery.status = STR("deferred");
    delivery.diagnostic = STR("x");
    log_line_delivery(&delivery, &out);
    expect(&out, "4F0C: to=<c@d>, relay=none, delay=30, delays=0.05/30/0/0, dsn=4.4.1, "
                 "status=deferred (x)");
}

static void delays_have_two_significant_digits(void **state)
{
    static const struct {
        int64_t delay_us;
        const char *text;
        int decimals_max;
    } cases[] = {
        { 37, "0.000037", 6 },
        { 123456, "0.12", 6 },
        { 5900, "0.0059", 6 },
        { 1240000, "1.2", 6 },
        { 94300, "0.094", 4 },
        { 37, "0", 4 },
        { 99, "0.0001", 4 },
        { 60000, "0.1", 1 },
        { 9960000, "10", 1 },
        { 1240000, "1", 0 },
        { 0, "0", 2 },
        { -5, "0", 2 },
        { 4999, "0", 2 },
        { 5000, "0.01", 2 },
        { 14999, "0.01", 2 },
        { 95000, "0.1", 2 },
        { 99000, "0.1", 2 },
        { 123456, "0.12", 2 },
        { 100000, "0.1", 2 },
        { 994000, "0.99", 2 },
        { 999000, "1", 2 },
        { 1240000, "1.2", 2 },
        { 1000000, "1", 2 },
        { 9940000, "9.9", 2 },
        { 9960000, "10", 2 },
        { 10400000, "10", 2 },
        { 12600000, "13", 2 },
        { 123000000, "123", 2 },
        { 86400000000, "86400", 2 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = { 0 };
        log_delay_format(cases[i].delay_us, cases[i].decimals_max, &out);
        expect(&out, cases[i].text);
    }
}

static void dates_follow_the_time_zone(void **state)
{
    struct buf out = { 0 };

    date_format_mail(1762070700, &out);
    expect(&out, "Sun, 02 Nov 2025 09:05:00 +0100 (CET)");
    date_format_mailq(1762070700, &out);
    expect(&out, "Sun Nov  2 09:05:00");
    date_format_syslog(1762070700, &out);
    expect(&out, "Nov  2 09:05:00");
    date_format_compact(1762070700, &out);
    expect(&out, "20251102080500");
}

static void received_headers_have_postfix_form(void **state)
{
    struct buf out = { 0 };
    struct received received = { .myhostname = STR("relay.example"),
                                 .mail_name = STR("Postfix"),
                                 .queue_id = STR("4F0C"),
                                 .wall_s = 1762070700,
                                 .helo_name = STR("he\rlo"),
                                 .client_name = STR("unknown"),
                                 .client_address = STR("2001:db8::1"),
                                 .protocol = STR("ESMTP"),
                                 .recipient = STR("a b@c") };

    received_format(&received, &out);
    expect(&out, "Received: from he?lo (unknown [IPv6:2001:db8::1])\r\n"
                 "\tby relay.example (Postfix) with ESMTP id 4F0C\r\n"
                 "\tfor <\"a b\"@c>; Sun, 02 Nov 2025 09:05:00 +0100 (CET)\r\n");
    received.recipient = STR("");
    received.helo_name = STR("");
    received.client_address = STR("192.0.2.1");
    received_format(&received, &out);
    expect(&out, "Received: from unknown (unknown [192.0.2.1])\r\n"
                 "\tby relay.example (Postfix) with ESMTP id 4F0C;\r\n"
                 "\tSun, 02 Nov 2025 09:05:00 +0100 (CET)\r\n");
    received.is_local = true;
    received.uid = 1000;
    received_format(&received, &out);
    expect(&out, "Received: by relay.example (Postfix, from userid 1000)\r\n"
                 "\tid 4F0C; Sun, 02 Nov 2025 09:05:00 +0100 (CET)\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smtpd_lines_read_as_postfix_writes_them),
        cmocka_unit_test(reject_lines_leave_out_what_is_not_known),
        cmocka_unit_test(queue_lines_read_as_postfix_writes_them),
        cmocka_unit_test(delivery_lines_show_relay_and_delays),
        cmocka_unit_test(delays_have_two_significant_digits),
        cmocka_unit_test(dates_follow_the_time_zone),
        cmocka_unit_test(received_headers_have_postfix_form),
    };

    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
