/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address_list.h"
#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void headers_split_and_end_by_one_rule(void **state)
{
    static const struct {
        const char *content;
        const char *names[4];
        const char *rest;
    } cases[] = {
        { "A: 1\r\nB: 2\r\n\r\nbody", { "A", "B" }, "body" },
        { "A: 1\r\n\tmore\r\n  \r\nB:\r\n\r\n", { "A", "B" }, "" },
        { "From : x\r\n\r\nbody", { "From" }, "body" },
        { " X: y\r\nA: 1\r\n", { NULL }, " X: y\r\nA: 1\r\n" },
        { "A: 1\r\n: z\r\n", { "A" }, ": z\r\n" },
        { "A: 1\r\nno colon\r\nB: 2", { "A" }, "no colon\r\nB: 2" },
        { "A B: 1\r\n", { NULL }, "A B: 1\r\n" },
        { "A\xc3: 1\r\n", { NULL }, "A\xc3: 1\r\n" },
        { "A:1\nB:2\n\nbody", { "A", "B" }, "body" },
        { "\r\nbody", { NULL }, "body" },
        { "", { NULL }, "" },
        { "A: 1", { "A" }, "" },
        { "A", { NULL }, "A" },
        { "A: 1\r\n\r", { "A" }, "\r" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct str rest = str_from(cases[i].content);
        struct header header;
        size_t count = 0;
        while (header_next(&rest, &header)) {
            assert_non_null(cases[i].names[count]);
            assert_true(header_is(&header, cases[i].names[count]));
            count++;
        }
        assert_null(cases[i].names[count]);
        if (!str_equal(rest, str_from(cases[i].rest)))
            fail_msg("case %zu: \"%.*s\"", i, STR_ARGS(rest));
    }
}

static void summary_counts_hops_and_finds_the_message_id(void **state)
{
    struct header_summary summary;
    struct str content = STR("Received: a\r\n\tb\r\nRECEIVED: c\r\nDelivered-To: d\r\n"
                             "Message-ID:\r\n <x@y>\r\nMessage-Id: <second>\r\nDate: now\r\n\r\n"
                             "Received: not me\r\n");

    header_summarise(content, &summary);
    assert_int_equal(summary.received_count, 2);
    assert_int_equal(summary.delivered_to_count, 1);
    assert_true(str_equal(summary.message_id, STR("<x@y>")));
    assert_true(summary.has_date && !summary.has_from && !summary.has_recipient);
    assert_true(str_ends_with(header_block(content), STR("Date: now\r\n")));
}

static void completion_adds_and_drops_as_cleanup_does(void **state)
{
    static const struct {
        const char *sender, *full_name, *undisclosed;
        bool may_add_missing;
        const char *in, *out, *message_id;
    } cases[] = {
        { "a@b", "", "", true, "Subject: s\r\n\r\nbody\r\n",
          "Subject: s\r\nMessage-Id: <20251102080500.4F0C@relay>\r\n"
          "Date: Sun, 02 Nov 2025 08:05:00 +0000 (UTC)\r\nFrom: a@b\r\n\r\nbody\r\n",
          "<20251102080500.4F0C@relay>" },
        { "a@b", "", "", false, "Subject : s\r\nBcc: x\r\n y\r\nreturn-path: z\r\n\r\nbody\r\n",
          "Subject: s\r\n\r\nbody\r\n", "" },
        { "a@b", "", "", false, "Message-ID: <x@y>\r\n\r\nbody", "Message-ID: <x@y>\r\n\r\nbody",
          "<x@y>" },
        { "", "Joe", "", true, "Resent-To: x\r\nMessage-Id: <1>\r\nDate: d\r\nFrom: f\r\n\r\n",
          "Resent-To: x\r\nMessage-Id: <1>\r\nDate: d\r\nFrom: f\r\n"
          "Resent-Message-Id: <20251102080500.4F0C@relay>\r\n"
          "Resent-Date: Sun, 02 Nov 2025 08:05:00 +0000 (UTC)\r\n"
          "Resent-From: MAILER-DAEMON\r\n\r\n",
          "<1>" },
        { "a b@c", "Carol \"C\" D.", "To: undisclosed-recipients:;", true,
          "Message-Id: <1>\r\nDate: d\r\n\r\n",
          "Message-Id: <1>\r\nDate: d\r\nFrom: \"Carol \\\"C\\\" D.\" <\"a b\"@c>\r\n"
          "To: undisclosed-recipients:;\r\n\r\n",
          "<1>" },
        { "a@b", "J\xc3\xb6rg X", "", true, "Message-Id: <1>\r\nDate: d\r\nCc: x\r\n\r\n",
          "Message-Id: <1>\r\nDate: d\r\nCc: x\r\nFrom: =?utf-8?Q?J=C3=B6rg=20X?= <a@b>\r\n\r\n",
          "<1>" },
        { "a@b", "evil\r\nBcc: x", "", true, "Message-Id: <1>\r\nDate: d\r\n\r\n",
          "Message-Id: <1>\r\nDate: d\r\nFrom: \"evil  Bcc: x\" <a@b>\r\n\r\n", "<1>" },
        { "a@b", "", "", false, "Subject: t\r\nno header\r\n", "Subject: t\r\n\r\nno header\r\n",
          "" },
        { "a@b", "", "", false, " odd\r\nSubject: t\r\n", "\r\n odd\r\nSubject: t\r\n", "" },
        { "a@b", "", "", false, "Subject: t\r\n", "Subject: t\r\n", "" },
        { "a@b", "", "", false, "Subject: t", "Subject: t\r\n", "" },
        { "a@b", "", "", false, "", "", "" },
        { "a@b", "", "", false, "\r\nbody", "\r\nbody", "" },
        { "a@b", "", "", false, "From me\r\n>From you\r\nA: 1\r\n\r\nFrom x\r\n",
          "X-Mailbox-Line: From me\r\nX-Mailbox-Line: >From you\r\nA: 1\r\n\r\nFrom x\r\n", "" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena = { 0 };
        struct buf out = { 0 };
        struct str message_id;
        struct header_completion completion = {
            .myhostname = STR("relay"),
            .queue_id = STR("4F0C"),
            .sender = str_from(cases[i].sender),
            .full_name = str_from(cases[i].full_name),
            .undisclosed_recipients_header = str_from(cases[i].undisclosed),
            .drop = STR("bcc, content-length, resent-bcc, return-path"),
            .wall_s = 1762070700,
            .may_add_missing = cases[i].may_add_missing,
        };
        assert_true(header_complete(&arena, &completion, str_from(cases[i].in), &out, &message_id));
        if (!str_equal(buf_str(&out), str_from(cases[i].out)))
            fail_msg("case %zu:\n%s", i, buf_text(&out));
        assert_true(str_equal(message_id, str_from(cases[i].message_id)));
        buf_free(&out);
        arena_clear(&arena);
    }
}

static void addresses_come_out_of_any_list(void **state)
{
    static const struct {
        const char *value;
        const char *addresses[4];
    } cases[] = {
        { "a@b", { "a@b" } },
        { "a@b, c@d,\r\n\te@f", { "a@b", "c@d", "e@f" } },
        { "Joe User <joe@x>, \"Q, R\" <q@y>", { "joe@x", "q@y" } },
        { "joe@x (comment (nested) \\) more), k@y", { "joe@x", "k@y" } },
        { "Friends: a@b, c@d; e@f", { "a@b", "c@d", "e@f" } },
        { "undisclosed-recipients:;", { NULL } },
        { "root", { "root" } },
        { "<@r1,@r2:a@b>", { "a@b" } },
        { "\"a b\"@c", { "a b@c" } },
        { "joe . user @ x . y", { "joe.user@x.y" } },
        { "a@[1.2.3.4], b@[IPv6:::1]", { "a@[1.2.3.4]", "b@[IPv6:::1]" } },
        { ",,  ,", { NULL } },
        { "", { NULL } },
        { "<>", { NULL } },
        { "a@b <c@d", { "a@b<c@d" } },
        { "two words", { "two", "words" } },
        { "\"open", { "open" } },
        { "(open", { NULL } },
        { "a\\,b@c", { "a,b@c" } },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena = { 0 };
        struct address_list list;
        const struct list_item *item;
        size_t count = 0;
        address_list_parse(&arena, str_from(cases[i].value), &list);
        for (size_t at = 0; (item = address_list_next(&list, &at)) != NULL;) {
            struct str address = item->address;
            if (cases[i].addresses[count] == NULL ||
                !str_equal(address, str_from(cases[i].addresses[count])))
                fail_msg("%s: \"%.*s\"", cases[i].value, STR_ARGS(address));
            count++;
        }
        assert_null(cases[i].addresses[count]);
        arena_clear(&arena);
    }
}

static bool rewrite_value(const struct header_rewriter *rewriter, struct str value, struct buf *out)
{
    autofree_buf struct buf whole = { 0 };
    struct header header = { .name = STR("To") };

    buf_append(&whole, STR("To:"));
    buf_append(&whole, value);
    header.whole = buf_str(&whole);
    return header_rewrite_addresses(rewriter, false, &header, out);
}

static void incomplete_addresses_get_their_domain(void **state)
{
    static const struct rewrite_rules rules = {
        STR_INIT("origin.example"), STR_INIT("example.com"), true, true, true, true,
    };
    static const struct header_rewriter rewriter = { .rules = &rules };
    static const struct {
        const char *in, *out;
    } cases[] = {
        { " root", " root@origin.example" },
        { " root (Cron Daemon)", " root@origin.example (Cron Daemon)" },
        { " \"Cron, Daemon\" <root>,\r\n joe@host (x), a@b.c",
          " \"Cron, Daemon\" <root@origin.example>, joe@host.example.com (x),\r\n\ta@b.c" },
        { " Friends: root, a@b.c; joe", " Friends: root@origin.example, a@b.c;, "
                                        "joe@origin.example" },
        { " undisclosed-recipients:;", " undisclosed-recipients:;" },
        { " \"a b\"", " \"a b\"@origin.example" },
        { " site.net!user", " user@site.net" },
        { " two words", " two@origin.example, words@origin.example" },
        { " A@Some.Where, a@[1.2.3.4]", " A@Some.Where, a@[1.2.3.4]" },
        { " <>, ,", " <>, ," },
        { " <open", " \"<open\"@origin.example" },
        { " \"a@b.c\", \"a%b\"", " \"a@b.c\"@origin.example, a%b@origin.example" },
        { " \"open <a@b>, c", " \"open <a@b>, c\"@origin.example" },
        { " a@b.c, <\"d@e>", " a@b.c, \"<d@e>\"@origin.example" },
        { " \"back\\", " back@origin.example" },
        { " [ open@v", " \"[ open@v]\"@origin.example" },
        { " b\\%c, b\\@c", " b%c@origin.example, \"b@c\"@origin.example" },
        { " a@b\\\\c\\d", " a@bcd.example.com" },
        { " <@a,@b:c@d.e>", " <c@d.e>" },
        { " joe@HOST, a@B.C., A@B.C", " joe@HOST.example.com, a@B.C, A@B.C" },
        { "", "" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf out = { 0 };
        assert_true(rewrite_value(&rewriter, str_from(cases[i].in), &out));
        if (!str_equal(buf_str(&out), str_from(cases[i].out)))
            fail_msg("\"%s\": \"%s\"", cases[i].in, buf_text(&out));
        buf_free(&out);
    }
}

/* A megabyte of each; quadratic time would not come to an end here. */
static void hostile_lists_take_linear_time(void **state)
{
    static const struct rewrite_rules rules = {
        STR_INIT("origin.example"), STR_INIT("example.com"), true, true, true, true,
    };
    static const struct header_rewriter rewriter = { .rules = &rules };
    static const char *const parts[] = { "@", "a,", "(",    "<", "\"", "a@b, ",
                                         ":", "\\", "((a)", "[", " ",  ";" };

    for (size_t i = 0; i < COUNT(parts); i++) {
        struct arena arena = { 0 };
        struct buf value = { 0 }, out = { 0 };
        while (value.len < 1000000)
            buf_append_text(&value, parts[i]);
        assert_true(rewrite_value(&rewriter, buf_str(&value), &out));
        assert_true(out.len > 0);
        buf_free(&value);
        buf_free(&out);
        arena_clear(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_split_and_end_by_one_rule),
        cmocka_unit_test(summary_counts_hops_and_finds_the_message_id),
        cmocka_unit_test(completion_adds_and_drops_as_cleanup_does),
        cmocka_unit_test(addresses_come_out_of_any_list),
        cmocka_unit_test(incomplete_addresses_get_their_domain),
        cmocka_unit_test(hostile_lists_take_linear_time),
    };

    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
