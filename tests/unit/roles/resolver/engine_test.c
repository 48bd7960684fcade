/* SPDX-License-Identifier: Apache-2.0 */
/* libunbound behind the engine: its thread answers into our loop. No network beyond loopback. */
#include "engine.h"
#include "trust_anchor.h"

#include "base/clock.h"
#include "base/ensure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { QUESTIONS = 50, PATIENCE_MS = 30 * 1000 };

struct bench {
    struct loop *loop;
    struct engine *engine;
    char hosts[64];
    struct timer watchdog;
    int open_count;
};

struct asked {
    struct engine_question question;
    struct bench *bench;
    enum dns_outcome outcome;
    char first[64]; /* the first record, as text */
};

static void late(struct timer *timer)
{
    loop_stop(list_entry(timer, struct bench, watchdog)->loop);
}

static void open_bench(struct bench *bench)
{
    struct error error;

    *bench = (struct bench){ .hosts = "/tmp/waypost-hosts-XXXXXX" };
    int fd = mkstemp(bench->hosts);
    static const char lines[] = "# comment\n\n127.0.0.1 localhost\n127.0.0.1 this-machine\n"
                                "192.0.2.7\thost.example.test other.example.test # more\n"
                                "192.0.2.7 third.example.test\nnonsense line\n192.0.2.9\n"
                                "2001:db8::7 host.example.test  bad_\\name\n";
    ensure(fd >= 0 && write(fd, lines, sizeof lines - 1) == sizeof lines - 1);
    close(fd);
    bench->loop = loop_new(&error);
    struct engine_options options = { .dns_servers = STR("127.0.0.1:1, [::1]:1"),
                                      .resolv_conf = "/nowhere",
                                      .hosts = bench->hosts };
    bench->engine = engine_new(bench->loop, &options, &error);
    assert_non_null(bench->engine);
    timer_set(bench->loop, &bench->watchdog, clock_monotonic_ms() + PATIENCE_MS, late);
}

static void close_bench(struct bench *bench)
{
    engine_free(&bench->engine);
    timer_clear(bench->loop, &bench->watchdog);
    loop_free(&bench->loop);
    unlink(bench->hosts);
}

static void answered(struct engine_question *question, const struct dns_answer *answer)
{
    struct asked *asked = list_entry(question, struct asked, question);

    asked->outcome = answer->outcome;
    if (answer->record_count > 0) {
        autofree_buf struct buf text = { 0 };
        struct net_address address;
        if (dns_record_address(&answer->records[0], 25, &address))
            net_address_format(&address, &text);
        else
            buf_append(&text, answer->records[0].name);
        snprintf(asked->first, sizeof asked->first, "%s", buf_text(&text));
    }
    if (--asked->bench->open_count == 0)
        loop_stop(asked->bench->loop);
}

static void ask(struct bench *bench, struct asked *asked, enum dns_type type, const char *name)
{
    *asked = (struct asked){ .bench = bench };
    asked->question.type = type;
    asked->question.answered = answered;
    bench->open_count++;
    assert_true(engine_ask(bench->engine, &asked->question, str_from(name)));
}

static void names_in_the_hosts_file_are_known(void **state)
{
    struct bench bench;
    struct asked asked[6];

    open_bench(&bench);
    ask(&bench, &asked[0], DNS_A, "host.example.test");
    ask(&bench, &asked[1], DNS_AAAA, "HOST.example.test");
    ask(&bench, &asked[2], DNS_PTR, "7.2.0.192.in-addr.arpa");
    ask(&bench, &asked[3], DNS_A, "other.example.test");
    ask(&bench, &asked[4], DNS_A, "localhost");
    ask(&bench, &asked[5], DNS_PTR, "1.0.0.127.in-addr.arpa");
    loop_run(bench.loop);
    assert_int_equal(bench.open_count, 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(asked[i].outcome, DNS_FOUND);
    assert_string_equal(asked[0].first, "192.0.2.7");
    assert_string_equal(asked[1].first, "2001:db8::7");
    assert_string_equal(asked[2].first, "host.example.test");
    assert_string_equal(asked[3].first, "192.0.2.7");
    assert_string_equal(asked[4].first, "127.0.0.1");
    assert_string_equal(asked[5].first, "localhost");
    close_bench(&bench);
}

static void name_servers_are_asked_for_what_the_hosts_file_does_not_say(void **state)
{
    struct bench bench;
    static const char *const names[] = { "host.example.test", "far.test", "printer.home.arpa",
                                         "1.1.168.192.in-addr.arpa" };
    struct asked asked[4];

    open_bench(&bench);
    for (int i = 0; i < 4; i++)
        ask(&bench, &asked[i], DNS_MX, names[i]);
    timer_set(bench.loop, &bench.watchdog, clock_monotonic_ms() + 300, late);
    loop_run(bench.loop);
    assert_int_equal(bench.open_count, 4); /* they are dead, so there is no answer yet */
    for (int i = 0; i < 4; i++)
        engine_cancel(&asked[i].question);
    close_bench(&bench);
}

static void many_questions_and_cancelled_ones(void **state)
{
    struct bench bench;
    static struct asked asked[QUESTIONS];

    open_bench(&bench);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < QUESTIONS; i++)
            ask(&bench, &asked[i], DNS_A, "host.example.test");
        for (int i = 0; i < QUESTIONS; i += 3) {
            engine_cancel(&asked[i].question);
            bench.open_count--;
        }
        loop_run(bench.loop);
        assert_int_equal(bench.open_count, 0);
        for (int i = 0; i < QUESTIONS; i++)
            assert_int_equal(asked[i].outcome, i % 3 == 0 ? 0 : DNS_FOUND);
    }
    close_bench(&bench);
}

static void open_questions_do_not_outlive_the_engine(void **state)
{
    struct bench bench;
    struct asked asked;

    open_bench(&bench);
    ask(&bench, &asked, DNS_MX, "far.example.test");
    engine_cancel(&asked.question);
    close_bench(&bench);
}

static void bad_servers_are_refused(void **state)
{
    static const char *const cases[] = { "ns.example.com", "192.0.2.1:0", "192.0.2.1:70000",
                                         "[2001:db8::1", "1.2.3.4 nonsense" };
    struct error error;
    struct loop *loop = loop_new(&error);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct engine_options options = { .dns_servers = str_from(cases[i]),
                                          .resolv_conf = "/nowhere",
                                          .hosts = "/nowhere" };
        assert_null(engine_new(loop, &options, &error));
        assert_non_null(strstr(error.message, "dns_servers"));
    }
    loop_free(&loop);
}

static void remember_warning(void *argument, const char *text)
{
    snprintf(argument, 200, "%s", text);
}

static void without_trust_anchor_only_validated_questions_fail(void **state)
{
    static const struct {
        const char *file;
        bool validates, can_ask;
        const char *warning;
    } cases[] = {
        { "", true, true, "" },
        { "", false, false, "" },
        { "/nowhere/root.key", true, false, "/nowhere/root.key" },
        { "/dev/null", true, false, "dnssec_trust_anchor_file: /dev/null" },
    };
    struct error error;
    struct loop *loop = loop_new(&error);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char warning[200] = "";
        struct engine_options options = { .dns_servers = STR("127.0.0.1:1"),
                                          .resolv_conf = "/nowhere",
                                          .hosts = "/nowhere",
                                          .validates = cases[i].validates,
                                          .trust_anchor_file = str_from(cases[i].file),
                                          .warning = remember_warning,
                                          .argument = warning };
        struct engine *engine = engine_new(loop, &options, &error);
        struct engine_question question = { .type = DNS_MX, .is_validated = true };
        struct engine_question plain = { .type = DNS_MX };
        assert_non_null(engine);
        assert_int_equal(engine_ask(engine, &question, STR("example.test")), cases[i].can_ask);
        assert_true(engine_ask(engine, &plain, STR("example.test")));
        assert_non_null(strstr(warning, cases[i].warning));
        assert_int_equal(*warning == '\0', *cases[i].warning == '\0');
        if (cases[i].can_ask)
            engine_cancel(&question);
        engine_cancel(&plain);
        engine_free(&engine);
    }
    loop_free(&loop);
}

static void trust_anchors_are_taken_without_comments(void **state)
{
    struct str text = STR("; autotrust trust anchor file\n\n. IN DS 1 8 2 AB ; keytag 1\r\n"
                          ".\t86400\tIN\tDNSKEY\t257 3 8 AwEA ;{id = 1 (ksk)}");
    struct str record;

    assert_true(trust_anchor_next(&text, &record));
    assert_true(str_equal(record, STR(". IN DS 1 8 2 AB")));
    assert_true(trust_anchor_next(&text, &record));
    assert_true(str_equal(record, STR(".\t86400\tIN\tDNSKEY\t257 3 8 AwEA")));
    assert_false(trust_anchor_next(&text, &record));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_in_the_hosts_file_are_known),
        cmocka_unit_test(name_servers_are_asked_for_what_the_hosts_file_does_not_say),
        cmocka_unit_test(many_questions_and_cancelled_ones),
        cmocka_unit_test(open_questions_do_not_outlive_the_engine),
        cmocka_unit_test(bad_servers_are_refused),
        cmocka_unit_test(without_trust_anchor_only_validated_questions_fail),
        cmocka_unit_test(trust_anchors_are_taken_without_comments),
    };

    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
