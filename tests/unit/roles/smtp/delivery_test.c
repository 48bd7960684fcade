/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers a job is taken to, in which order, and when a connection is used again. */
#include "world.h"

#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HELLO             "S: 220 x ESMTP\nC: EHLO client.example\nS: 250-x\nS: 250 PIPELINING\n"
#define ENVELOPE          "C: MAIL FROM:<s@a.example>\nC: RCPT TO:<r@b.example>\nC: DATA\n"
#define TAKEN             ENVELOPE "S: 250 a\nS: 250 b\nS: 354 c\nB:\nS: 250 d\n"
#define RESULT_TAKEN(job) job "/0 sent 2.0.0 250 d\n" job " worked\n"

static const struct world_job plain_job = { .job = 1,
                                            .nexthop = "b.example:PORT",
                                            .sender = "s@a.example",
                                            .recipients = { "r@b.example" },
                                            .content = STR_INIT("Subject: x\r\n\r\nx\r\n") };

static void deliver(struct world *world, uint64_t number, const char *nexthop)
{
    struct world_job job = plain_job;

    job.job = number;
    if (nexthop != NULL)
        job.nexthop = nexthop;
    world_send(world, &job);
    world_run(world, 1);
}

static void drain(struct world *world)
{
    worker_drain(&world->worker);
    for (int i = 0; i < 200 && fiber_count(world->loop) > 0; i++)
        world_idle(world, 10);
}

static void assert_world(struct world *world, const char *results)
{
    drain(world);
    assert_string_equal(buf_text(&world->results), results);
    assert_string_equal(buf_text(&world->mistakes), "");
    world_close(world);
}

static bool log_has(const struct world *world, const char *text)
{
    bool is_there = str_find(buf_str(&world->lines), str_from(text)) >= 0;

    if (!is_there)
        print_message("%s", buf_text(&world->lines));
    return is_there;
}

static void best_preference_comes_first(void **state)
{
    struct world world;

    world_open(&world, "");
    world_record(&world, "MX", "b.example", "20 mx2.b.example");
    world_record(&world, "MX", "b.example", "10 mx1.b.example");
    world_record(&world, "A", "mx1.b.example", "127.0.0.1");
    world_record(&world, "A", "mx2.b.example", "127.0.0.2");
    world_transcript(&world, 0, HELLO TAKEN);
    deliver(&world, 1, NULL);
    assert_true(log_has(&world, "relay=mx1.b.example[127.0.0.1]:PORT"));
    assert_world(&world, RESULT_TAKEN("1"));
}

static void dead_server_leads_to_the_next(void **state)
{
    struct world world;

    world_open(&world, "");
    world_record(&world, "MX", "b.example", "10 mx1.b.example");
    world_record(&world, "MX", "b.example", "20 mx2.b.example");
    world_record(&world, "A", "mx1.b.example", "127.0.0.9");
    world_record(&world, "A", "mx2.b.example", "127.0.0.2");
    world_transcript(&world, 1, HELLO TAKEN);
    deliver(&world, 1, NULL);
    assert_true(log_has(&world, "connect to mx1.b.example[127.0.0.9]:PORT: Connection refused"));
    assert_world(&world, RESULT_TAKEN("1"));
}

static void unwilling_server_leads_to_the_next(void **state)
{
    struct world world;

    world_open(&world, "");
    world_record(&world, "MX", "b.example", "10 mx1.b.example");
    world_record(&world, "MX", "b.example", "20 mx2.b.example");
    world_record(&world, "A", "mx1.b.example", "127.0.0.1");
    world_record(&world, "A", "mx2.b.example", "127.0.0.2");
    world_transcript(&world, 0, "S: 554 no\n");
    world_transcript(&world, 1, HELLO TAKEN);
    deliver(&world, 1, NULL);
    assert_world(&world, RESULT_TAKEN("1"));
}

static void deferred_recipient_is_tried_at_the_next_server(void **state)
{
    struct world world;

    world_open(&world, "");
    world_record(&world, "MX", "b.example", "10 mx1.b.example");
    world_record(&world, "MX", "b.example", "20 mx2.b.example");
    world_record(&world, "A", "mx1.b.example", "127.0.0.1");
    world_record(&world, "A", "mx2.b.example", "127.0.0.2");
    world_transcript(&world, 0, HELLO ENVELOPE "S: 250 a\nS: 450 4.2.0 grey\nS: 554 none\n");
    world_transcript(&world, 1, HELLO TAKEN);
    deliver(&world, 1, NULL);
    assert_true(log_has(&world, "123456789ABC: host mx1.b.example[127.0.0.1] said: 450 4.2.0 grey "
                                "(in reply to RCPT TO command)"));
    assert_world(&world, RESULT_TAKEN("1"));
}

static void session_limit_ends_the_attempt(void **state)
{
    struct world world;

    world_open(&world, "");
    for (int i = 1; i <= 3; i++)
        world_record(&world, "MX", "b.example",
                     i == 1   ? "10 mx1.b.example"
                     : i == 2 ? "20 mx2.b.example"
                              : "30 mx3.b.example");
    world_record(&world, "A", "mx1.b.example", "127.0.0.1");
    world_record(&world, "A", "mx2.b.example", "127.0.0.2");
    world_record(&world, "A", "mx3.b.example", "127.0.0.3");
    world_transcript(&world, 0, HELLO ENVELOPE "S: 250 a\nS: 450 4.2.0 x\nS: 554 none\n");
    world_transcript(&world, 1, HELLO ENVELOPE "S: 250 a\nS: 451 4.2.1 y\nS: 554 none\n");
    deliver(&world, 1, NULL);
    assert_world(&world, "1/0 deferred 4.2.1 host mx2.b.example[127.0.0.2] said: 451 4.2.1 y "
                         "(in reply to RCPT TO command)\n1 worked\n");
}

static void lost_after_the_final_dot_goes_to_no_other_server(void **state)
{
    struct world world;

    world_open(&world, "");
    world_record(&world, "MX", "b.example", "10 mx1.b.example");
    world_record(&world, "MX", "b.example", "20 mx2.b.example");
    world_record(&world, "A", "mx1.b.example", "127.0.0.1");
    world_record(&world, "A", "mx2.b.example", "127.0.0.2");
    world_transcript(&world, 0, HELLO ENVELOPE "S: 250 a\nS: 250 b\nS: 354 c\nB:\nX: close\n");
    deliver(&world, 1, NULL);
    assert_world(&world,
                 "1/0 deferred 4.4.2 lost connection with mx1.b.example[127.0.0.1] while sending "
                 "end of data -- message may be sent more than once\n1 failed\n");
}

static void address_serves_where_there_is_no_mx(void **state)
{
    struct world world;

    world_open(&world, "");
    world_record(&world, "A", "b.example", "127.0.0.1");
    world_transcript(&world, 0, HELLO TAKEN);
    deliver(&world, 1, NULL);
    assert_world(&world, RESULT_TAKEN("1"));
}

struct lookup_case {
    const char *records[6][3];
    const char *results;
    const char *parameters;
    const char *nexthop;
};

static void names_that_lead_nowhere(void **state)
{
    static const struct lookup_case cases[] = {
        { .records = { { NULL } },
          .results = "1/0 bounced 5.4.4 Host or domain name not found. Name service error for "
                     "name=b.example type=A: Host not found\n1 untouched\n" },
        { .records = { { "MX", "b.example", "SERVFAIL" } },
          .results = "1/0 deferred 4.4.3 Host or domain name not found. Name service error for "
                     "name=b.example type=MX: Host not found, try again\n1 failed\n" },
        { .records = { { "A", "b.example", "SERVFAIL" } },
          .results = "1/0 deferred 4.4.3 Host or domain name not found. Name service error for "
                     "name=b.example type=A: Host not found, try again\n1 failed\n" },
        { .records = { { "MX", "b.example", "0 " } },
          .results = "1/0 bounced 5.1.0 Domain b.example does not accept mail (nullMX)\n"
                     "1 untouched\n" },
        { .records = { { "MX", "b.example", "10 mx.b.example" } },
          .results = "1/0 bounced 5.4.4 Host or domain name not found. Name service error for "
                     "name=mx.b.example type=A: Host not found\n1 untouched\n" },
        { .records = { { "MX", "b.example", "10 mx.b.example" } },
          .parameters = "smtp_defer_if_no_mx_address_found = yes\n",
          .results = "1/0 deferred 4.4.4 Host or domain name not found. Name service error for "
                     "name=mx.b.example type=A: Host not found\n1 failed\n" },
        { .records = { { "MX", "b.example", "10 mx.b.example" },
                       { "A", "mx.b.example", "SERVFAIL" } },
          .results = "1/0 deferred 4.4.3 Host or domain name not found. Name service error for "
                     "name=mx.b.example type=A: Host not found, try again\n1 failed\n" },
        { .records = { { "AAAA", "b.example", "::1" } },
          .results = "1/0 bounced 5.4.4 Host or domain name not found. Name service error for "
                     "name=b.example type=A: Host found but no data record of requested type\n"
                     "1 untouched\n" },
        { .records = { { "MX", "b.example", "10 client.example" },
                       { "A", "client.example", "192.0.2.1" } },
          .nexthop = "b.example",
          .results = "1/0 bounced 5.4.6 mail for b.example loops back to myself\n1 untouched\n" },
        { .records = { { "MX", "b.example", "10 mx.b.example" },
                       { "A", "mx.b.example", "127.0.0.1" } },
          .nexthop = "b.example",
          .results = "1/0 bounced 5.4.6 mail for b.example loops back to myself\n1 untouched\n" },
        { .records = { { NULL } },
          .nexthop = "[127.0.0.1]",
          .results = "1/0 bounced 5.4.6 mail for 127.0.0.1 loops back to myself\n1 untouched\n" },
        { .records = { { NULL } },
          .parameters = "relayhost = b.example\n",
          .nexthop = "b.example",
          .results = "1/0 deferred 4.3.5 Host or domain name not found. Name service error for "
                     "name=b.example type=A: Host not found\n1 untouched\n" },
        { .records = { { NULL } },
          .nexthop = "[127.0.0.1",
          .results = "1/0 deferred 4.3.5 destination \"[127.0.0.1\" lacks a \"]\"\n1 failed\n" },
        { .records = { { NULL } },
          .nexthop = "b\\ad.example",
          .results = "1/0 bounced 5.4.4 Host or domain name not found. Name service error for "
                     "name=b\\ad.example type=MX: Malformed domain name\n1 untouched\n" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world world;
        world_open(&world, cases[i].parameters != NULL ? cases[i].parameters : "");
        for (int k = 0; k < 6 && cases[i].records[k][0] != NULL; k++)
            world_record(&world, cases[i].records[k][0], cases[i].records[k][1],
                         cases[i].records[k][2]);
        deliver(&world, 1, cases[i].nexthop);
        assert_world(&world, cases[i].results);
    }
}

static void own_place_in_the_mx_list_cuts_it(void **state)
{
    struct world world;

    /* Port 25 has no server of ours on these addresses: only which ones are tried counts. */
    world_open(&world, "");
    world_record(&world, "MX", "b.example", "10 mx1.b.example");
    world_record(&world, "MX", "b.example", "20 client.example");
    world_record(&world, "MX", "b.example", "30 mx3.b.example");
    world_record(&world, "A", "mx1.b.example", "127.0.0.201");
    world_record(&world, "A", "client.example", "127.0.0.202");
    world_record(&world, "A", "mx3.b.example", "127.0.0.203");
    deliver(&world, 1, "b.example");
    assert_true(log_has(&world, "connect to mx1.b.example[127.0.0.201]:25: Connection refused"));
    assert_true(str_find(buf_str(&world.lines), STR("127.0.0.203")) < 0);
    assert_world(&world, "1/0 deferred 4.4.1 connect to mx1.b.example[127.0.0.201]:25: Connection "
                         "refused\n1 failed\n");
}

static void crowd_of_exchangers_is_bounded(void **state)
{
    struct world world;
    char names[200][32];
    size_t tried = 0;

    world_open(&world, "smtp_randomize_addresses = yes\nsmtp_connection_cache_on_demand = no\n");
    for (int i = 0; i < 99; i++) {
        snprintf(names[i], sizeof names[i], "10 mx%d.b.example", i);
        world_record(&world, "MX", "b.example", names[i]);
        world_record(&world, "A", names[i] + 3, "127.0.0.201");
    }
    deliver(&world, 1, "b.example");
    for (struct str rest = buf_str(&world.lines);;) {
        ptrdiff_t at = str_find(rest, STR("connect to "));
        if (at < 0)
            break;
        rest = str_skip(rest, (size_t)at + 1);
        tried++;
    }
    assert_int_equal(tried, 5 + 1); /* and the result's line */
    assert_true(world.query_count <= 1 + 50);
    drain(&world);
    assert_string_equal(buf_text(&world.mistakes), "");
    world_close(&world);
}

static void literal_exchanger_is_an_address(void **state)
{
    struct world world;

    world_open(&world, "");
    world_record(&world, "MX", "b.example", "10 127.0.0.1");
    world_transcript(&world, 0, HELLO TAKEN);
    deliver(&world, 1, NULL);
    assert_world(&world, RESULT_TAKEN("1"));
}

static void lists_of_destinations_are_tried_in_order(void **state)
{
    struct world world;

    world_open(&world, "");
    world_transcript(&world, 1, HELLO TAKEN);
    deliver(&world, 1, "[127.0.0.9]:PORT, [127.0.0.2]:PORT");
    assert_world(&world, RESULT_TAKEN("1"));
}

static void fallback_relay_takes_what_the_destination_does_not(void **state)
{
    struct world world;
    char parameters[64];

    world_open(&world, "");
    uint16_t port = world.port;
    world_close(&world);
    snprintf(parameters, sizeof parameters, "smtp_fallback_relay = [127.0.0.2]:%u\n", port);
    world_open(&world, parameters);
    world.port = port;
    world_transcript(&world, 1, HELLO TAKEN);
    deliver(&world, 1, "b.example:PORT");
    assert_world(&world, RESULT_TAKEN("1"));
}

static void a_transports_overrides_count(void **state)
{
    struct world world;
    struct world_job job = plain_job;

    world_open(&world, "");
    world_transcript(&world, 0,
                     "S: 220 x ESMTP\nC: EHLO named.example\nS: 250-x\nS: 250 PIPELINING\n" TAKEN);
    job.nexthop = "[127.0.0.1]:PORT";
    job.transport = "named";
    world_send(&world, &job);
    world_run(&world, 1);
    assert_world(&world, RESULT_TAKEN("1"));
}

static void unknown_transport_defers(void **state)
{
    struct world world;
    struct world_job job = plain_job;

    world_open(&world, "");
    job.transport = "nowhere";
    world_send(&world, &job);
    world_run(&world, 1);
    assert_world(&world, "1/0 deferred 4.3.0 mail transport unavailable\n1 untouched\n");
}

static void connection_serves_the_next_message(void **state)
{
    struct world world;

    world_open(&world, "");
    world_transcript(&world, 0, HELLO TAKEN);
    world_transcript(&world, 0, HELLO TAKEN TAKEN TAKEN);
    for (uint64_t i = 1; i <= 4; i++)
        deliver(&world, i, "[127.0.0.1]:PORT");
    assert_int_equal(world.servers[0].connection_count, 2);
    assert_true(log_has(&world, "relay=127.0.0.1[127.0.0.1]:PORT, conn_use=3, delay="));
    assert_world(&world, RESULT_TAKEN("1") RESULT_TAKEN("2") RESULT_TAKEN("3") RESULT_TAKEN("4"));
}

static void connection_is_used_again_after_a_refusal(void **state)
{
    struct world world;

    world_open(&world, "smtp_connection_cache_destinations = [127.0.0.1]:25\n");
    world_transcript(&world, 0, HELLO TAKEN);
    world_transcript(
        &world, 0, HELLO ENVELOPE "S: 250 a\nS: 550 5.1.1 no\nS: 503 b\nC: RSET\nS: 250 c\n" TAKEN);
    deliver(&world, 1, "[127.0.0.1]:PORT");
    deliver(&world, 2, "[127.0.0.1]:PORT");
    deliver(&world, 3, "[127.0.0.1]:PORT");
    assert_int_equal(world.servers[0].connection_count, 2);
    assert_world(&world, RESULT_TAKEN("1") "2/0 bounced 5.1.1 host 127.0.0.1[127.0.0.1] said: 550 "
                                           "5.1.1 no (in reply to RCPT TO command)\n"
                                           "2 worked\n" RESULT_TAKEN("3"));
}

static void cached_connection_closed_by_the_server_is_replaced(void **state)
{
    struct world world;

    world_open(&world, "");
    world_transcript(&world, 0, HELLO TAKEN);
    world_transcript(&world, 0, HELLO TAKEN "X: close\n");
    world_transcript(&world, 0, HELLO TAKEN "C: MAIL FROM:<s@a.example>\nX: close\n");
    world_transcript(&world, 0,
                     HELLO TAKEN "C: MAIL FROM:<s@a.example>\nS: 421 4.4.2 idle\nX: close\n");
    world_transcript(&world, 0, HELLO TAKEN);
    for (uint64_t i = 1; i <= 5; i++) {
        deliver(&world, i, "[127.0.0.1]:PORT");
        world_idle(&world, 20);
    }
    assert_int_equal(world.servers[0].connection_count, 5);
    assert_world(&world, RESULT_TAKEN("1") RESULT_TAKEN("2") RESULT_TAKEN("3") RESULT_TAKEN("4")
                             RESULT_TAKEN("5"));
}

static void idle_connection_ends_with_quit(void **state)
{
    struct world world;

    world_open(&world, "smtp_connection_cache_time_limit = 1s\n");
    world_transcript(&world, 0, HELLO TAKEN);
    world_transcript(&world, 0, HELLO TAKEN);
    deliver(&world, 1, "[127.0.0.1]:PORT");
    deliver(&world, 2, "[127.0.0.1]:PORT");
    assert_int_equal(world.worker.cache.idle_count, 1);
    world_idle(&world, 1300);
    assert_int_equal(world.worker.cache.idle_count, 0);
    assert_int_equal(world.servers[0].active_count, 0);
    assert_world(&world, RESULT_TAKEN("1") RESULT_TAKEN("2"));
}

static void large_content_comes_beside_the_job(void **state)
{
    struct world world;
    struct world_job job = plain_job;
    autofree_buf struct buf content = { 0 };

    for (int i = 0; i < 50000; i++)
        buf_append_text(&content, i % 100 == 0 ? ".a line that begins with a dot\r\n"
                                               : "a line of an ordinary message\r\n");
    world_open(&world, "");
    world_transcript(&world, 0, HELLO TAKEN);
    job.nexthop = "[127.0.0.1]:PORT";
    job.content = buf_str(&content);
    job.is_content_beside = true;
    world_send(&world, &job);
    world_run(&world, 1);
    assert_int_equal(world.servers[0].content.len, content.len + 500);
    assert_world(&world, RESULT_TAKEN("1"));
}

static void server_that_refuses_early_is_heard(void **state)
{
    struct world world;
    struct world_job job = plain_job;
    autofree_buf struct buf content = { 0 };

    for (int i = 0; i < 500000; i++)
        buf_append_text(&content, "a line of an ordinary message\r\n");
    world_open(&world, "");
    world_transcript(&world, 0,
                     HELLO ENVELOPE
                     "S: 250 a\nS: 250 b\nS: 354 c\nS: 552 5.3.4 too much\nX: close\n");
    job.nexthop = "[127.0.0.1]:PORT";
    job.content = buf_str(&content);
    job.is_content_beside = true;
    world_send(&world, &job);
    world_run(&world, 1);
    drain(&world);
    /* Whether the reply or the reset arrives first is the kernel's choice; the mail is not lost. */
    assert_true(str_starts_with(buf_str(&world.results), STR("1/0 bounced 5.3.4")) ||
                str_starts_with(buf_str(&world.results), STR("1/0 deferred 4.4.2")));
    world_close(&world);
}

static void server_that_does_not_read_is_given_up(void **state)
{
    struct world world;
    struct world_job job = plain_job;
    autofree_buf struct buf content = { 0 };

    for (int i = 0; i < 1000000; i++)
        buf_append_text(&content, "a line of an ordinary message\r\n");
    world_open(&world, "smtp_data_xfer_timeout = 1s\n");
    world_transcript(&world, 0, HELLO ENVELOPE "S: 250 a\nS: 250 b\nS: 354 c\nX: sleep\n");
    job.nexthop = "[127.0.0.1]:PORT";
    job.content = buf_str(&content);
    job.is_content_beside = true;
    world_send(&world, &job);
    world_run(&world, 1);
    assert_world(&world,
                 "1/0 deferred 4.4.2 conversation with 127.0.0.1[127.0.0.1] timed out while "
                 "sending message body\n1 failed\n");
}

static void cancelled_job_is_left_undone(void **state)
{
    struct world world;
    struct world_job job = plain_job;

    world_open(&world, "");
    world_transcript(&world, 0, "X: wait\n");
    job.nexthop = "[127.0.0.1]:PORT";
    world_send(&world, &job);
    world_idle(&world, 100);
    wire_send_deliver_cancel(world.queue, &(struct wire_deliver_cancel){ .job = 1 });
    world_run(&world, 1);
    assert_world(&world, "1/0 undone 4.3.2 the delivery was interrupted before it began\n"
                         "1 untouched\n");
}

static void abandoned_content_is_deferred(void **state)
{
    struct world world;
    struct world_job job = plain_job;

    world_open(&world, "");
    world_transcript(&world, 0, HELLO ENVELOPE "S: 250 a\nS: 250 b\nS: 354 c\nB:\nX: wait\n");
    job.nexthop = "[127.0.0.1]:PORT";
    world_send(&world, &job);
    world_idle(&world, 200);
    worker_cancel_all(&world.worker);
    world_idle(&world, 100);
    assert_string_equal(buf_text(&world.results), ""); /* cancelling does not harm it */
    worker_abandon_all(&world.worker);
    world_run(&world, 1);
    assert_world(&world, "1/0 deferred 4.4.2 lost connection with 127.0.0.1[127.0.0.1] while "
                         "sending end of data -- message may be sent more than once\n1 failed\n");
}

static void draining_worker_takes_no_more_jobs(void **state)
{
    struct world world;

    world_open(&world, "");
    worker_drain(&world.worker);
    world_send(&world, &plain_job);
    world_idle(&world, 50);
    world_idle(&world, 50);
    assert_world(&world, "1/0 undone 4.3.2 the delivery was interrupted before it began\n"
                         "1 untouched\n");
}

static void many_recipients_go_out_in_portions(void **state)
{
    struct world world;
    struct world_job job = plain_job;
    static char names[8][1000];
    autofree_buf struct buf transcript = { 0 };

    buf_append_text(&transcript, HELLO "C: MAIL FROM:<s@a.example>\n");
    for (int i = 0; i < 8; i++) {
        memset(names[i], 'a' + i, 900);
        snprintf(names[i] + 900, 100, "@b.example");
        job.recipients[i] = names[i];
        buf_append_text(&transcript, "C: *\n");
    }
    buf_append_text(&transcript, "C: DATA\nS: 250 a\n");
    for (int i = 0; i < 8; i++)
        buf_append_text(&transcript, "S: 250 b\n");
    buf_append_text(&transcript, "S: 354 c\nB:\nS: 250 d\n");
    world_open(&world, "");
    world_transcript(&world, 0, buf_text(&transcript));
    job.nexthop = "[127.0.0.1]:PORT";
    world_send(&world, &job);
    world_run(&world, 1);
    drain(&world);
    assert_string_equal(buf_text(&world.mistakes), "");
    assert_true(str_ends_with(buf_str(&world.results), STR("1/7 sent 2.0.0 250 d\n1 worked\n")));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_preference_comes_first),
        cmocka_unit_test(dead_server_leads_to_the_next),
        cmocka_unit_test(unwilling_server_leads_to_the_next),
        cmocka_unit_test(deferred_recipient_is_tried_at_the_next_server),
        cmocka_unit_test(session_limit_ends_the_attempt),
        cmocka_unit_test(lost_after_the_final_dot_goes_to_no_other_server),
        cmocka_unit_test(address_serves_where_there_is_no_mx),
        cmocka_unit_test(names_that_lead_nowhere),
        cmocka_unit_test(own_place_in_the_mx_list_cuts_it),
        cmocka_unit_test(crowd_of_exchangers_is_bounded),
        cmocka_unit_test(literal_exchanger_is_an_address),
        cmocka_unit_test(lists_of_destinations_are_tried_in_order),
        cmocka_unit_test(fallback_relay_takes_what_the_destination_does_not),
        cmocka_unit_test(a_transports_overrides_count),
        cmocka_unit_test(unknown_transport_defers),
        cmocka_unit_test(connection_serves_the_next_message),
        cmocka_unit_test(connection_is_used_again_after_a_refusal),
        cmocka_unit_test(cached_connection_closed_by_the_server_is_replaced),
        cmocka_unit_test(idle_connection_ends_with_quit),
        cmocka_unit_test(large_content_comes_beside_the_job),
        cmocka_unit_test(server_that_refuses_early_is_heard),
        cmocka_unit_test(server_that_does_not_read_is_given_up),
        cmocka_unit_test(cancelled_job_is_left_undone),
        cmocka_unit_test(abandoned_content_is_deferred),
        cmocka_unit_test(draining_worker_takes_no_more_jobs),
        cmocka_unit_test(many_recipients_go_out_in_portions),
    };

    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
