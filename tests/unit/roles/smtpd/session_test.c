/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever clients do, the end of a transaction leaves nothing of it. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cmocka.h>

enum { SESSIONS = 300, COMMANDS = 40, PATIENCE_MS = 20 * 1000 };

/* What is sent, and whether a good answer to it means that no transaction is open. */
struct line {
    const char *text;
    bool ends_transaction;
};

static const struct line lines[] = {
    { "EHLO client.example\r\n", true },
    { "HELO client.example\r\n", true },
    { "RSET\r\n", true },
    { "MAIL FROM:<a@b.example>\r\n", false },
    { "MAIL FROM:<a@b.example> BODY=8BITMIME SIZE=100 ENVID=x RET=HDRS\r\n", false },
    { "MAIL FROM:<>\r\n", false },
    { "MAIL FROM:<a@b..c>\r\n", false },
    { "MAIL FROM:<a@b.example> SIZE=100000000\r\n", false },
    { "RCPT TO:<root@localhost>\r\n", false },
    { "RCPT TO:<other@localhost> NOTIFY=NEVER ORCPT=rfc822;x\r\n", false },
    { "RCPT TO:<x@elsewhere.example>\r\n", false },
    { "RCPT TO:<>\r\n", false },
    { "DATA\r\n", false },
    { "DATA\r\n", false },
    { "DATA x\r\n", false },
    { "VRFY root@localhost\r\n", false },
    { "VRFY x@elsewhere.example\r\n", false },
    { "NOOP\r\n", false },
    { "FOO\r\n", false },
    { "STARTTLS\r\n", false },
    { "BDAT 5\r\nhello", false },
    { "BDAT 0\r\n", false },
    { "BDAT 7 LAST\r\nx\n.\r\n\r\n", true },
    { "BDAT 0 LAST\r\n", true },
};

static const char *const contents[] = {
    "Subject: x\r\n\r\nx\r\n.\r\n",
    "\r\n.\r\n",
    ".\r\n",
    "Received: x\r\nReceived: x\r\nReceived: x\r\n\r\n.\r\n", /* too many hops */
    "x\n.\ny\r\n.\r\n",
};

static const enum queue_manner manners[] = { QUEUE_ACCEPTS, QUEUE_REFUSES, QUEUE_DIES,
                                             QUEUE_IS_SHUT };

/* A repeatable sequence; quality does not matter. */
static unsigned next_random(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % below;
}

static unsigned ask(struct world *world, const char *text)
{
    int64_t deadline_ms = loop_now_ms(world->loop) + PATIENCE_MS;
    struct str line = STR("");

    assert_int_equal(stream_write(world->client, str_from(text), deadline_ms), STREAM_OK);
    do {
        if (stream_read_line(world->client, 4096, deadline_ms, &line, NULL) != STREAM_OK)
            return 0;
    } while (line.len > 3 && line.ptr[3] == '-');
    assert_true(line.len >= 3);
    return (unsigned)(line.ptr[0] - '0');
}

static void check_clean(struct world *world)
{
    const struct conversation *conversation =
        list_entry(world->server.conversations.next, struct conversation, link);

    /* Its fiber parks after the reply was written. */
    for (int i = 0; i < 4 && !conversation->is_parked; i++)
        fiber_yield(world->loop);
    assert_true(session_has_no_transaction(&conversation->session));
}

static void play_random(struct world *world, void *argument)
{
    unsigned *seed = argument;
    struct str greeting;

    assert_int_equal(stream_read_line(world->client, 4096, DEADLINE_NEVER, &greeting, NULL),
                     STREAM_OK);
    for (int i = 0; i < COMMANDS; i++) {
        const struct line *line = &lines[next_random(seed, sizeof(lines) / sizeof(lines[0]))];
        if (next_random(seed, 10) == 0)
            world_set_queue(world, manners[next_random(seed, 4)]);
        unsigned class = ask(world, line->text);
        if (class == 0)
            return;
        if (class == 3) {
            size_t which = next_random(seed, sizeof(contents) / sizeof(contents[0]));
            assert_true(ask(world, contents[which]) != 0);
            check_clean(world);
        } else if (line->ends_transaction && class == 2) {
            check_clean(world);
        } else if (str_starts_with(str_from(line->text), STR("BDAT")) && class != 2) {
            check_clean(world);
        }
    }
}

static void every_end_of_a_transaction_leaves_a_fresh_session(void **state)
{
    struct world world;
    unsigned seed = 1;

    (void)state;
    world_open(&world, "mynetworks = 10.0.0.0/8\nhopcount_limit = 3\n"
                       "smtpd_hard_error_limit = 1000\nsmtpd_soft_error_limit = 1000\n"
                       /* A chunk before EHLO is that. */
                       "smtpd_forbid_unauth_pipelining = no\n");
    for (int i = 0; i < SESSIONS; i++)
        world_run(&world, "192.0.2.1", play_random, &seed);
    assert_true(world.message_count > 0);
    world_close(&world);
}

static void a_new_session_has_no_transaction(void **state)
{
    struct session session;

    (void)state;
    session_init(&session, STR("192.0.2.1"), 2525);
    assert_true(session_has_no_transaction(&session));
    session_set_hello(&session, STR("a b(c)<d>;e@f"), true);
    assert_string_equal(session.helo_name.ptr, "a?b?c??d??e?f");
    assert_true(session_has_no_transaction(&session));
    session_enter(&session, PHASE_MAIL);
    assert_false(session_has_no_transaction(&session));
    session_reset_transaction(&session);
    assert_int_equal(session.phase, PHASE_READY);
    session_clear(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_session_has_no_transaction),
        cmocka_unit_test(every_end_of_a_transaction_leaves_a_fresh_session),
    };

    return cmocka_run_group_tests_name("smtpd sessions", tests, NULL, NULL);
}
