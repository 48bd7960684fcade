/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct recipient failed = {
    .address = STR_INIT("c d@e"),
    .original_recipient = STR_INIT("alias@e"),
    .dsn_orcpt = STR_INIT("rfc822;a+2Bb@e"),
    .dsn_status = STR_INIT("5.1.1"),
    .diagnostic = STR_INIT("host mx.e[192.0.2.9] said: 550 5.1.1 no such user, and the text that "
                           "explains it goes on (in reply to RCPT TO command)"),
};
static struct envelope envelope = {
    .sender = STR_INIT("a@b"),
    .arrival_us = INT64_C(1762070700000000),
    .dsn_envid = STR_INIT("id+2B1"),
};
static const char content[] = "Subject: s\r\nMessage-Id: <1>\r\n\r\nbody\r\n";

static const struct bounce_template templates[DSN_KINDS] = {
    [DSN_FAILURE] = { STR_INIT("us-ascii"), STR_INIT("Mail Delivery System <MAILER-DAEMON>"),
                      STR_INIT("Undelivered Mail Returned to Sender"),
                      STR_INIT("Postmaster Copy: Undelivered Mail"),
                      STR_INIT("It failed.\n\nSorry.\n"), STR_INIT("") },
    [DSN_DELAY] = { STR_INIT("us-ascii"), STR_INIT("MAILER-DAEMON"), STR_INIT("Delayed Mail"),
                    STR_INIT("Postmaster Warning"), STR_INIT("Patience.\n"), STR_INIT("") },
    [DSN_SUCCESS] = { STR_INIT("us-ascii"), STR_INIT("MAILER-DAEMON"), STR_INIT("Success"),
                      STR_INIT(""), STR_INIT("Done.\n"), STR_INIT("") },
    [DSN_REPORT] = { STR_INIT("us-ascii"), STR_INIT("MAILER-DAEMON"), STR_INIT("Report"),
                     STR_INIT(""), STR_INIT("Here.\n"), STR_INIT("") },
};

static struct dsn make(enum dsn_kind kind, const struct dsn_recipient *recipient)
{
    return (struct dsn){ .kind = kind,
                         .template = &templates[kind],
                         .to = STR("a@b"),
                         .myhostname = STR("relay.example"),
                         .mail_name = STR("Postfix"),
                         .queue_id = STR("4F0C"),
                         .notification_id = STR("4F0D"),
                         .envelope = &envelope,
                         .recipients = recipient,
                         .recipient_count = 1,
                         .wall_s = 1762070800,
                         .expires_s = 1762502700,
                         .content = str_of(content, sizeof content - 1),
                         .content_bytes = sizeof content - 1,
                         .bounce_size_limit = 50000 };
}

static void expect_part(const struct buf *out, const char *part)
{
    if (str_find(buf_str(out), str_from(part)) < 0)
        fail_msg("missing: %s\nin:\n%s", part, buf_text(out));
}

static void expect_no_part(const struct buf *out, const char *part)
{
    if (str_find(buf_str(out), str_from(part)) >= 0)
        fail_msg("unexpected: %s\nin:\n%s", part, buf_text(out));
}

static void expect_clean_lines(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n')
            assert_true(i > 0 && text.ptr[i - 1] == '\r');
        if (text.ptr[i] == '\r')
            assert_true(i + 1 < text.len && text.ptr[i + 1] == '\n');
    }
}

static void a_bounce_has_three_parts_and_the_message(void **state)
{
    struct dsn_recipient recipient = { .recipient = &failed,
                                       .remote_mta = STR("mx.e"),
                                       .smtp_reply = STR("550 5.1.1 no such\nuser\x1b") };
    struct dsn dsn = make(DSN_FAILURE, &recipient);
    struct buf out = { 0 };

    dsn_format(&dsn, &out);
    expect_clean_lines(buf_str(&out));
    expect_part(&out, "Date: Sun, 02 Nov 2025 08:06:40 +0000 (UTC)\r\n"
                      "From: Mail Delivery System <MAILER-DAEMON>\r\n"
                      "Subject: Undelivered Mail Returned to Sender\r\n"
                      "To: a@b\r\n"
                      "Auto-Submitted: auto-replied\r\n"
                      "MIME-Version: 1.0\r\n"
                      "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                      "\tboundary=\"4F0D.1762070800/relay.example\"\r\n"
                      "Message-Id: <20251102080640.4F0D@relay.example>\r\n\r\n");
    expect_part(&out, "\r\n--4F0D.1762070800/relay.example\r\n"
                      "Content-Description: Notification\r\n"
                      "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
                      "It failed.\r\n\r\nSorry.\r\n\r\n<");
    expect_part(&out, "\r\n<\"c d\"@e> (expanded from <alias@e>): host mx.e[192.0.2.9] said: 550 "
                      "5.1.1 no\r\n    such user, and the text that explains it goes on (in reply "
                      "to RCPT TO\r\n    command)\r\n");
    expect_part(&out, "Reporting-MTA: dns; relay.example\r\n"
                      "Original-Envelope-Id: id+1\r\n"
                      "X-Postfix-Queue-ID: 4F0C\r\n"
                      "X-Postfix-Sender: rfc822; a@b\r\n"
                      "Arrival-Date: Sun, 02 Nov 2025 08:05:00 +0000 (UTC)\r\n\r\n"
                      "Final-Recipient: rfc822; \"c d\"@e\r\n"
                      "Original-Recipient: rfc822;a+b@e\r\n"
                      "Action: failed\r\n"
                      "Status: 5.1.1\r\n"
                      "Remote-MTA: dns; mx.e\r\n"
                      "Diagnostic-Code: smtp; 550 5.1.1 no such user?\r\n");
    expect_part(&out, "Content-Description: Undelivered Message\r\n"
                      "Content-Type: message/rfc822\r\n\r\n"
                      "Return-Path: <a@b>\r\nSubject: s\r\nMessage-Id: <1>\r\n\r\nbody\r\n"
                      "\r\n--4F0D.1762070800/relay.example--\r\n");
    buf_free(&out);
}

static void only_headers_go_back_when_asked_or_too_large(void **state)
{
    struct dsn_recipient recipient = { .recipient = &failed };
    struct dsn dsn = make(DSN_FAILURE, &recipient);
    struct buf out = { 0 };

    dsn.returns_headers = true;
    dsn_format(&dsn, &out);
    expect_part(&out, "Content-Description: Undelivered Message Headers\r\n"
                      "Content-Type: text/rfc822-headers\r\n\r\n");
    expect_part(&out, "Diagnostic-Code: X-Postfix; host mx.e");
    expect_no_part(&out, "body");
    dsn.returns_headers = false;
    buf_clear(&out);
    dsn.bounce_size_limit = 10;
    dsn_format(&dsn, &out);
    expect_no_part(&out, "body");
    buf_free(&out);
}

static void delay_warnings_say_until_when(void **state)
{
    struct dsn_recipient recipient = { .recipient = &failed };
    struct dsn dsn = make(DSN_DELAY, &recipient);
    struct buf out = { 0 };

    dsn_format(&dsn, &out);
    expect_clean_lines(buf_str(&out));
    expect_part(&out, "Subject: Delayed Mail\r\n");
    expect_part(&out, "Action: delayed\r\n");
    expect_part(&out, "Will-Retry-Until: Fri, 07 Nov 2025 08:05:00 +0000 (UTC)\r\n");
    expect_part(&out, "Content-Description: Undelivered Message\r\n");
    buf_clear(&out);
    dsn = make(DSN_SUCCESS, &recipient);
    recipient.action = STR("relayed");
    dsn_format(&dsn, &out);
    expect_part(&out, "Action: relayed\r\n");
    buf_free(&out);
}

static void wide_text_is_declared(void **state)
{
    struct dsn_recipient recipient = { .recipient = &failed,
                                       .smtp_reply = STR("550 5.1.1 caf\xc3\xa9") };
    struct dsn dsn = make(DSN_FAILURE, &recipient);
    struct buf out = { 0 };

    dsn_format(&dsn, &out);
    expect_part(&out, "Content-Type: text/plain; charset=utf-8\r\n"
                      "Content-Transfer-Encoding: 8bit\r\n\r\n");
    buf_free(&out);
}

static void the_postmasters_copy_has_no_template_text(void **state)
{
    struct dsn_recipient recipient = { .recipient = &failed };
    struct dsn dsn = make(DSN_FAILURE, &recipient);
    struct buf out = { 0 };

    dsn.is_for_postmaster = dsn.is_threaded = true;
    dsn.to = STR("postmaster");
    dsn_format(&dsn, &out);
    expect_part(&out, "Subject: Postmaster Copy: Undelivered Mail\r\n"
                      "To: postmaster\r\n"
                      "References: <1>\r\nIn-Reply-To: <1>\r\n"
                      "Auto-Submitted: auto-generated\r\n");
    expect_no_part(&out, "It failed.");
    buf_free(&out);
}

static void mail_with_smtputf8_gets_the_global_form(void **state)
{
    struct recipient wide = { .address = STR("b\xc3\xa4r@e"),
                              .dsn_orcpt = STR("utf-8;b\\x{E4}r@e"),
                              .dsn_status = STR("5.1.1"),
                              .diagnostic = STR("no") };
    struct dsn_recipient recipient = { .recipient = &wide };
    struct dsn dsn = make(DSN_FAILURE, &recipient);
    struct buf out = { 0 };

    envelope.flags = ENVELOPE_SMTPUTF8;
    dsn_format(&dsn, &out);
    envelope.flags = 0;
    expect_part(&out, "Content-Type: message/global-delivery-status\r\n"
                      "Content-Transfer-Encoding: 8bit\r\n");
    expect_part(&out, "Final-Recipient: utf-8; b\xc3\xa4r@e\r\n"
                      "Original-Recipient: utf-8;b\xc3\xa4r@e\r\n");
    expect_part(&out, "Content-Type: message/global\r\n");
    expect_part(&out, "X-Postfix-Sender: rfc822; a@b\r\n");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bounce_has_three_parts_and_the_message),
        cmocka_unit_test(only_headers_go_back_when_asked_or_too_large),
        cmocka_unit_test(delay_warnings_say_until_when),
        cmocka_unit_test(wide_text_is_declared),
        cmocka_unit_test(the_postmasters_copy_has_no_template_text),
        cmocka_unit_test(mail_with_smtputf8_gets_the_global_form),
    };

    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
