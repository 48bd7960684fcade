/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { DATAGRAM_MAX = 62 * 1024 };

struct fixture {
    int ours, theirs;
    struct log *log;
    struct log_context context;
};

static int set_up(void **state)
{
    static struct fixture f;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds) < 0)
        return -1;
    f = (struct fixture){ .ours = fds[0], .theirs = fds[1], .log = log_new_socket(fds[0]) };
    f.context = (struct log_context){ f.log, STR("postfix/smtpd") };
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    log_free(&f->log);
    close(f->ours);
    close(f->theirs);
    return 0;
}

/* The next datagram, or an empty string. */
static struct str datagram_receive(struct fixture *f)
{
    static char bytes[DATAGRAM_MAX];
    ssize_t count = recv(f->theirs, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC);

    assert_true(count <= DATAGRAM_MAX);
    return str_of(bytes, count > 0 ? (size_t)count : 0);
}

static void lines_of_one_iteration_leave_in_one_datagram(void **state)
{
    struct fixture *f = *state;
    int64_t before_us = clock_wall_us();
    struct log_record record;

    log_info(&f->context, "connect from %s[%s]", "a.example", "192.0.2.1");
    log_warning(&f->context, "second");
    log_write_text(&f->context, SEVERITY_PANIC, STR(""));
    assert_true(str_is_empty(datagram_receive(f)));
    assert_true(log_flush(f->log));
    assert_true(log_flush(f->log));
    struct str datagram = datagram_receive(f);
    assert_true(log_record_parse(&datagram, &record));
    assert_int_equal(record.severity, SEVERITY_INFO);
    assert_int_equal(record.pid, getpid());
    assert_true(record.wall_us >= before_us && record.wall_us <= clock_wall_us());
    assert_true(str_equal(record.tag, STR("postfix/smtpd")));
    assert_true(str_equal(record.text, STR("connect from a.example[192.0.2.1]")));
    assert_true(log_record_parse(&datagram, &record));
    assert_int_equal(record.severity, SEVERITY_WARNING);
    assert_true(log_record_parse(&datagram, &record));
    assert_int_equal(record.severity, SEVERITY_PANIC);
    assert_int_equal(record.text.len, 0);
    assert_false(log_record_parse(&datagram, &record));
    assert_true(str_is_empty(datagram_receive(f)));
}

static void bytes_that_could_do_harm_become_question_marks(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        { "plain ~!", "plain ~!" },
        { "a\r\nb\tc\x1b[31m\x7f", "a??b?c?[31m?" },
        { "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80" },
        { "\xff\xfe\x80", "???" },
        { "\xc3", "?" },                             /* cut off */
        { "\xc0\xaf\xe0\x80\xaf", "?????" },         /* overlong */
        { "\xed\xa0\x80", "???" },                   /* a surrogate */
        { "\xf4\x90\x80\x80", "????" },              /* beyond Unicode */
        { "\xc2\x80\xc2\x9f\xc2\xa0", "????\xc2\xa0" }, /* C1 */
        { "\xe2\x80\xa8\xe2\x80\xa9", "??????" },    /* line separators */
        { "\xe2\x80\xae\xe2\x81\xa6", "??????" },    /* bidirectional controls */
        { "\xe2\x80\x8f\xd8\x9c", "?????" },
        { "\xc3(", "?(" },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct log_record record;
        log_write_text(&f->context, SEVERITY_INFO, str_from(cases[i].text));
        assert_true(log_flush(f->log));
        struct str datagram = datagram_receive(f);
        assert_true(log_record_parse(&datagram, &record));
        assert_int_equal(record.text.len, strlen(cases[i].expected));
        assert_memory_equal(record.text.ptr, cases[i].expected, record.text.len);
    }
}

/* Reads all that is there; returns how many lines were numbered in order from `*next` on, and how
 * many the log says were lost. */
static void drain(struct fixture *f, uint64_t *next, uint64_t *lost)
{
    struct str datagram;
    struct log_record record;

    while ((datagram = datagram_receive(f)).len > 0) {
        while (log_record_parse(&datagram, &record)) {
            uint64_t number;
            struct str text = record.text;
            assert_true(str_to_u64(str_cut(&text, " "), &number));
            if (str_starts_with(text, STR("log lines"))) {
                *lost += number;
                *next += number;
                continue;
            }
            assert_int_equal(number, *next);
            ++*next;
        }
        assert_int_equal(datagram.len, 0);
    }
}

static void log_that_is_not_read_never_blocks_and_says_what_is_missing(void **state)
{
    struct fixture *f = *state;
    uint64_t next = 0, lost = 0, number = 0;

    for (; number < 100000; number++)
        log_info(&f->context, "%llu a line of some length to fill the ring with",
                 (unsigned long long)number);
    assert_false(log_flush(f->log));
    do
        drain(f, &next, &lost);
    while (!log_flush(f->log));
    drain(f, &next, &lost);
    assert_int_equal(lost, 0); /* not said yet: there was no line after them */
    log_info(&f->context, "%llu the end", (unsigned long long)number);
    assert_true(log_flush(f->log));
    drain(f, &next, &lost);
    assert_true(lost > 0);
    assert_int_equal(next, number + 1);
}

static void long_line_is_cut_and_leaves_alone(void **state)
{
    struct fixture *f = *state;
    autofree_buf struct buf text = { 0 };
    struct log_record record;

    memset(buf_reserve(&text, 100000), 'x', 100000);
    buf_commit(&text, 100000);
    log_write_text(&f->context, SEVERITY_INFO, buf_str(&text));
    assert_true(log_flush(f->log));
    struct str datagram = datagram_receive(f);
    assert_true(log_record_parse(&datagram, &record));
    assert_true(record.text.len >= 4000 && record.text.len < 65536);
}

static void cut_datagram_yields_no_record(void **state)
{
    struct fixture *f = *state;
    struct log_record record;

    log_info(&f->context, "a line");
    log_flush(f->log);
    struct str whole = datagram_receive(f);
    for (size_t len = 0; len < whole.len; len++) {
        struct str datagram = str_take(whole, len);
        assert_false(log_record_parse(&datagram, &record));
    }
    assert_true(log_record_parse(&whole, &record));
}

static void tool_logs_to_standard_error(void **state)
{
    char path[] = "/tmp/waypost-log-test-XXXXXX", text[200] = { 0 };
    int fd = mkstemp(path), standard_error = dup(STDERR_FILENO);
    struct log *log = log_new_stderr();
    struct log_context context = { log, STR("postqueue") };

    dup2(fd, STDERR_FILENO);
    log_fatal(&context, "no\nsuch queue");
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, "postqueue: fatal: no?such queue\n");
    assert_int_equal(log_fd(log), -1);
    assert_true(log_flush(log));
    log_free(&log);
    close(fd);
    unlink(path);
}

#define log_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        log_test(lines_of_one_iteration_leave_in_one_datagram),
        log_test(bytes_that_could_do_harm_become_question_marks),
        log_test(log_that_is_not_read_never_blocks_and_says_what_is_missing),
        log_test(long_line_is_cut_and_leaves_alone),
        log_test(cut_datagram_yields_no_record),
        cmocka_unit_test(tool_logs_to_standard_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
