/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/queue_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define ARRIVAL_US (INT64_C(1795384351) * 1000000 + 5)

static struct recipient waiting(const char *address, const char *reason)
{
    return (struct recipient){ .address = str_from(address), .diagnostic = str_from(reason) };
}

/* The expected bytes are what Postfix 3.7 printed for such a queue. */
static void listing_has_postfix_bytes(void **state)
{
    struct recipient one[] = { waiting("big@def1.example", "first reason"),
                               waiting("same@def1.example", "first reason") };
    struct recipient two[] = {
        waiting("\x1b@sink.example",
                "host 127.0.0.1[127.0.0.1] said: 450 4.2.0 greylisted (in reply to RCPT TO "
                "command)"),
        { .address = STR("done@x"), .state = RECIPIENT_DELIVERED },
        waiting("x@y@z.example", ""),
    };
    struct recipient three[] = { waiting("new@x", "") };
    struct envelope envelopes[] = {
        { STR("carol@sink.example"), .arrival_us = ARRIVAL_US, .size_bytes = 61985,
          .recipients = one, .recipient_count = 2 },
        { STR(""), .arrival_us = ARRIVAL_US, .size_bytes = 274, .recipients = two,
          .recipient_count = 3 },
        { STR("a b@c"), .arrival_us = ARRIVAL_US, .size_bytes = 330, .recipients = three,
          .recipient_count = 1 },
    };
    struct queue_entry entries[] = {
        { STR("8F47CA7202A"), QUEUE_DEFERRED, false, &envelopes[0] },
        { STR("22D2AA721E4"), QUEUE_HOLD, true, &envelopes[1] },
        { STR("0123456789AB"), QUEUE_ACTIVE, false, &envelopes[2] },
    };
    struct queue_totals totals = { 0 };
    struct buf out = { 0 };

    for (size_t i = 0; i < 3; i++)
        queue_format_entry(&totals, &entries[i], false, &out);
    queue_format_end(&totals, &out);
    assert_string_equal(
        buf_text(&out),
        "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
        "8F47CA7202A   61985 Sun Nov 22 21:52:31  carol@sink.example\n"
        "                                                                (first reason)\n"
        "                                         big@def1.example\n"
        "                                         same@def1.example\n"
        "\n"
        "22D2AA721E4!#     274 Sun Nov 22 21:52:31  MAILER-DAEMON\n"
        "(host 127.0.0.1[127.0.0.1] said: 450 4.2.0 greylisted (in reply to RCPT TO command))\n"
        "                                         \"?\"@sink.example\n"
        "                                                          (reason unavailable)\n"
        "                                         \"x@y\"@z.example\n"
        "\n"
        "0123456789AB*     330 Sun Nov 22 21:52:31  \"a b\"@c\n"
        "                                         new@x\n"
        "\n"
        "-- 61 Kbytes in 3 Requests.\n");
    buf_clear(&out);
    totals = (struct queue_totals){ 0 };
    queue_format_entry(&totals, &entries[0], true, &out);
    queue_format_end(&totals, &out);
    assert_string_equal(
        buf_text(&out),
        "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
        "8F47CA7202A          61985 Sun Nov 22 21:52:31 carol@sink.example\n"
        "                                                                (first reason)\n"
        "                                               big@def1.example\n"
        "                                               same@def1.example\n"
        "\n"
        "-- 60 Kbytes in 1 Request.\n");
    buf_clear(&out);
    totals = (struct queue_totals){ 0 };
    queue_format_end(&totals, &out);
    assert_string_equal(buf_text(&out), "Mail queue is empty\n");
    buf_free(&out);
}

static void json_has_postfix_fields_and_escapes(void **state)
{
    struct recipient recipients[] = { waiting(":include:/x@relay", "unable \"to\"\n\xff look"),
                                      waiting("x%y@local", ""),
                                      { .address = STR("a@b"), .original_recipient = STR("c@d") } };
    struct envelope envelope = { STR("alice@sink.example"), .arrival_us = ARRIVAL_US,
                                 .size_bytes = 329, .recipients = recipients,
                                 .recipient_count = 3 };
    struct queue_entry entry = { STR("298A9A72214"), QUEUE_DEFERRED, false, &envelope };
    struct buf out = { 0 };

    queue_format_json(&entry, &out);
    assert_string_equal(
        buf_text(&out),
        "{\"queue_name\": \"deferred\", \"queue_id\": \"298A9A72214\", \"arrival_time\": "
        "1795384351, \"message_size\": 329, \"forced_expire\": false, \"sender\": "
        "\"alice@sink.example\", \"recipients\": [{\"address\": \"\\\":include:/x\\\"@relay\", "
        "\"delay_reason\": \"unable \\\"to\\\"\\u000a? look\"}, {\"address\": \"x%y@local\"}, "
        "{\"address\": \"a@b\", \"orig_address\": \"c@d\"}]}\n");
    buf_free(&out);
}

static void queue_names_parse(void **state)
{
    enum queue_name name;

    assert_true(queue_name_parse(STR("hold"), &name) && name == QUEUE_HOLD);
    assert_false(queue_name_parse(STR("Hold"), &name));
    assert_false(queue_name_parse(STR(""), &name));
    assert_string_equal(queue_name_text(QUEUE_INCOMING), "incoming");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listing_has_postfix_bytes),
        cmocka_unit_test(json_has_postfix_fields_and_escapes),
        cmocka_unit_test(queue_names_parse),
    };

    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
